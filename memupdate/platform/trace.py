"""Rollouts that a person can read: JSON lines on disk and a table in W&B."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from memupdate.platform.replay import trajectory_order


@dataclass(frozen=True)
class Trajectory:
    """One rollout as it was scored.

    Attributes:
        split: ``train`` or ``validation``.
        step: the policy's step.
        key: prompt and rollout index.
        reward: the reward, its parts, and counts.
    """

    split: str
    step: int
    key: str
    reward: dict[str, Any]

    def table_row(self) -> dict[str, Any]:
        """The trajectory in a table that a person reads."""
        raise NotImplementedError


@dataclass(frozen=True)
class MemoryTrajectory(Trajectory):
    """A memory rollout.

    Attributes:
        turns: what the policy wrote (``assistant``) and what it was answered (``tool``), in order.
        reward: reward parts, memory counts, calls and errors per tool, category.
    """

    namespace: str
    sample_id: str
    question: str
    answer: str
    prompt: str
    turns: list[dict[str, str]]

    def table_row(self) -> dict[str, Any]:
        """The trajectory in a table that a person reads."""
        dialogue = "\n".join(f"[{turn['role']}] {turn['text']}" for turn in self.turns)
        parts = ("reward", "delta", "efficiency", "qa_before", "qa_after")
        row = {"question": self.question, "answer": self.answer, "dialogue": dialogue}
        return row | {part: self.reward[part] for part in parts}


def split_turns(response_ids: Sequence[int], response_mask: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Cuts a response into runs of generated ids (``assistant``) and of ids put in by the loop (``tool``)."""
    runs: list[tuple[str, list[int]]] = []
    for token, generated in zip(response_ids, response_mask, strict=True):
        role = "assistant" if generated else "tool"
        if not runs or runs[-1][0] != role:
            runs.append((role, []))
        runs[-1][1].append(token)
    return runs


def objects(column: Any) -> list[Any]:
    """Python objects of a non-tensor column, which comes as a list, an array or a stack, by how it was stored."""
    return [getattr(item, "data", item) for item in (column.tolist() if hasattr(column, "tolist") else column)]


def final_keys(batch: KVBatchMeta) -> list[str]:
    """Keys of a batch's trajectories, in order; padding rows and inner segments are left out."""
    last: dict[tuple[str, int], str] = {}
    for key, tag in zip(batch.keys, batch.tags, strict=True):
        if not tag.get("is_padding", False):
            uid, session, segment = trajectory_order(key)
            if (uid, session) not in last or segment >= trajectory_order(last[uid, session])[2]:
                last[uid, session] = key
    return sorted(last.values(), key=trajectory_order)


def read_trajectories(batch: KVBatchMeta, tokenizer: Any, split: str, step: int) -> list[MemoryTrajectory]:
    """Reads a batch's memory trajectories from the TransferQueue, in order."""
    keys = final_keys(batch)
    if not keys:
        return []
    fields = ["prompts", "responses", "response_mask", "extra_fields", "extra_info"]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
    columns = [data["prompts"].unbind(), data["responses"].unbind(), data["response_mask"].unbind()]
    extra_fields, extra_info = objects(data["extra_fields"]), objects(data["extra_info"])
    trajectories = []
    for key, prompt, response, mask, loop, info in zip(keys, *columns, extra_fields, extra_info, strict=True):
        turns = [
            {"role": role, "text": tokenizer.decode(ids, skip_special_tokens=True).strip()}
            for role, ids in split_turns(response.tolist(), mask.tolist())
        ]
        trajectories.append(
            MemoryTrajectory(
                split=split,
                step=step,
                key=key,
                namespace=str(loop["namespace"]),
                sample_id=str(info["sample_id"]),
                question=str(info["question"]),
                answer=str(info["answer"]),
                prompt=tokenizer.decode(prompt.tolist(), skip_special_tokens=True),
                turns=turns,
                reward=dict(loop["reward_extra_info"]),
            )
        )
    return trajectories


class TraceWriter:
    """Writes ``{split}-{step}.jsonl`` in a folder and, every few steps, a W&B table.

    Config: ``every`` (steps between traced training steps, 0 for none; validation is always
    traced) and ``table_rows`` (rows in a W&B table).
    """

    def __init__(self, folder: Path, config: Any) -> None:
        self._folder = folder
        self._every = int(config.every)
        self._table_rows = int(config.table_rows)

    def resume_from(self, step: int) -> None:
        """Removes training traces of steps that will be run again."""
        for file in self._folder.glob("*.jsonl"):
            if int(file.stem.rsplit("-", 1)[1]) > step:
                file.unlink()

    def write(self, trajectories: Sequence[Trajectory], backends: Any) -> None:
        """Writes the trajectories of one step and split."""
        if not trajectories:
            return
        step, split = trajectories[0].step, trajectories[0].split
        if split == "train" and (self._every == 0 or step % self._every):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{split}-{step:06d}.jsonl").open("w") as file:
            for trajectory in trajectories:
                file.write(json.dumps(asdict(trajectory), ensure_ascii=False) + "\n")
        if "wandb" in backends and self._table_rows:
            self._log_table(trajectories[: self._table_rows], split, step)

    def _log_table(self, trajectories: Sequence[Trajectory], split: str, step: int) -> None:
        import wandb

        rows = [trajectory.table_row() for trajectory in trajectories]
        table = wandb.Table(columns=list(rows[0]))
        for row in rows:
            table.add_data(*row.values())
        wandb.log({f"rollouts/{split}": table}, step=step)
