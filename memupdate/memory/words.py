"""The words of a text: tokens, their stems, and which of them carry content."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_VOWELS = frozenset("aeiouy")

# Closed-class English words, and no negation among them: "not" changes what a sentence says.
STOPWORDS = frozenset(
    """
    a an and any are as at be been being both but by can could did do does doing for from had has have having he her
    hers herself him himself his how i i'd i'll i'm i've if in into is it it's its itself just may me might mine
    more most much must my myself of off on onto or other our ours ourselves over own quite really shall she she's
    should so some such than that that's the their theirs them themselves then there there's these they they're
    they've this those through to too toward towards upon us very was we we're we've were what when where which
    while who whom whose why will with would you your yours yourself yourselves
    """.split()  # noqa: SIM905 (one word per line would be 150 lines)
)


def tokens(text: str) -> list[str]:
    """Returns the words of a text in order, case-folded."""
    return [word.casefold() for word in WORD.findall(text)]


@lru_cache(maxsize=65_536)
def stem(token: str) -> str:
    """Removes the most common English endings from a case-folded word: ``researching`` becomes ``research``."""
    word = token.replace("’", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if len(root) < len(word) and len(root) > 2 and not _VOWELS.isdisjoint(root):
            word = root
            if word[-1] == word[-2] and word[-1] not in "aeiouylsz":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def content_stems(text: str) -> list[str]:
    """Returns the stems of the words that carry content, in order. If no word does, the stems of all words."""
    words = tokens(text)
    return [stem(word) for word in words if word not in STOPWORDS] or [stem(word) for word in words]
