"""Relative dates: what "yesterday" means in a session, said as LoCoMo's answers say it (``7 May 2023``)."""

from __future__ import annotations

import datetime
import re

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}

_DAY = re.compile(rf"(\d{{1,2}}) ({'|'.join(MONTHS)}),? (\d{{4}})")
_RELATIVE = re.compile(
    rf"\b(?:(?P<yesterday>yesterday)|(?P<today>today)|(?P<tomorrow>tomorrow)"
    rf"|(?P<count>{'|'.join(NUMBERS)}|\d) days ago"
    rf"|last (?P<weekday>{'|'.join(WEEKDAYS)})|last (?P<span>week|weekend|month|year))\b",
    re.IGNORECASE,
)


def read_day(date: str) -> datetime.date | None:
    """Returns the day in the text of a session's date; None if there is none."""
    found = _DAY.search(date)
    return datetime.date(int(found[3]), MONTHS.index(found[2]) + 1, int(found[1])) if found else None


def said(day: datetime.date) -> str:
    """Returns a day as LoCoMo's answers say it: ``7 May 2023``."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def resolved(text: str, day: datetime.date) -> str:
    """Returns a text in which the first relative date is replaced by what it means.

    Args:
        text: what was said.
        day: the day on which it was said.

    Returns:
        The text, unchanged if it has no relative date.
    """
    found = _RELATIVE.search(text)
    if found is None:
        return text
    return text[: found.start()] + _meaning(found, day) + text[found.end() :]


def _meaning(found: re.Match[str], day: datetime.date) -> str:
    if found["count"]:
        word = found["count"].lower()
        return f"on {said(day - datetime.timedelta(days=NUMBERS.get(word) or int(word)))}"
    if found["weekday"]:
        back = (day.weekday() - WEEKDAYS.index(found["weekday"].capitalize()) - 1) % 7 + 1
        return f"on {said(day - datetime.timedelta(days=back))}"
    if found["span"]:
        span = found["span"].lower()
        if span == "year":
            return f"in {day.year - 1}"
        if span == "month":
            return f"in {MONTHS[day.month - 2]} {day.year - (day.month == 1)}"
        return f"the {span} before {said(day)}"
    step = -1 if found["yesterday"] else 1 if found["tomorrow"] else 0
    return f"on {said(day + datetime.timedelta(days=step))}"
