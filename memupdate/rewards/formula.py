"""The reward: how much better a question is answered after the edits, times how efficient the bank is.

``delta = QA(after) - QA(before)``, each scored on its own bank, and ``efficiency = size * density * change``, clamped
to [0.1, 1.5]. Two formulas join them:

- ``product``: ``delta * efficiency``. For a negative delta an inefficient bank is punished less than an efficient one.
- ``monotone`` (default): the same for ``delta >= 0``, and ``delta * (2 - efficiency)`` for ``delta < 0``, so that with
  delta fixed a more efficient bank never scores lower. The two agree at efficiency 1, and 2 - efficiency stays in
  [0.5, 1.9]: a loss never turns into a gain.

An empty starting bank (N_before = 0) has nothing to compare with: density is 1, a relative cap does not bind (size 1),
and change is 1 if the bank stayed empty, else its floor 0.8 (the formula's limit). Where banks start empty,
``cap_mode: absolute`` is the one that limits their growth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from memupdate.checks import (
    build_options,
    check_choice,
    check_number_from_zero,
    check_positive_int,
    check_positive_number,
)
from memupdate.errors import FieldError
from memupdate.rewards.scorers import (
    ABSTENTION_CATEGORY,
    NO_SIGNAL,
    ScoreItem,
    Scorer,
    ScorerConfig,
    make_scorer,
    score_items,
)

QA_FLOOR = 0.1
SIZE_FLOOR = 0.1
DENSITY_CEILING = 1.2
CHANGE_FLOOR = 0.8
EFFICIENCY_RANGE = (0.1, 1.5)
FORMULAS = ("monotone", "product")
DEFAULT_CAPS = {"relative": 1.0, "absolute": 100.0}


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """How banks are scored.

    Attributes:
        scorer: the QA scorer: a ``ScorerConfig``, its mapping, or a name.
        top_k: memories retrieved for the question.
        formula: ``monotone`` or ``product``.
        cap_mode: ``relative`` (cap times the bank's starting size) or ``absolute`` (a number of memories). None takes
            the formula's own: relative for ``monotone``, absolute for ``product``; set after construction.
        cap: the bank size above which size_factor falls. None takes 1.0 relative, 100 absolute; set after construction.
        call_penalty: taken off what the policy is trained on, for each malformed or unknown call. The reward itself,
            which is logged and reported, has no part of it.
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
        check_choice("reward.formula", self.formula, FORMULAS)
        if self.cap_mode is None:
            object.__setattr__(self, "cap_mode", "absolute" if self.formula == "product" else "relative")
        check_choice("reward.cap_mode", self.cap_mode, DEFAULT_CAPS)
        if self.cap is None:
            object.__setattr__(self, "cap", DEFAULT_CAPS[str(self.cap_mode)])
        check_positive_number("reward.cap", self.cap)
        check_number_from_zero("reward.call_penalty", self.call_penalty)

    @classmethod
    def original(cls, scorer: ScorerConfig | None = None) -> RewardConfig:
        """The unmodified formula: the plain product with an absolute cap of 100 memories."""
        return cls(scorer=scorer or ScorerConfig(), formula="product", cap_mode="absolute", cap=100.0)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> RewardConfig:
        """Read a config file's ``reward`` section.

        Raises:
            FieldError: an unknown field, or a value that is not allowed; named ``reward.<field>``.
        """
        return build_options(cls, values, "reward")

    def cap_on(self, count_before: int) -> float:
        """The cap in memories for a bank that started with ``count_before``; infinite if relative to an empty one."""
        assert self.cap is not None
        if self.cap_mode == "absolute":
            return self.cap
        return self.cap * count_before if count_before else math.inf


class ReadableMemory(Protocol):
    """What the reward reads of a memory."""

    @property
    def text(self) -> str:
        """The memory as a reader sees it."""


class Hit(Protocol):
    """One search result."""

    @property
    def memory(self) -> ReadableMemory:
        """The memory found."""


class ReadableBank(Protocol):
    """What the reward reads of a bank; a MemoryBank and its snapshots are ones."""

    def __len__(self) -> int: ...

    def search(self, query: str, top_k: int = 5) -> Sequence[Hit]:
        """The best hits, best first."""

    def mean_characters(self) -> float:
        """Mean characters of content per memory; 0 for an empty bank."""


@dataclass(frozen=True, slots=True)
class BankState:
    """All that the reward needs of a bank: small, and cheap to send between processes.

    Attributes:
        count: memories in the bank.
        mean_characters: mean characters of content per memory; 0 for an empty bank.
        retrieved: texts retrieved for the question, best first.
    """

    count: int
    mean_characters: float
    retrieved: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "retrieved", tuple(self.retrieved))
        if self.count < 0:
            raise FieldError("count", self.count, "0 or more memories")
        if not (math.isfinite(self.mean_characters) and self.mean_characters >= 0):
            raise FieldError("mean_characters", self.mean_characters, "a finite number of at least 0")

    @classmethod
    def of(cls, bank: ReadableBank, question: str, top_k: int = 5) -> BankState:
        """Read ``bank`` at this moment: its size, its density and what it retrieves for ``question``."""
        hits = bank.search(question, top_k=top_k)
        return cls(len(bank), bank.mean_characters(), tuple(hit.memory.text for hit in hits))


