"""The ``reward`` section of a config: how the edits of a bank are scored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memupdate.checks import (
    build_options,
    check_choice,
    check_number_from_zero,
    check_positive_int,
    check_positive_number,
)
from memupdate.rewards.formulas import FORMULAS
from memupdate.rewards.scorers import ScorerConfig

DEFAULT_CAPS = {"relative": 1.0, "absolute": 100.0}


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """How banks are scored.

    Attributes:
        scorer: the QA scorer: a ``ScorerConfig``, a mapping of its fields, or a name.
        top_k: how many memories are retrieved for the question.
        formula: a name in ``FORMULAS``: ``monotone`` or ``product``.
        cap_mode: ``relative`` (``cap`` is a multiple of the bank's starting size) or ``absolute`` (``cap`` is a number
            of memories). None takes the formula's own mode: relative for ``monotone``, absolute for ``product``. It is
            never None after construction.
        cap: the bank size above which ``size_factor`` falls. None takes 1.0 if relative and 100 if absolute. It is
            never None after construction.
        call_penalty: what each malformed or unknown call takes off the reward that the policy is trained on. The reward
            that is logged and reported does not have it.

    Raises:
        FieldError: a field has a value that is not allowed.
    """

    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    top_k: int = 5
    formula: str = "monotone"
    cap_mode: str | None = None
    cap: float | None = None
    call_penalty: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scorer", ScorerConfig.parse(self.scorer))
        check_positive_int("reward.top_k", self.top_k)
        formula = FORMULAS.load(self.formula)
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
