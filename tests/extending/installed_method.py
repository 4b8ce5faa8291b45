"""A folder that Python takes for an installed package with the method of ``soft_prompt.py``."""

from __future__ import annotations

from pathlib import Path

METHOD = Path(__file__).resolve().parent / "soft_prompt.py"


def install(folder: Path) -> Path:
    """Writes the method's file and its entry point, as ``pip install`` would, and returns the folder."""
    info = folder / "soft_prompt-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soft-prompt\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[memgen.methods]\nsoft_prompt = soft_prompt:SoftPrompt\n")
    (folder / "soft_prompt.py").write_text(METHOD.read_text())
    return folder
