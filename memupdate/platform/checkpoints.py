"""Checkpoints that survive a kill, and digests for comparing two checkpoints.

verl writes ``global_step_N/`` in place and then the tracker file. If a run is killed during these writes, it leaves a
half-written folder or an empty tracker, and verl's resume fails. Here a checkpoint is complete as soon as its
``state.json`` exists. This file is written last, and atomically. :func:`recover` points the tracker to the newest
complete checkpoint and sets incomplete ones aside.

Only folders that this module began are changed or removed: they hold ``begun.json`` from the start of the save. A
folder of the same name from another program is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError, FieldError
from memupdate.files import write_atomically

logger = logging.getLogger(__name__)

BEGUN_FILE = "begun.json"
STATE_FILE = "state.json"
INTERRUPTED = "interrupted_step_"  # a half-written checkpoint is renamed to this and its step
TRACKER = "latest_checkpointed_iteration.txt"


@dataclass(frozen=True)
class RunState:
    """The state in a checkpoint besides the actor.

    Attributes:
        step: the training step.
        rows_drawn: the number of rows drawn from the training file since the start of the run.
        data_seed: the seed of the order of the rows.
    """

    step: int
    rows_drawn: int
    data_seed: int


def begin(folder: Path) -> None:
    """Marks a folder as a checkpoint of this module that is being written.

    Raises:
        FieldError: the folder exists and is not such a checkpoint.
    """
    if folder.exists() and not is_ours(folder):
        raise _foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE_FILE).unlink(missing_ok=True)  # a checkpoint that is written again is incomplete meanwhile
    write_atomically(folder / BEGUN_FILE, json.dumps({"begun_by": "memupdate.platform.checkpoints"}) + "\n")


def is_ours(folder: Path) -> bool:
    """Returns whether this module began or completed the checkpoint."""
    return (folder / BEGUN_FILE).is_file() or (folder / STATE_FILE).is_file()


def refuse_foreign(root: Path) -> None:
    """Checks that all checkpoints in a folder are of this module. The folder may be missing.

    Raises:
        FieldError: one is not, for example because stock verl wrote it.
    """
    for folder in sorted(root.glob("global_step_*")):
        if not is_ours(folder):
            raise _foreign(folder)


def _foreign(folder: Path) -> FieldError:
    return FieldError(
        "trainer.default_local_dir",
        str(folder.parent),
        f"a new folder, or one with checkpoints of this project only. {folder.name} has no {BEGUN_FILE}: another "
        "program wrote it, and it stays as it is. To start from its weights, set actor_rollout_ref.model.path to its "
        "actor/huggingface",
    )


def finish(folder: Path, state: RunState) -> None:
    """Marks a checkpoint as complete by writing its state."""
    write_atomically(folder / STATE_FILE, json.dumps(asdict(state)) + "\n")


def read_state(folder: Path) -> RunState:
    """Reads the state of a complete checkpoint.

    Raises:
        DataError: the folder is not a complete checkpoint.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise DataError(f"{folder}: not a complete checkpoint ({STATE_FILE} is missing)")
    return RunState(**json.loads(path.read_text()))


def step_of(folder: Path) -> int:
    """Returns the step in the name of a ``global_step_N`` folder."""
    return int(folder.name.removeprefix("global_step_"))


def complete_checkpoints(root: Path) -> list[Path]:
    """Returns the complete checkpoints under ``root``, oldest first."""
    folders = [folder for folder in root.glob("global_step_*") if (folder / STATE_FILE).is_file()]
    return sorted(folders, key=step_of)


def recover(root: Path) -> Path | None:
    """Points verl's tracker to the newest complete checkpoint and renames an incomplete one.

    Returns:
        The checkpoint from which a run will resume; None if there is none.

    Raises:
        FieldError: the folder holds checkpoints of another program. Nothing is changed.
    """
    if not root.is_dir():
        return None
    refuse_foreign(root)
    complete = complete_checkpoints(root)
    for folder in sorted(root.glob("global_step_*")):
        if folder not in complete:
            _set_aside(folder)
    if not complete:
        (root / TRACKER).unlink(missing_ok=True)
        return None
    write_atomically(root / TRACKER, str(step_of(complete[-1])))
    return complete[-1]


def _set_aside(folder: Path) -> None:
    """Renames a half-written checkpoint. Only the last one of each step is kept."""
    aside = folder.with_name(f"{INTERRUPTED}{step_of(folder)}")
    if aside.exists():
        if not is_ours(aside):
            raise _foreign(aside)
        shutil.rmtree(aside)
    logger.warning("renaming %s to %s: the run was killed while it wrote it", folder, aside.name)
    folder.rename(aside)


def keep_newest(root: Path, count: int) -> None:
    """Removes all but the newest ``count`` complete checkpoints. Only this module's checkpoints are complete."""
    for folder in complete_checkpoints(root)[:-count]:
        shutil.rmtree(folder)


def digest(value: Any) -> str:
    """Returns the SHA-256 of the content of nested mappings, sequences, tensors, arrays and scalars."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    import numpy as np
    import torch
    from torch.distributed.tensor import DTensor

    if isinstance(value, DTensor):
        value = value.to_local()
    if isinstance(value, torch.Tensor):
        state.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        state.update(
            value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            if value.ndim
            else repr(value.item()).encode()
        )
    elif isinstance(value, np.ndarray):
        state.update(f"array {value.dtype} {value.shape}".encode())
        state.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        state.update(f"mapping {len(value)}".encode())
        for key in sorted(value, key=str):
            state.update(f"{key!r}:".encode())
            _feed(state, value[key])
    elif isinstance(value, (list, tuple)):
        state.update(f"sequence {len(value)}".encode())
        for item in value:
            _feed(state, item)
    else:
        state.update(f"{type(value).__name__} {value!r}".encode())


def checkpoint_digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of the content of each part of a checkpoint.

    The parts are ``state`` and, for each rank, the model, the optimiser, and the scheduler and random states
    (``extra_state``).

    Raises:
        DataError: the folder is not a complete checkpoint.
    """
    import torch

    parts = {"state": digest(asdict(read_state(folder)))}
    for file in sorted((folder / "actor").glob("*.pt")):
        parts[file.stem] = digest(torch.load(file, map_location="cpu", weights_only=False))
    return parts
