"""U41: the official LoCoMo score, against hand-computed values and a naive re-computation."""

from __future__ import annotations

import json
import math
import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem import PorterStemmer

from memupdate.errors import FieldError
from memupdate.evaluation.locomo import locomo_score, locomo_scores, normalize, token_f1

NAIVE_STEMMER = PorterStemmer()
NAIVE_STEMS: dict[str, str] = {}


def naive_words(text: str) -> list[str]:
    """Normalised words, character by character."""
    lowered = "".join(character for character in text if character != ",").lower()
    runs: list[str] = []
    was_word = None
    for character in lowered:
        if character in string.punctuation:
            continue
        is_word = character.isalnum()
        if is_word is was_word:
            runs[-1] += character
        else:
            runs.append(character)
        was_word = is_word
    return "".join(" " if run in ("a", "an", "the", "and") else run for run in runs).split()


def naive_stem(word: str) -> str:
    if word not in NAIVE_STEMS:
        NAIVE_STEMS[word] = NAIVE_STEMMER.stem(word)
    return NAIVE_STEMS[word]


def naive_f1(prediction: str, gold: str) -> float:
    predicted = [naive_stem(word) for word in naive_words(prediction)]
    remaining = [naive_stem(word) for word in naive_words(gold)]
    size = len(predicted) + len(remaining)
    hits = 0
    for word in predicted:
        if word in remaining:
            remaining.remove(word)
            hits += 1
    # The harmonic mean of hits/|P| and hits/|G| is 2 hits / (|P| + |G|).
    return 2 * hits / size if hits else 0.0


def naive_score(prediction: str, answer: str | int, category: int) -> float:
    gold = str(answer)
    if category == 5:
        lowered = prediction.lower()
        return 1.0 if "no information available" in lowered or "not mentioned" in lowered else 0.0
    if category == 3:
        return naive_f1(prediction, gold.partition(";")[0])
    if category == 1:
        total = 0.0
        parts = gold.split(",")
        for part in parts:
            total += max(naive_f1(candidate, part) for candidate in prediction.split(","))
        return total / len(parts)
    return naive_f1(prediction, gold)


@pytest.mark.parametrize(
    ("prediction", "answer", "category", "score"),
    [
        # stems, articles, case and punctuation: {cat, dog} on both sides
        ("The Cats and dogs!", "cat, dog", 4, 1.0),
        # P = 1/4, R = 1
        ("painted a sunrise in 2022", 2022, 2, 0.4),
        # the bag counts: P = 1/2, R = 1
        ("red red", "red", 4, 2 / 3),
        ("", "red", 4, 0.0),
        ("the", "an", 4, 0.0),
        # commas go before everything else, and leave no blank
        ("1,000", "1000", 4, 1.0),
        ("a,n apple", "apple", 4, 1.0),
        # punctuation goes before articles: "rockandroll" against {rock, roll}
        ("rock-and-roll", "rock and roll", 4, 0.0),
        # only ASCII punctuation goes: the curly apostrophe is a boundary, so "the’s" leaves "’s"
        ("the’s", "’s", 4, 1.0),
        # "camping" 2/3 with "camping trips", "pottery" 1, "swimming" 0
        ("pottery, camping trips", "camping, pottery, swimming", 1, 5 / 9),
        # the prediction is split as well: the whole list as one item has P = 1/3
        ("camping pottery swimming", "camping, pottery, swimming", 1, 0.5),
        # a trailing comma in the gold is an empty item that nothing matches
        ("rowing, chess", "rowing, chess,", 1, 2 / 3),
        ("1,000", "1,000", 1, 1.0),
        ("", "rowing", 1, 0.0),
        # only what stands before the semicolon is gold, for category 3 alone
        ("Likely no", "Likely no; she prefers rivers", 3, 1.0),
        ("Likely no", "Likely no; she prefers rivers", 4, 2 * (2 / 5) / (1 + 2 / 5)),
        ("It is NOT MENTIONED anywhere.", "ignored", 5, 1.0),
        ("No information available", "ignored", 5, 1.0),
        ("no information", "no information", 5, 0.0),
        ("not  mentioned", "", 5, 0.0),
    ],
)
def test_u41_hand_computed(prediction: str, answer: str | int, category: int, score: float) -> None:
    assert locomo_score(prediction, answer, category) == pytest.approx(score, abs=1e-12)
    assert naive_score(prediction, answer, category) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("category", [0, 6, -1, None, "1"])
