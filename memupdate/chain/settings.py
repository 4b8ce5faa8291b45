"""The settings of a chained run."""

from __future__ import annotations

from dataclasses import dataclass, field

from memupdate.chain.session import TurnLimits
from memupdate.memory import ReadBudget


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """How a chained run is played and scored.

    Attributes:
        seed: of the policy's sampling.
        start: the session before which the conversation's own memories are the bank; None for an empty bank.
        limits: the limits of one session's trajectory.
        embedder: as ``make_embedder`` takes it.
        budget: how much is read for a question, by the mean memory of the conversation's own file.
    """

    seed: int = 0
    start: int | None = None
    limits: TurnLimits = field(default_factory=TurnLimits)
    embedder: str = "hashing"
    budget: ReadBudget = field(default_factory=ReadBudget)
