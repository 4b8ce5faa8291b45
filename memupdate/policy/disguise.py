"""Sessions in disguise: training sessions in which words are replaced by invented ones.

What held-out conversations speak of, and the sentences in which they do, were never seen in training. A policy that was
shown training sessions alone completes their sentences from memory. In a session in disguise it has to read.
"""

from __future__ import annotations

import random
import re

from memupdate.policy.dates import MONTHS, NUMBERS, WEEKDAYS

# How many sessions are disguised, and the largest share of their words that is replaced.
DISGUISED_SHARE = 0.75
LARGEST_SHARE = 0.7
# Words that say when something happened keep their meaning.
KEPT = {
    *(word.lower() for word in (*MONTHS, *WEEKDAYS, *NUMBERS)),
    *("yesterday", "today", "tomorrow", "days", "ago", "last", "week", "weekend", "month", "year", "am", "pm", "on"),
}

_ONSETS = ("", *"bcdfghjklmnprstvwyz", "br", "ch", "cl", "cr", "dr", "fl", "gr", "pl", "pr", "sh", "st", "th", "tr")
_VOWELS = (*"aeiou", *"aeio", "ai", "ea", "ee", "ou")
_CODAS = ("", "", "", "", *"dklmnnrrsst", "ck", "ll", "nd", "ng", "nt", "rd", "sh", "ss", "st")
_WORD = re.compile(r"[^\W\d_]{2,}")


def invented_word(source: random.Random) -> str:
    """Returns a word of one to three random syllables, sometimes with a capital."""
    syllables = source.choice((1, 2, 2, 3))
    word = "".join(source.choice(_ONSETS) + source.choice(_VOWELS) + source.choice(_CODAS) for _ in range(syllables))
    return word.capitalize() if source.random() < 0.25 else word


def disguised(message: str, source: random.Random) -> str:
    """Returns the user message of a session episode, with words replaced in three of four cases.

    A word is replaced by the same invented word wherever it stands. The first line, with the date, stays.
    """
    if source.random() >= DISGUISED_SHARE:
        return message
    share = source.uniform(0, LARGEST_SHARE)
    words = dict.fromkeys(_WORD.findall(message))
    invented = {
        word: _like(word, invented_word(source))
        for word in words
        if word.lower() not in KEPT and source.random() < share
    }
    first, *lines = message.split("\n")
    return "\n".join([first, *(_WORD.sub(lambda found: invented.get(found[0], found[0]), line) for line in lines)])


def _like(word: str, other: str) -> str:
    """Returns the other word with a capital if the word has one."""
    return other.capitalize() if word[0].isupper() else other.lower()
