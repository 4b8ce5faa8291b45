"""The span scorer against a naive search of all spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.rewards.span import SpanScorer

CALENDAR = f"January May June July August September October {' '.join(map(str, range(1, 32)))} 2023"
WORDS = st.lists(st.sampled_from(["red", "green", "blue", "car", "tree", "may"]), max_size=14)


@given(st.lists(st.sampled_from(["red", "green", "blue", "may"]), min_size=1, max_size=4), st.lists(WORDS, max_size=3))
def test_the_best_of_all_spans_counts(answer: list[str], texts: list[list[str]]) -> None:
    wanted = set(answer)
    width = 2 * len(wanted) + 1
    best = max(
        (len(wanted & set(text[start : start + width])) for text in texts for start in range(len(text))), default=0
    )
    scored = SpanScorer().score("q", " ".join(answer), [" ".join(text) for text in texts], 4)
    assert scored == pytest.approx(max(0.0, 2 * best / len(wanted) - 1))


@pytest.mark.parametrize(
    ("answer", "retrieved", "category", "score"),
    [
        ("7 May 2023", ["It was on 7 May, a Sunday, 2023."], 2, 1.0),
        ("7 May 2023", ["Caroline went (8 May, 2023)"], 2, 1 / 3),  # two of three words
        ("7 May 2023", [CALENDAR], 2, 0.0),
        ("pottery, the Rowing", ["She likes rowing."], 1, 0.5),  # a list, item by item
        ("pottery, the Rowing", ["She likes rowing."], 4, 0.0),
        ("Sweden", ["nothing", "from SWEDEN!"], 4, 1.0),
        ("Sweden", [], 4, 0.0),
        ("No information available", ["anything"], 5, 0.5),
        ("the", ["the"], 4, 0.5),
    ],
)
def test_known_scores(answer: str, retrieved: list[str], category: int, score: float) -> None:
    assert SpanScorer().score("q", answer, retrieved, category) == pytest.approx(score)


def test_it_has_no_options() -> None:
    with pytest.raises(FieldError, match=r"reward\.scorer\.x"):
        SpanScorer.from_options({"x": 1})
