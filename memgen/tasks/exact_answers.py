"""The reward of answers that must equal the reference."""

from __future__ import annotations


def exact_reward(answer: str, reference: str) -> float:
    """Returns 1.0 if the answer equals the reference, else 0.0. Case and surrounding whitespace are ignored."""
    return float(answer.strip().casefold() == reference.strip().casefold())
