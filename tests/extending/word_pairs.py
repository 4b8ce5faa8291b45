"""A format of latent training data: a word and its translation, ``{"word": "Hund", "means": "dog"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from memgen.data.formats import DatasetFormat, text_of


class WordPairs(DatasetFormat):
    """Asks for a translation."""

    reward: ClassVar[str] = "exact"  # a name of the rewards of answers

    @staticmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns the question and the answer of one line of the file."""
        return [
            {"role": "user", "content": f"What does {text_of(row, 'word', place)} mean?"},
            {"role": "assistant", "content": text_of(row, "means", place)},
        ]
