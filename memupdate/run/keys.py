"""Content keys of a stage's inputs, so that a stage's output is reused only if its inputs are unchanged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def content_key(value: Mapping[str, object]) -> str:
    """Returns the first twelve hex digits of the SHA-256 of ``value`` as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(*rooms: str, root: Path = PACKAGE) -> str:
    """Returns a digest of the Python files in some packages. If it changes, outputs of their code are stale.

    Args:
        rooms: folders in ``root``.
        root: the folder of the parent package.
    """
    files = sorted(file for room in rooms for file in (root / room).rglob("*.py"))
    return content_key({str(file.relative_to(root)): file_digest(file) for file in files})
