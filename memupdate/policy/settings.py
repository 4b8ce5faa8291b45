"""Settings of the tiny policy. With the defaults it learns to call tools within a few minutes on two CPU cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memupdate.checks import check_at_least, check_choice
from memupdate.data.episodes import EPISODES, QUESTION
from memupdate.errors import FieldError


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How the tiny policy is made and warm-started.

    Attributes:
        seed: of the initial weights and of the demonstrations.
        episode: the kind of episodes that are demonstrated, "question" or "session".
        vocab_size: largest number of entries of the tokenizer.
        hidden_size: width of the residual stream.
        layers: number of transformer layers, at least two (see ``induction.py``).
        heads: number of attention heads, at least two. Each has its own keys and values.
        head_dim: width of a head.
        intermediate_size: width of the feed-forward layers.
        copy_gain: how strongly a head outside of the induction circuit starts to pass on what it attends to (see
            ``model.py``).
        rope_theta: base of the rotary positions. The slow pairs of dimensions must hardly rotate over a whole
            trajectory, or nothing can be found by its content.
        embedder: the embedder that demonstrations search with, as ``make_embedder`` takes it.
        trajectories: number of demonstrated trajectories in the training rows.
        drills: number of copying drills in the training rows.
        validation_rows: number of demonstrated trajectories in the validation rows.
        batch_size: number of rows per optimiser step.
        steps: number of optimiser steps.
        learning_rate: the highest rate, after a short warm-up. It then falls to a tenth along a cosine.
    """

    seed: int = 0
    episode: str = QUESTION
    vocab_size: int = 2560
    hidden_size: int = 128
    layers: int = 2
    heads: int = 3
    head_dim: int = 64
    intermediate_size: int = 192
    copy_gain: float = 0.2
    rope_theta: float = 1e6
    embedder: str = "hashing"
    trajectories: int = 2400
    drills: int = 800
    validation_rows: int = 64
    batch_size: int = 8
    steps: int = 160
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        check_choice("policy.episode", self.episode, EPISODES)
        for name in ("layers", "heads"):
            check_at_least(f"policy.{name}", getattr(self, name), 2)

    @classmethod
    def parse(cls, assignments: Sequence[str]) -> PolicySettings:
        """Returns the settings that a list of ``name=value`` texts gives. The others have their defaults.

        Raises:
            FieldError: a name is unknown, or a value has another type.
        """
        types: dict[str, type] = {name: type(value) for name, value in asdict(cls()).items()}
        values: dict[str, Any] = {}
        for assignment in assignments:
            name, _, text = assignment.partition("=")
            if name not in types:
                raise FieldError(f"policy.{name}", text, "one of " + ", ".join(types))
            try:
                values[name] = types[name](text)
            except ValueError as error:
                raise FieldError(f"policy.{name}", text, f"a value of type {types[name].__name__}") from error
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns every field, as a JSON object."""
        return asdict(self)
