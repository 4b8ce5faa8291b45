"""A folder that Python takes for an installed package with the method of ``soft_prompt.py``."""

from __future__ import annotations

from pathlib import Path

from installed_package import install_into

METHOD = Path(__file__).resolve().parent / "soft_prompt.py"


def install(folder: Path) -> Path:
    """Writes the method's file and its entry point, as ``pip install`` would, and returns the folder."""
    install_into(folder, "[memgen.methods]\nsoft_prompt = soft_prompt:SoftPrompt\n", "soft_prompt")
    (folder / "soft_prompt.py").write_text(METHOD.read_text())
    return folder
