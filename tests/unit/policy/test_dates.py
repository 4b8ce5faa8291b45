"""Relative dates, as the tiny policy's demonstrations resolve them. The expected days were looked up in a calendar."""

from __future__ import annotations

import datetime

import pytest

from memupdate.policy.dates import read_day, resolved


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I ran yesterday.", "I ran on 28 February 2024."),
        ("Yesterday I ran.", "on 28 February 2024 I ran."),
        ("I ran two days ago, not yesterday.", "I ran on 27 February 2024, not yesterday."),
        ("I ran 3 days ago.", "I ran on 26 February 2024."),
        ("It is today!", "It is on 29 February 2024!"),
        ("I run tomorrow.", "I run on 1 March 2024."),
        ("I ran last week.", "I ran the week before 29 February 2024."),
        ("I ran last weekend.", "I ran the weekend before 29 February 2024."),
        ("I ran last month.", "I ran in January 2024."),
        ("I ran last year.", "I ran in 2023."),
        ("I ran last Friday.", "I ran on 23 February 2024."),
        ("I ran last Thursday.", "I ran on 22 February 2024."),
        ("I run often.", "I run often."),
        ("The todayish day.", "The todayish day."),
    ],
)
def test_relative_dates_of_a_leap_day(text: str, expected: str) -> None:
    assert resolved(text, datetime.date(2024, 2, 29)) == expected  # a Thursday


def test_the_month_before_january_is_in_the_year_before() -> None:
    assert resolved("last month", datetime.date(2024, 1, 31)) == "in December 2023"


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("1:56 pm on 8 May, 2023", datetime.date(2023, 5, 8)),
        ("31 December 2022", datetime.date(2022, 12, 31)),
        ("some day", None),
        ("", None),
    ],
)
def test_the_day_of_a_session_is_read(date: str, day: datetime.date | None) -> None:
    assert read_day(date) == day
