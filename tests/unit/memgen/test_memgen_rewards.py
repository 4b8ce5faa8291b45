"""G28: rewards of single-turn tasks, against tables written by hand."""

from __future__ import annotations

import pytest

from memgen.tasks import REWARDS
from memgen.tasks.math_answers import boxed, same_answer
from memupdate.errors import FieldError

reward_of = REWARDS.load

EQUAL = [
    ("1,000", "1000"),
    ("1{,}000", "1000"),
    ("1,\\!234,567", "1234567"),
    ("18.0", "18"),
    ("18.", "18"),
    (".5", "0.50"),
    ("$18", "18"),
    ("\\$18.00", "18"),
    ("-$5", "−5"),
    ("+5", "5"),
    ("50\\%", "50"),
    ("50%", "50 percent"),
    ("45^\\circ", "45"),
    ("45^{\\circ}", "45 degrees"),
    ("45°", "45"),
    ("18 dollars", "18"),
    ("18\\text{ apples}", "18"),
    ("12\\,\\mathrm{cm}^2", "12"),
    ("12 cm^2", "12 cm^{2}"),
    ("60 km/h", "60"),
    ("60 miles per hour", "60"),
    ("5 m", "5"),
    ("\\frac{1}{2}", "0.5"),
    ("\\dfrac12", "1/2"),
    ("-\\frac{3}{4}", "-0.75"),
    ("\\frac{-3}{4}", "-3/4"),
    ("\\frac{1,000}{4}", "250"),
    ("1\\frac{1}{2}", "1.5"),
    ("1 1/2", "3/2"),
    ("-1\\frac{1}{2}", "-1.5"),
    ("2/4", "1/2"),
    ("x = 5", "5"),
    ("\\text{(A)}", "A"),
    ("(b)", "B"),
    ("\\text{Monday}", "monday"),
    ("(1, 2)", "(1,2)"),
    ("\\left(3, 4\\right)", "(3,4)"),
    ("2\\pi", "2 \\pi"),
    ("\\{1, 2\\}", "\\{1,2\\}"),
    ("\\frac{x}{2}", "\\dfrac{x}{2}"),
    ("9" * 6000, "9" * 6000),
]

DIFFERENT = [
    ("1,000", "100"),
    ("1,00", "100"),
    ("18", "18.5"),
    ("18", "-18"),
    ("0.333", "1/3"),
    ("5 cm", "5 m"),
    ("5 million", "5"),
    ("2\\pi", "2"),
    ("2 pi", "2"),
    ("5x", "5"),
    ("5 dozen", "5"),
    ("1/0", "1"),
    ("1, 2", "12"),
    ("18 or 19", "18"),
    ("A", "B"),
    ("2^3", "2"),
    ("50%", "0.5"),
    ("\\frac{1}{3}", "1"),
    ("-1\\frac{1}{2}", "-0.5"),
]


@pytest.mark.parametrize(("first", "second"), EQUAL)
def test_g28_answers_that_are_equal(first: str, second: str) -> None:
    assert same_answer(first, second)
    assert same_answer(second, first)
    assert reward_of("math")(f"So it is \\boxed{{{first}}}.", f"because\n#### {second}") == 1.0


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_g28_answers_that_differ(first: str, second: str) -> None:
    assert not same_answer(first, second)
    assert not same_answer(second, first)
    assert reward_of("math")(f"So it is \\boxed{{{first}}}.", f"because\n#### {second}") == 0.0


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{18}", ["18"]),
        ("first \\boxed{1}, then \\boxed {2}", ["1", "2"]),
        ("\\boxed{\\frac{1}{2}} and more}", ["\\frac{1}{2}"]),
        ("\\boxed{\\boxed{5}}", ["\\boxed{5}", "5"]),
        ("\\boxed{\\{1\\}}", ["\\{1\\}"]),
        ("\\boxed{3} and then cut: \\boxed{4", ["3"]),
        ("\\boxed{} boxed{4} \\boxed 4", []),
        ("18", []),
    ],
)
def test_g28_boxes_have_balanced_braces(text: str, inside: list[str]) -> None:
    assert boxed(text) == inside


def test_g28_first_or_last_box_by_option() -> None:
    answer = "either \\boxed{17} or \\boxed{18}"
    assert (reward_of("math")(answer, "18"), reward_of("math_first_box")(answer, "18")) == (1.0, 0.0)
    assert (reward_of("math")(answer, "17"), reward_of("math_first_box")(answer, "17")) == (0.0, 1.0)
    assert reward_of("math_first_box")("\\boxed{\\boxed{5}}", "5") == 1.0


@pytest.mark.parametrize(
    "reference", ["48/2=24\n24-6=18\n#### 18", "so\n\\boxed{18}", " 18 ", "one \\boxed{3}\n#### 18"]
)
def test_g28_a_reference_says_its_value_in_one_of_three_ways(reference: str) -> None:
    assert reward_of("math")("\\boxed{18}", reference) == 1.0
    assert reward_of("math")("\\boxed{3}", reference) == 0.0


def test_g28_without_a_box_nothing_matches() -> None:
    assert reward_of("math")("The answer is 18", "18") == 0.0
    assert reward_of("math")("", "") == 0.0


def test_exact_is_the_same_words() -> None:
    exact = reward_of("exact")
    assert exact(" Red, Blue.\n", "red, blue.") == 1.0
    assert exact("red blue.", "red, blue.") == 0.0
    assert exact("", "red") == 0.0


def test_an_unknown_reward_names_the_known_ones() -> None:
    with pytest.raises(FieldError, match=r"reward: got 'code'; allowed: one of math, math_first_box, exact"):
        reward_of("code")
    assert all(isinstance(reward("x", "x"), float) for reward in map(reward_of, REWARDS))
