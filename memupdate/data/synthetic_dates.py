"""Dates of generated conversations: of the sessions, and of events that a speaker dates by the session.

Every answer of a training conversation is an even day (days are counted from the year 1), and every answer of a
held-out conversation an odd one. So no date is an answer in both, although both use all months, years and phrases.
"""

from __future__ import annotations

import datetime
import random

# What a speaker says, and how many days before the session that is.
DAYS_AGO = {
    "yesterday": 1,
    "two days ago": 2,
    "three days ago": 3,
    "four days ago": 4,
    "five days ago": 5,
    "six days ago": 6,
}
# LoCoMo answers it with "The week before", and the day of the session.
LAST_WEEK = "last week"
# Days between two sessions, as in LoCoMo's shorter conversations.
_GAP = (9, 70)


def session_times(chance: random.Random, sessions: int) -> list[datetime.datetime]:
    """Returns when each session begins, in order."""
    day = datetime.datetime(2022, 1, 3) + datetime.timedelta(days=chance.randrange(300))
    times = []
    for _ in range(sessions):
        day += datetime.timedelta(days=chance.randint(*_GAP))
        times.append(day.replace(hour=chance.randint(8, 21), minute=chance.randrange(60)))
    return times


def spoken_time(time: datetime.datetime) -> str:
    """Returns a time as LoCoMo writes it: ``"1:56 pm on 8 May, 2023"``."""
    half = "am" if time.hour < 12 else "pm"
    return f"{(time.hour - 1) % 12 + 1}:{time.minute:02d} {half} on {time.day} {time:%B}, {time.year}"


def relative_date(chance: random.Random, time: datetime.datetime, parity: int) -> tuple[str, str]:
    """Chooses how long before a session something happened.

    Args:
        chance: makes the choice.
        time: when the session begins.
        parity: 0 or 1, that of the answer's day.

    Returns:
        What is said (``"yesterday"``), and the date that it means, as LoCoMo's answers write it (``"7 May 2023"``,
        ``"The week before 8 May 2023"``).
    """
    today = time.date()
    phrases = [phrase for phrase, days in DAYS_AGO.items() if (today.toordinal() - days) % 2 == parity]
    if today.toordinal() % 2 == parity:
        phrases.append(LAST_WEEK)
    phrase = chance.choice(phrases)
    if phrase == LAST_WEEK:
        return phrase, f"The week before {_written(today)}"
    return phrase, _written(today - datetime.timedelta(days=DAYS_AGO[phrase]))


def _written(day: datetime.date) -> str:
    return f"{day.day} {day:%B} {day.year}"
