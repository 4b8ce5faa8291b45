"""The model card of a checkpoint: ``README.md``, which a hub shows to the people who want to use the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

CARD = "README.md"


def write_model_card(folder: Path, *, base: str | None, tags: Sequence[str], text: str) -> None:
    """Writes a model card. A card that is already there is left alone: its author may have changed it.

    The card names no license. The author of the model chooses one.

    Args:
        folder: folder of the checkpoint.
        base: name of the base model. A local folder is not written: it means nothing to others.
        tags: tags of the model.
        text: the card's text, in Markdown.
    """
    if (folder / CARD).exists():
        return
    named = ModelCardData(
        base_model=base if base and _is_on_a_hub(base) else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=list(tags),
    )
    (folder / CARD).write_text(f"---\n{named.to_yaml()}\n---\n\n{text}")


def _is_on_a_hub(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()
