"""A folder that Python takes for the place of an installed package with entry points."""

from __future__ import annotations

from pathlib import Path


def install_into(folder: Path, entry_points: str, name: str = "toys") -> Path:
    """Writes the metadata that ``pip install`` would write, and returns the folder, which belongs on ``sys.path``."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder
