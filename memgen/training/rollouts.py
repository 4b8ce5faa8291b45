"""Readable records of rollouts with latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from memupdate.platform.trace import Trajectory, final_keys, objects


@dataclass(frozen=True)
class LatentTrajectory(Trajectory):
    """One scored answer.

    Attributes:
        reward: the reward of the answer and the method's counts.
        prompt: text of the prompt.
        response: text of the response. Latents appear as their reserved tokens.
        reference: text with which the answer was compared.
    """

    prompt: str
    response: str
    reference: str

    def table_row(self) -> dict[str, Any]:
        """Returns a row of the metrics table: the texts, the reward and the counts."""
        return {"prompt": self.prompt, "response": self.response, "reference": self.reference, **self.reward}


def read_latent_trajectories(batch: KVBatchMeta, tokenizer: Any, split: str, step: int) -> list[LatentTrajectory]:
    """Reads the trajectories of a batch from the TransferQueue, in order."""
    keys = final_keys(batch)
    if not keys:
        return []
    fields = ["prompts", "responses", "extra_fields", "reference"]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
    return [
        LatentTrajectory(
            split=split,
            step=step,
            key=key,
            reward=dict(loop["reward_extra_info"]),
            prompt=tokenizer.decode(prompt.tolist()),
            response=tokenizer.decode(response.tolist()),
            reference=str(reference),
        )
        for key, prompt, response, loop, reference in zip(
            keys,
            data["prompts"].unbind(),
            data["responses"].unbind(),
            objects(data["extra_fields"]),
            objects(data["reference"]),
            strict=True,
        )
    ]
