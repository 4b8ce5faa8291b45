"""Sizes and training of the tiny policy: measured to learn to call tools within a minute or so on two CPU cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memupdate.errors import FieldError


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How the tiny policy is made and warm-started.

    Attributes:
        seed: of the initial weights and of the demonstrations.
        vocab_size: entries of the tokenizer at most.
        hidden_size: width of the residual stream.
        heads: attention heads of each of the two layers, with keys and values of their own; at least 2.
        head_dim: width of a head; 64, which leaves room for fast and for slow rotary pairs.
        intermediate_size: width of the feed-forward layers.
        rope_theta: base of the rotary positions; large, so that the slow half of the pairs hardly turns over a whole
            trajectory and finds things by content.
        embedder: what the demonstrations search with.
        trajectories: demonstrated trajectories, training rows.
        drills: copying drills, training rows.
        validation_rows: demonstrated trajectories of the validation file.
        batch_size: rows of one optimiser step.
        steps: optimiser steps.
        learning_rate: the peak, after a short warm-up; it falls to a tenth along a cosine.
    """

    seed: int = 0
    vocab_size: int = 2048
    hidden_size: int = 128
    heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 256
    rope_theta: float = 1e6
    embedder: str = "hashing"
    trajectories: int = 2400
    drills: int = 1600
    validation_rows: int = 64
    batch_size: int = 4
    steps: int = 700
    learning_rate: float = 2e-3

    @classmethod
    def parse(cls, assignments: Sequence[str]) -> PolicySettings:
        """Settings from ``name=value`` texts.

        Raises:
            FieldError: an unknown name, or a value of another type.
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
        """Every field, as a JSON object."""
        return asdict(self)
