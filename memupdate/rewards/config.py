"""The ``reward`` section of a config: how the edits of a bank are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memupdate.checks import (
    build_options,
    check_at_least,
    check_choice,
    check_number_between,
    check_number_from_zero,
    check_positive_int,
    check_positive_number,
)
from memupdate.memory.reading import MAX_READ_CHARACTERS, ReadBudget
from memupdate.rewards.formulas import FORMULAS, Budgeted
from memupdate.rewards.scorers import ScorerConfig

DEFAULT_CAPS = {"relative": 1.0, "absolute": 100.0}


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """How banks are scored.

    Attributes:
        scorer: the QA scorer: a ``ScorerConfig``, a mapping of its fields, or a name.
        top_k: how many memories are retrieved for the question.
        formula: a name in ``FORMULAS``: ``budgeted``, ``monotone`` or ``product``. ``budgeted`` reads ``read_memories``
            to ``refund``; the others read ``top_k``, ``cap_mode`` and ``cap``.
        cap_mode: ``relative`` (``cap`` is a multiple of the bank's starting size) or ``absolute`` (``cap`` is a number
            of memories). None takes the formula's own mode: relative for ``monotone``, absolute for ``product``. It is
            never None after construction.
        cap: the bank size above which ``size_factor`` falls. None takes 1.0 if relative and 100 if absolute. It is
            never None after construction.
        read_memories: how much is read for a question, as a multiple of the mean memory of the initial bank.
        read_characters: how much is read for a question, in characters; None to take ``read_memories``.
        hidden_questions: how many questions of the conversation that are not in the prompt a trajectory is scored on.
        storage_price: what it costs to store as many characters as are read for one question.
        refund: the largest part of the reward that saved characters pay: for a bank that is empty afterwards.
        call_penalty: what each malformed or unknown call takes off the reward that the policy is trained on. The reward
            that is logged and reported does not have it.

    Raises:
        FieldError: a field has a value that is not allowed.
    """

    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    top_k: int = 5
    formula: str = "budgeted"
    cap_mode: str | None = None
    cap: float | None = None
    read_memories: float = 5.0
    read_characters: int | None = None
    hidden_questions: int = 4
    storage_price: float = 0.04
    refund: float = 0.05
    call_penalty: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scorer", ScorerConfig.parse(self.scorer))
        check_positive_int("reward.top_k", self.top_k)
        formula = FORMULAS.load(self.formula)
        check_number_between("reward.read_memories", self.read_memories, 1, MAX_READ_CHARACTERS)
        if self.read_characters is not None:
            check_positive_int("reward.read_characters", self.read_characters)
        check_at_least("reward.hidden_questions", self.hidden_questions, 0)
        check_number_from_zero("reward.storage_price", self.storage_price)
        check_number_from_zero("reward.refund", self.refund)
        mode = formula.cap_mode if self.cap_mode is None else self.cap_mode
        object.__setattr__(self, "cap_mode", check_choice("reward.cap_mode", mode, DEFAULT_CAPS))
        cap = DEFAULT_CAPS[mode] if self.cap is None else self.cap
        object.__setattr__(self, "cap", check_positive_number("reward.cap", cap))
        check_number_from_zero("reward.call_penalty", self.call_penalty)

    @classmethod
    def original(cls, scorer: ScorerConfig | None = None) -> RewardConfig:
        """Returns the config of the original formula: the plain product with an absolute cap of 100 memories."""
        return cls(scorer=scorer or ScorerConfig(), formula="product", cap_mode="absolute", cap=100.0)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> RewardConfig:
        """Reads a config's ``reward`` section.

        Raises:
            FieldError: an unknown field, or a value that is not allowed. The error's field is ``reward.<name>``.
        """
        return build_options(cls, values, "reward")

    @property
    def is_budgeted(self) -> bool:
        """Whether the reward reads hidden questions and a budget of characters (:mod:`memupdate.rewards.budgeted`)."""
        return isinstance(FORMULAS.load(self.formula), Budgeted)

    def read_budget(self, mean_if_empty: float | None = None) -> ReadBudget:
        """Returns how much is read for a question. ``mean_if_empty`` is taken for a bank without memories."""
        return ReadBudget(self.read_memories, self.read_characters, mean_if_empty)

    def cap_on(self, count_before: int) -> float:
        """Returns the cap in memories.

        Args:
            count_before: the number of memories that the bank started with. A relative cap on an empty bank is
                infinite.
        """
        assert self.cap is not None
        if self.cap_mode == "absolute":
            return self.cap
        return self.cap * count_before if count_before else math.inf
