"""Names of a stage's inputs by content, so that what a stage made is used again only while its inputs are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def content_key(value: Mapping[str, object]) -> str:
    """Returns twelve hex digits that name a stage's inputs."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(*rooms: str, root: Path = PACKAGE) -> str:
    """Returns a digest of the Python source of rooms. What their code made is stale when it changes.

    Args:
        rooms: folders of ``root``.
        root: the package.
    """
    files = sorted(file for room in rooms for file in (root / room).rglob("*.py"))
    return content_key({str(file.relative_to(root)): file_digest(file) for file in files})
