"""Writes readable trajectories: JSON lines on disk and a table in W&B. Each job defines the fields of a trajectory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from transfer_queue import KVBatchMeta

from memupdate.files import write_atomically
from memupdate.platform.replay import trajectory_order


@dataclass(frozen=True)
class Trajectory:
    """One scored rollout.

    Attributes:
        split: ``train`` or ``validation``.
        step: the training step of the policy.
        key: the TransferQueue key, which names the prompt, the rollout and the segment.
        reward: the reward, its parts, and counts.
    """

    split: str
    step: int
    key: str
    reward: dict[str, Any]

    def table_row(self) -> dict[str, Any]:
        """Returns the trajectory's row of the table in W&B, as values by column."""
        raise NotImplementedError


def objects(column: Any) -> list[Any]:
    """Returns the Python objects of a non-tensor column, which the TransferQueue gives as a list, array or stack."""
    return [getattr(item, "data", item) for item in (column.tolist() if hasattr(column, "tolist") else column)]


def final_keys(batch: KVBatchMeta) -> list[str]:
    """Returns the key of the last segment of each trajectory, sorted, without padding rows."""
    last: dict[tuple[str, int], str] = {}
    for key, tag in zip(batch.keys, batch.tags, strict=True):
        if not tag.get("is_padding", False):
            uid, session, segment = trajectory_order(key)
            if (uid, session) not in last or segment >= trajectory_order(last[uid, session])[2]:
                last[uid, session] = key
    return sorted(last.values(), key=trajectory_order)


class TraceSettings(Protocol):
    """The section ``trace`` of a run's settings.

    Attributes:
        every: trace the training steps that are multiples of this number; 0 for none. Validation is always traced.
        table_rows: the number of rows of the W&B table; 0 for no table.
    """

    every: int
    table_rows: int


class TraceWriter:
    """Writes ``{split}-{step}.jsonl`` to a folder and, if W&B logs the run, a table of the first rows to W&B."""

    def __init__(self, folder: Path, config: TraceSettings) -> None:
        self._folder = folder
        self._every = int(config.every)
        self._table_rows = int(config.table_rows)

    def resume_from(self, step: int) -> None:
        """Removes the traces of steps after ``step``, because these steps will run again."""
        for file in self._folder.glob("*.jsonl"):
            if int(file.stem.rsplit("-", 1)[1]) > step:
                file.unlink()

    def write(self, trajectories: Sequence[Trajectory], backends: Sequence[str]) -> None:
        """Writes the trajectories of one step, if the step is traced.

        Args:
            trajectories: trajectories of the same step and split.
            backends: the config's ``trainer.logger``. A table is logged if it contains ``wandb``.
        """
        if not trajectories:
            return
        step, split = trajectories[0].step, trajectories[0].split
        if split == "train" and (self._every == 0 or step % self._every):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(asdict(trajectory), ensure_ascii=False) + "\n" for trajectory in trajectories]
        write_atomically(self._folder / f"{split}-{step:06d}.jsonl", "".join(lines))
        if "wandb" in backends and self._table_rows:
            self._log_table(trajectories[: self._table_rows], split, step)

    def _log_table(self, trajectories: Sequence[Trajectory], split: str, step: int) -> None:
        import wandb

        rows = [trajectory.table_row() for trajectory in trajectories]
        table = wandb.Table(columns=list(rows[0]))
        for row in rows:
            table.add_data(*row.values())
        wandb.log({f"rollouts/{split}": table}, step=step)
