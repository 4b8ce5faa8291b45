"""The reward manager that verl loads: a task's reward of an answer's text."""

from __future__ import annotations

from typing import Any

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from memgen.tasks import REWARDS


class TaskRewardManager(RewardManagerBase):
    """Scores one trajectory at a time with the reward that ``memgen.reward`` names.

    Args:
        config: the run's whole config.
        tokenizer: the policy's; not used: the agent loop reports the answer's text.
        compute_score: verl's rule-based scorer; not used.
        reward_router_address: where verl serves a reward model; not used.
        reward_model_tokenizer: that model's tokenizer; not used.

    Raises:
        FieldError: no reward has that name.
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
            data: the trajectory's rows as verl sends them; the last one counts.

        Returns:
            ``reward_score``, and ``reward_extra_info``: the reward and the trajectory's counts.
        """
        row = data[-1].non_tensor_batch
        reported = row["tool_extra_fields"]
        reward = self.reward(reported["answer"], row["reference"])
        return {"reward_score": reward, "reward_extra_info": {"reward": reward, **reported["counts"]}}
