"""The table of scorers, and how a config names one.

To add a scorer, write a class with ``name``, ``score`` and ``from_options`` (see :mod:`memupdate.rewards.contract`) and
add one line to ``SCORERS``, or an entry point of the group ``memupdate.scorers`` in another package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memupdate.checks import check_mapping
from memupdate.errors import FieldError
from memupdate.rewards.contract import OptionsChecker, Scorer, ScorerType
from memupdate.tables import Table

SCORERS: Table[ScorerType] = Table(
    "memupdate.scorers",
    "reward.scorer.name",
    {
        "span": "memupdate.rewards.span:SpanScorer",
        "overlap": "memupdate.rewards.overlap:OverlapScorer",
        "f1": "memupdate.rewards.reader_f1:ReaderF1Scorer",
        "likelihood": "memupdate.rewards.likelihood:LikelihoodScorer",
        "judge": "memupdate.rewards.judge:JudgeScorer",
    },
)


@dataclass(frozen=True, slots=True)
class ScorerConfig:
    """Which scorer to use, and its options.

    Attributes:
        name: a name in ``SCORERS``.
        options: the scorer's own fields. The scorer checks them when it is made: ``f1`` takes ``ReaderOptions``,
            ``likelihood`` takes ``LikelihoodOptions``, ``judge`` takes ``JudgeOptions``; ``span`` and ``overlap``
            take none.

    Raises:
        FieldError: no scorer has this name, or the options are not a mapping.
    """

    name: str = "span"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        SCORERS.check(self.name)
        check_mapping("reward.scorer.options", self.options, "a mapping of the scorer's fields")

    @classmethod
    def parse(cls, value: ScorerConfig | Mapping[str, Any] | str) -> ScorerConfig:
        """Reads a name (``"overlap"``) or a mapping (``{"name": "judge", "model": ..., ...}``).

        Raises:
            FieldError: the value is neither of these, or no scorer has the name.
        """
        if isinstance(value, ScorerConfig):
            return value
        if isinstance(value, str):
            return cls(name=value)
        if not isinstance(value, Mapping) or "name" not in value:
            raise FieldError("reward.scorer", value, "a name, or a mapping with `name` and the scorer's fields")
        return cls(name=value["name"], options={key: value[key] for key in value if key != "name"})


def _scorer_type(name: str) -> ScorerType:
    """Returns the class of a scorer. Raises FieldError if the table's entry is something else."""
    found = SCORERS.load(name)
    if not (isinstance(found, type) and callable(getattr(found, "from_options", None))):
        raise FieldError(f"entry {name!r} of {SCORERS.group}", SCORERS[name], "a class with from_options")
    return found


def check_scorer(config: ScorerConfig) -> None:
    """Checks the scorer's options, without loading a model.

    Raises:
        FieldError: as :func:`make_scorer`.
        ImportError: the scorer needs a package that is not installed.
    """
    kind = _scorer_type(config.name)
    check = kind.check_options if isinstance(kind, OptionsChecker) else kind.from_options
    check(config.options)


def scores_abstention(config: ScorerConfig) -> bool:
    """Returns whether a scorer can score an abstention question (category 5).

    A scorer that cannot, says so by ``scores_abstention = False`` on its class.
    """
    return bool(getattr(_scorer_type(config.name), "scores_abstention", True))


def make_scorer(config: ScorerConfig | Mapping[str, Any] | str) -> Scorer:
    """Makes the scorer that ``config`` names. A scorer with a local model loads the model here, once.

    Raises:
        FieldError: an unknown scorer, an unknown option, or an option with a value that is not allowed.
        ImportError: the scorer needs a package that is not installed.
    """
    parsed = ScorerConfig.parse(config)
    return _scorer_type(parsed.name).from_options(parsed.options)