@dataclass(frozen=True, slots=True)
class RewardParts:
    """A reward and everything it was made of, for the log."""

    reward: float
    delta: float
    efficiency: float
    size_factor: float
    density_factor: float
    change_factor: float
    qa_before: float
    qa_after: float

    def to_dict(self) -> dict[str, float]:
        """The parts by name."""
        return asdict(self)


def size_factor(count: int, cap: float) -> float:
    """1 up to ``cap`` memories, then falling by 1/cap per memory to the floor 0.1."""
    if count <= cap:
        return 1.0
    return max(SIZE_FLOOR, 1.0 - (count - cap) / cap)


def density_factor(before: BankState, after: BankState) -> float:
    """Mean characters per memory after over before, at most 1.2; 1 when the bank was empty."""
    if before.count == 0 or before.mean_characters == 0:
        return 1.0
    return min(DENSITY_CEILING, after.mean_characters / before.mean_characters)


def change_factor(count_before: int, count_after: int) -> float:
    """``1 - 0.5 * |N_after - N_before| / N_before``, at least 0.8; from an empty bank 0.8 for any growth, else 1."""
    if count_before == 0:
        return 1.0 if count_after == 0 else CHANGE_FLOOR
    return max(CHANGE_FLOOR, 1.0 - 0.5 * abs(count_after - count_before) / count_before)


def combine(delta: float, efficiency: float, formula: str = "monotone") -> float:
    """Join performance and efficiency into a reward; see the module's text for the two formulas."""
    check_choice("reward.formula", formula, FORMULAS)
    if formula == "monotone" and delta < 0:
        return delta * (2.0 - efficiency)
    return delta * efficiency


def qa_scores(scorer: Scorer, items: Sequence[ScoreItem]) -> list[float]:
    """QA(bank) for each item, in [0.1, 1]: the scorer's value, 0.5 for an empty answer, floored at 0.1.

    An abstention question (category 5) goes to the scorer even without an answer: it has none by nature.
    """
    to_score = [item for item in items if item.answer.strip() or item.category == ABSTENTION_CATEGORY]
    scores = dict(zip(to_score, score_items(scorer, to_score), strict=True)) if to_score else {}
    return [max(QA_FLOOR, scores.get(item, NO_SIGNAL)) for item in items]


def reward_from_states(
    before: BankState,
    after: BankState,
    question: str,
    answer: str,
    *,
    scorer: Scorer | None = None,
    config: RewardConfig | None = None,
    category: int | None = None,
) -> RewardParts:
    """The reward of editing ``before`` into ``after``.

    QA before is scored on what the bank before retrieved, QA after on what the bank after did. Where both retrieved the
    same texts they are scored once, so that a scorer with noise cannot reward an edit that changed nothing it sees.

    Args:
        before: the bank at the trajectory's start.
        after: the bank at its end.
        question: the target question.
        answer: its gold answer; empty means there is none, and scores 0.5 on both banks.
        scorer: a scorer made once and reused; None makes the one that ``config`` names (which may load a model).
        config: the formula and the cap; None is ``RewardConfig()``.
        category: LoCoMo's category, passed to the scorer.

    Raises:
        FieldError: the scorer's config is not allowed, or its score is outside [0, 1].
    """
    config = config or RewardConfig()
    scorer = scorer or make_scorer(config.scorer)
    old = ScoreItem(question, answer, before.retrieved, category)
    new = ScoreItem(question, answer, after.retrieved, category)
    if old == new:
        qa_before = qa_after = qa_scores(scorer, [old])[0]
    else:
        qa_before, qa_after = qa_scores(scorer, [old, new])

    size = size_factor(after.count, config.cap_on(before.count))
    density = density_factor(before, after)
    change = change_factor(before.count, after.count)
    low, high = EFFICIENCY_RANGE
    efficiency = min(high, max(low, size * density * change))
    delta = qa_after - qa_before
    return RewardParts(
        reward=combine(delta, efficiency, config.formula),
        delta=delta,
        efficiency=efficiency,
        size_factor=size,
        density_factor=density,
        change_factor=change,
        qa_before=qa_before,
        qa_after=qa_after,
    )


def memory_reward(
    before: ReadableBank | BankState,
    after: ReadableBank | BankState,
    question: str,
    answer: str,
    *,
    scorer: Scorer | None = None,
    config: RewardConfig | None = None,
    category: int | None = None,
) -> RewardParts:
    """The reward of editing the bank ``before`` into the bank ``after``; arguments as in ``reward_from_states``.

    Each side is a MemoryBank, a snapshot of one (``bank.initial`` is the bank at its start), or a ``BankState`` that
    was read with the config's ``top_k``.

    Raises:
        FieldError: as ``reward_from_states``, or an empty question.
    """
    config = config or RewardConfig()
    old, new = (
        bank if isinstance(bank, BankState) else BankState.of(bank, question, config.top_k) for bank in (before, after)
    )
    return reward_from_states(old, new, question, answer, scorer=scorer, config=config, category=category)
