"""Answers that must be the reference's words."""

from __future__ import annotations


def exact_reward(answer: str, reference: str) -> float:
    """Returns 1.0 where the answer is the reference's words, else 0.0; case and surrounding blanks are ignored."""
    return float(answer.strip().casefold() == reference.strip().casefold())