def test_u41_unknown_category(category: object) -> None:
    with pytest.raises(FieldError, match="category"):
        locomo_score("x", "x", category)  # type: ignore[arg-type]


WORDS = st.sampled_from(
    ["a", "an", "the", "and", "The", "cats", "cat", "running", "ran", "1,000", "don't", "x-y", "and-the", ",", ";", "é"]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=8).map(" ".join), st.text(max_size=30))


@settings(max_examples=300, deadline=None)
@given(prediction=TEXTS, answer=TEXTS, category=st.integers(1, 5))
def test_u41_equals_the_naive_computation(prediction: str, answer: str, category: int) -> None:
    score = locomo_score(prediction, answer, category)
    assert 0 <= score <= 1
    assert score == pytest.approx(naive_score(prediction, answer, category), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(first=TEXTS, second=TEXTS)
def test_u41_token_f1_is_symmetric_and_normalisation_idempotent(first: str, second: str) -> None:
    assert token_f1(first, second) == pytest.approx(token_f1(second, first), abs=1e-12)
    assert token_f1(first, first) == (1.0 if normalize(first) else 0.0)


def perturbed(answer: str, others: list[str], rng: random.Random) -> str:
    words = answer.split() or ["x"]
    return rng.choice(
        [
            answer,
            answer.upper() + ".",
            " ".join(rng.sample(words, len(words))),
            " ".join(words[: rng.randint(0, len(words))]),
            f"The answer is {answer}, and {rng.choice(others)}",
            ", ".join(words),
            rng.choice(others),
            "",
            "It is not mentioned; no information available.",
            " ".join(word + rng.choice(["s", "ing", "ed", "'s", "-a"]) for word in words),
        ]
    )


def test_u41_equals_the_naive_computation_on_real_answers(locomo_json: Path) -> None:
    questions = [question for sample in json.loads(locomo_json.read_bytes()) for question in sample["qa"]]
    answers = [question.get("answer", question.get("adversarial_answer")) for question in questions]
    categories = [question["category"] for question in questions]
    rng = random.Random(41)
    texts = [str(answer) for answer in answers]
    predictions = [perturbed(text, texts, rng) for text in texts]
    scores = locomo_scores(predictions, answers, categories)
    naive = [naive_score(*item) for item in zip(predictions, answers, categories, strict=True)]
    assert list(scores.scores) == pytest.approx(naive, abs=1e-12)
    assert {category: score.n for category, score in scores.per_category.items()} == {
        1: 282,
        2: 321,
        3: 96,
        4: 841,
        5: 446,
    }
    for category, score in scores.per_category.items():
        own = [value for value, its in zip(naive, categories, strict=True) if its == category]
        assert 0 < score.mean < 1 and score.mean == pytest.approx(math.fsum(own) / len(own), abs=1e-12)
    assert scores.overall.n == 1986
    assert scores.overall.mean == pytest.approx(math.fsum(naive) / 1986, abs=1e-12)


def test_u41_gold_answers_score_one_but_for_their_form(locomo_json: Path) -> None:
    """Gold as prediction scores 1 outside category 5, unless normalisation leaves nothing of a part."""
    questions = [question for sample in json.loads(locomo_json.read_bytes()) for question in sample["qa"]]
    open_questions = [question for question in questions if question["category"] in (1, 2, 4)]
    for question in open_questions:
        answer = str(question["answer"])
        parts = answer.split(",") if question["category"] == 1 else [answer]
        if all(naive_words(part) for part in parts):
            assert locomo_score(answer, question["answer"], question["category"]) == 1.0


def test_u41_lists_of_different_lengths() -> None:
    with pytest.raises(FieldError, match="one length"):
        locomo_scores(["a"], ["a", "b"], [1, 1])
    with pytest.raises(FieldError, match="not empty"):
        locomo_scores([], [], [])
