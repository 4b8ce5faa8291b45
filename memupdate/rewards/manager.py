"""The reward manager that verl loads. It asks the broker what a trajectory did to its bank, and scores that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from memupdate.broker import MemoryStoreManager
from memupdate.errors import FieldError
from memupdate.failures import FailureLog
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.outcomes import Parts, RewardGuard
from memupdate.rewards.rules import BudgetedRule, PairRule, Rule
from memupdate.rewards.scorers import make_scorer
from memupdate.tools.counts import counts_in

logger = logging.getLogger(__name__)


class MemoryRewardManager(RewardManagerBase):
    """Scores one trajectory at a time and closes its namespace.

    A config chooses it with ``reward.reward_manager={source: importlib, name: MemoryRewardManager, module.path:
    pkg://memupdate.rewards.manager}``. The manager reads ``memory.broker_name`` and ``memory.reward``, which holds the
    fields of ``RewardConfig``. For the formula ``budgeted`` it also reads ``memory.data_dir`` and ``memory.seed``.

    Args:
        config: the whole config of the run.
        tokenizer: the policy's tokenizer. Not used.
        compute_score: verl's rule-based scorer. Not used.
        reward_router_address: where verl serves a reward model. Not used.
        reward_model_tokenizer: the tokenizer of that model. Not used.

    Attributes:
        guard: counts the trajectories that could not be scored.

    Raises:
        FieldError: ``memory.reward`` has an unknown field, or a value that is not allowed.
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
        reward_section: Any = OmegaConf.to_container(config.memory.reward, resolve=True)
        self.reward_config = RewardConfig.from_mapping(reward_section)
        self.scorer = make_scorer(self.reward_config.scorer)
        self._rule = self._chosen_rule()
        self.guard = RewardGuard(self._rule.parts)
        run_dir = config.memory.get("run_dir")  # without one, errors are only logged
        self._failures = FailureLog(Path(run_dir)) if run_dir else None
        self._broker: MemoryStoreManager | None = None

    def _chosen_rule(self) -> Rule:
        if not self.reward_config.is_budgeted:
            return PairRule(self.reward_config)
        memory = self.config.memory
        data_dir = memory.get("data_dir")
        if not data_dir:
            allowed = "the preprocessed folder: the reward draws hidden questions from it"
            raise FieldError("memory.data_dir", data_dir, allowed)
        return BudgetedRule(self.reward_config, Path(data_dir), int(memory.seed))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Scores one trajectory and closes its namespace.

        Args:
            data: the trajectory's rows as verl sends them. Only the last one is read.

        Returns:
            ``reward_score`` and ``reward_extra_info``. GRPO trains on ``reward_score``: the reward minus
            ``call_penalty`` for each malformed or unknown call. ``reward_extra_info`` holds floats under the same keys
            for every trajectory: the reward's parts, ``reward_error`` (0 or 1), ``category``, and the trajectory's
            counts. A trajectory that could not be scored has reward -0.1 and ``reward_error`` 1, and affects no other.
            The trainer takes it out of the batch, and its error is in ``failures.jsonl`` of the run's folder.
        """
        row = data[-1].non_tensor_batch
        extra_info: Mapping[str, Any] = row.get("extra_info") or {}
        reported: Mapping[str, Any] = row.get("tool_extra_fields") or {}
        step = int(row.get("global_steps", -1))
        outcome = await self.guard.run_async(
            str(reported.get("namespace")), lambda: self._score(reported.get("namespace"), extra_info, step)
        )
        if outcome.error and self._failures is not None:
            self._failures.append(step, str(reported.get("namespace")), outcome.error)
        counts = counts_in(reported)
        info = {**outcome.to_dict(), **counts, "category": float(extra_info.get("category") or 0)}
        penalty = self.reward_config.call_penalty * (counts["malformed_calls"] + counts["unknown_calls"])
        return {"reward_score": outcome.reward - penalty, "reward_extra_info": info}

    async def _score(self, namespace: Any, extra_info: Mapping[str, Any], step: int) -> Parts:
        if not isinstance(namespace, str):
            raise FieldError("tool_extra_fields.namespace", namespace, "the namespace that MemoryAgentLoop reports")
        if self._broker is None:
            self._broker = await MemoryStoreManager.connect(self.config.memory.broker_name)
        try:
            score = await self._rule.read(self._broker, namespace, extra_info, step)
        finally:
            await self._broker.close(namespace)
        # In a thread: a scorer may run a model or call an endpoint, and other trajectories wait for this event loop.
        return await asyncio.to_thread(score, self.scorer)
