"""A small conversation's facts, and an embedder whose vectors a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memupdate.memory import Memory

FACTS = (
    ("Caroline", "Caroline attended an LGBTQ support group and found it inspiring."),
    ("Melanie", "Melanie painted a lake sunrise last year."),
    ("Melanie", "Melanie ran a charity race for mental health."),
    ("Caroline", "Caroline is researching adoption agencies."),
    ("Melanie", "Melanie plays the violin every evening."),
    ("Caroline", "Caroline moved from Sweden four years ago."),
)


class ChosenEmbedder:
    """Gives each text the vector that the test chose for it."""

    name = "chosen"

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.vectors = {
            text: np.asarray(vector, dtype=np.float32) / (np.linalg.norm(vector) or 1.0)
            for text, vector in vectors.items()
        }
        self.dim = len(next(iter(self.vectors.values())))
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.stack([self.vectors[text] for text in texts]).astype(np.float32)


def facts() -> list[Memory]:
    return [
        Memory(
            f"m{number}",
            content,
            memory_type=("episodic", "semantic")[number % 2],
            speaker=speaker,
            session=1,
            session_date="1:56 pm on 8 May, 2023",
            evidence=(f"D1:{number}",),
            source="observation",
        )
        for number, (speaker, content) in enumerate(FACTS, start=1)
    ]
