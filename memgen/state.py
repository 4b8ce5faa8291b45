"""What a model keeps between turns, on disk: a safetensors file beside the weights' checkpoint, never inside it."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from memgen.methods import method_of
from memgen.sections import Settings
from memupdate.errors import DataError
from memupdate.files import new_file


def read_state(settings: Settings, model: PreTrainedModel) -> None:
    """Gives a model the state of ``run.generation.state``. Without that setting, or before the file, it has none.

    Raises:
        DataError: the file holds no tensors.
    """
    path = settings.run.generation.state
    if path is None or not Path(path).exists():
        return
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: expected a state as safetensors: {error}") from error
    method_of(settings.model.method).set_state(model, state)


def write_state(settings: Settings, model: PreTrainedModel) -> None:
    """Writes a model's state to ``run.generation.state``, whole or not at all, where that is set."""
    if settings.run.generation.state is None:
        return
    path = Path(settings.run.generation.state)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = method_of(settings.model.method).state(model)
    with new_file(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, partial)
