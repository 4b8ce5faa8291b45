"""Reads and writes the state that a model keeps between turns.

The state has its own safetensors file. It is never part of a checkpoint of weights.
"""

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
    """Restores a model's state from the file ``run.generation.state``.

    Does nothing if the setting is null or the file does not exist yet.

    Raises:
        DataError: the file cannot be read as safetensors.
        FieldError: the state does not belong to this model.
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
    """Writes a model's state to the file ``run.generation.state``, atomically.

    Does nothing if the setting is null.
    """
    if settings.run.generation.state is None:
        return
    path = Path(settings.run.generation.state)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = method_of(settings.model.method).state(model)
    with new_file(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, partial)
