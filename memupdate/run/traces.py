"""Readable traces of memory rollouts: the question, the turns of policy and tools, and the reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta
from transformers import PreTrainedTokenizerBase

from memupdate.data.episodes import SESSION
from memupdate.platform.trace import Trajectory, final_keys, objects


@dataclass(frozen=True)
class MemoryTrajectory(Trajectory):
    """A scored memory rollout.

    Attributes:
        namespace: the namespace of the rollout's bank.
        sample_id: the conversation.
        question: the question of the dataset's row. In a session episode, the first line of the session.
        answer: the gold answer.
        prompt: the decoded prompt.
        turns: the decoded turns of the policy (``assistant``) and the replies (``tool``), in order.
        reward: reward parts, memory counts, calls and errors per tool, and the category.
    """

    namespace: str
    sample_id: str
    question: str
    answer: str
    prompt: str
    turns: list[dict[str, str]]

    def table_row(self) -> dict[str, Any]:
        """Returns the question, the answer, the dialogue and the main parts of the reward."""
        dialogue = "\n".join(f"[{turn['role']}] {turn['text']}" for turn in self.turns)
        parts = ("reward", "delta", "efficiency", "qa_before", "qa_after")
        row = {"question": self.question, "answer": self.answer, "dialogue": dialogue}
        return row | {part: self.reward[part] for part in parts}


def asked(extra_info: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the question of a row, or the first line of the session that a session episode shows.

    Args:
        extra_info: the row's ``extra_info``.
        messages: the row's prompt. The last message is the user's.
    """
    if extra_info["episode"] == SESSION:
        return str(messages[-1]["content"]).splitlines()[0]
    return str(extra_info["question"])


def split_turns(response_ids: Sequence[int], response_mask: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Splits a response into turns: ids that the policy generated (``assistant``), and ids of replies (``tool``).

    Args:
        response_ids: the ids of the response.
        response_mask: 1 for each id that the policy generated, 0 for the others.

    Returns:
        The role and the ids of each turn, in order.
    """
    runs: list[tuple[str, list[int]]] = []
    for token, generated in zip(response_ids, response_mask, strict=True):
        role = "assistant" if generated else "tool"
        if not runs or runs[-1][0] != role:
            runs.append((role, []))
        runs[-1][1].append(token)
    return runs


def read_trajectories(
    batch: KVBatchMeta, tokenizer: PreTrainedTokenizerBase, split: str, step: int
) -> list[MemoryTrajectory]:
    """Reads the memory trajectories of a batch from the TransferQueue, in order.

    Args:
        batch: the batch's keys.
        tokenizer: the policy's tokenizer.
        split: ``train`` or ``validation``.
        step: the training step of the policy.
    """
    keys = final_keys(batch)
    if not keys:
        return []
    fields = ["prompts", "responses", "response_mask", "extra_fields", "extra_info", "raw_prompt"]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
    columns: list[Any] = [data["prompts"].unbind(), data["responses"].unbind(), data["response_mask"].unbind()]
    columns += [objects(data[name]) for name in ("extra_fields", "extra_info", "raw_prompt")]
    trajectories = []
    for key, prompt, response, mask, loop, info, messages in zip(keys, *columns, strict=True):
        turns = [
            {"role": role, "text": _text(tokenizer, ids).strip()}
            for role, ids in split_turns(response.tolist(), mask.tolist())
        ]
        trajectories.append(
            MemoryTrajectory(
                split=split,
                step=step,
                key=key,
                namespace=str(loop["namespace"]),
                sample_id=str(info["sample_id"]),
                question=asked(info, messages),
                answer=str(info["answer"]),
                prompt=_text(tokenizer, prompt.tolist()),
                turns=turns,
                reward=dict(loop["reward_extra_info"]),
            )
        )
    return trajectories


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True))
