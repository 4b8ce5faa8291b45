"""The reward manager that verl loads. It scores the text of an answer with the reward of a task."""

from __future__ import annotations

from typing import Any

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from memgen.tasks import REWARDS


class TaskRewardManager(RewardManagerBase):
    """Scores one trajectory at a time with the reward of ``memgen.reward``.

    Args:
        config: the whole config of the run.
        tokenizer: tokenizer of the policy. It is not used, because the agent loop reports the text of the answer.
        compute_score: verl's rule-based scorer; not used.
        reward_router_address: address of verl's reward model; not used.
        reward_model_tokenizer: tokenizer of that model; not used.

    Raises:
        FieldError: no reward has this name.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self.reward = REWARDS.load(config.memgen.reward)

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Scores one trajectory.

        Args:
            data: the rows of the trajectory, as verl sends them. Only the last row is used.

        Returns:
            ``reward_score``, and ``reward_extra_info`` with the reward and the counts of the trajectory.
        """
        row = data[-1].non_tensor_batch
        reported = row["tool_extra_fields"]
        reward = self.reward(reported["answer"], row["reference"])
        return {"reward_score": reward, "reward_extra_info": {"reward": reward, **reported["counts"]}}
