"""Rollouts with latents as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from memupdate.platform.trace import Trajectory, final_keys, objects


@dataclass(frozen=True)
class LatentTrajectory(Trajectory):
    """One answer as it was scored.

    Attributes:
        reward: the reward, and the method's counts of the answer.
        prompt: the prompt's text.
        response: the response's text, latents as their reserved tokens.
        reference: what the answer was compared with.
    """

    prompt: str
    response: str
    reference: str

    def table_row(self) -> dict[str, Any]:
        """Returns the texts, the reward and the counts."""
        return {"prompt": self.prompt, "response": self.response, "reference": self.reference, **self.reward}


def read_latent_trajectories(batch: KVBatchMeta, tokenizer: Any, split: str, step: int) -> list[LatentTrajectory]:
    """Reads a batch's trajectories from the TransferQueue, in order."""
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
