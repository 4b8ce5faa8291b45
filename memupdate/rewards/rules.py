"""How a trajectory is scored: what is read of its bank, and which reward is computed from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

from memupdate.broker import BankService
from memupdate.data.episodes import SESSION
from memupdate.data.facts import read_initial_memories
from memupdate.data.questions import StoredQuestion
from memupdate.errors import FieldError
from memupdate.rewards.bank_state import BankState
from memupdate.rewards.budgeted import BudgetedParts, budgeted_reward
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import Scorer
from memupdate.rewards.hidden import HiddenQuestions
from memupdate.rewards.outcomes import Parts
from memupdate.rewards.reward import RewardParts, reward_from_states

Score = Callable[[Scorer], Parts]
"""Computes the parts of a reward from what was read. It may run a model, so call it in a thread."""


class Rule(Protocol):
    """Scores trajectories.

    Attributes:
        parts: the class of the parts of the reward.
    """

    parts: ClassVar[type[Parts]]

    async def read(self, broker: BankService, namespace: str, extra_info: Mapping[str, Any], step: int) -> Score:
        """Reads the trajectory's bank and returns what computes the reward. The bank may be closed after that.

        Args:
            broker: where the bank is.
            namespace: the trajectory's namespace.
            extra_info: the row's ``extra_info``.
            step: the training step.
        """


class PairRule:
    """``monotone`` and ``product``: the shown question on the best ``top_k`` memories of both banks."""

    parts: ClassVar[type[Parts]] = RewardParts

    def __init__(self, config: RewardConfig) -> None:
        self._config = config

    async def read(self, broker: BankService, namespace: str, extra_info: Mapping[str, Any], step: int) -> Score:
        """See :class:`Rule`. Raises FieldError in a session episode, which shows no question."""
        if extra_info.get("episode") == SESSION:
            allowed = "budgeted, the only formula that scores a session episode (memory.episode)"
            raise FieldError("memory.reward.formula", self._config.formula, allowed)
        states = await broker.evaluate(namespace, extra_info["question"], self._config.top_k)
        before, after = BankState(**states["before"]), BankState(**states["after"])
        return lambda scorer: reward_from_states(
            before,
            after,
            extra_info["question"],
            extra_info["answer"],
            scorer=scorer,
            config=self._config,
            category=extra_info.get("category"),
        )


class BudgetedRule:
    """``budgeted``: shown and hidden questions, each on what a budget of characters reads of both banks.

    Args:
        config: the reward's config.
        data_dir: the preprocessed folder, with questions and memories.
        seed: of the draw of hidden questions.
    """

    parts: ClassVar[type[Parts]] = BudgetedParts

    def __init__(self, config: RewardConfig, data_dir: Path, seed: int) -> None:
        self._config = config
        self._hidden = HiddenQuestions(data_dir, config.hidden_questions, seed)
        self._mean_memory = lru_cache(maxsize=256)(lambda sample_id: mean_memory(data_dir, sample_id))

    async def read(self, broker: BankService, namespace: str, extra_info: Mapping[str, Any], step: int) -> Score:
        """See :class:`Rule`. Raises FieldError if there is no question to ask."""
        shown = shown_question(extra_info)
        hidden = self._hidden.draw(extra_info, step)
        questions = [*([shown] if shown else []), *hidden]
        if not questions:
            allowed = "1 or more in a session episode, which shows no question"
            raise FieldError("memory.reward.hidden_questions", self._config.hidden_questions, allowed)
        budget = self._config.read_budget(self._mean_memory(extra_info["sample_id"]))
        readings = await broker.readings(namespace, [one.question for one in questions], budget)
        return lambda scorer: budgeted_reward(readings, shown, hidden, scorer=scorer, config=self._config)


def shown_question(extra_info: Mapping[str, Any]) -> StoredQuestion | None:
    """Returns the question that the policy was given; None in a session episode."""
    if extra_info["episode"] == SESSION:
        return None
    return StoredQuestion(
        int(extra_info["qa_index"]),
        extra_info["question"],
        extra_info["answer"],
        int(extra_info["category"]),
        tuple(extra_info["evidence"]),
    )


def mean_memory(data_dir: Path, sample_id: str) -> float | None:
    """Returns the mean length of a conversation's memories, as texts; None if it has none.

    A bank that starts empty has no mean of its own. This one gives it the budget that the conversation's later banks
    have.
    """
    memories = read_initial_memories(data_dir, sample_id)
    return sum(len(memory.text) for memory in memories) / len(memories) if memories else None
