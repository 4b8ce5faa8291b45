"""Splits one memory into several.

Each sentence of the memory goes into exactly one part, so the parts together contain every word. If the memory has too
few sentences, its clauses take their place.

- ``temporal``: by the times that the sentences mention. If they mention only one time or none, by their order.
- ``thematic``: sentences that share words stay together.
- ``speaker``: by the person who speaks in a sentence, or whom it is about.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from memupdate.checks import check_choice
from memupdate.errors import FieldError
from memupdate.memory.record import Memory
from memupdate.memory.sentences import clauses, sentences
from memupdate.memory.words import STOPWORDS, WORD, content_stems, tokens

SPLIT_CRITERIA = ("temporal", "thematic", "speaker")

# Clustering compares every pair, so a very long text is first put together into so many pieces.
_MAX_UNITS = 64
# Two clusters whose cosine is at least this are one theme.
_ONE_THEME = 0.1

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_DATE = re.compile(
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?:\s+of)?\s+{_MONTH}(?:,?\s+\d{{4}})?\b|\b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s+\d{{4}})?"
    rf"|\b(?:in|since|until|by|during|last|next|this)\s+{_MONTH}(?:,?\s+\d{{4}})?\b|\b{_MONTH},?\s+\d{{4}}\b"
    r"|\b\d{4}[-/]\d{1,2}[-/]\d{1,2}\b|\b(?:19|20)\d{2}\b"
)
_RELATIVE = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|currently|nowadays|recently|(?:a|an|one|two|three|four|five|six|seven|eight|"
    r"nine|ten|few|several|\d+)\s+(?:day|night|week|weekend|month|year)s?\s+(?:ago|before|earlier|later|after|from\s+now)"
    r"|(?:last|next|this|the\s+following|the\s+previous)\s+(?:\w+\s+)?(?:morning|evening|night|day|week|weekend|month|"
    rf"year|spring|summer|autumn|fall|winter|{_DAY})|(?:on\s+)?{_DAY}|as\s+a\s+child|in\s+the\s+future)\b",
    re.IGNORECASE,
)


def split_content(memory: Memory, criterion: str, max_parts: int) -> list[str]:
    """Returns the contents of the parts of a memory.

    If a single sentence is split and a part loses the name of the speaker, the name is put in front of that part.

    Args:
        memory: the memory to split.
        criterion: one of ``SPLIT_CRITERIA``.
        max_parts: how many parts at most, from 2.

    Raises:
        FieldError: the criterion is unknown, or the content cannot be split by it.
    """
    check_choice("split_criteria", criterion, SPLIT_CRITERIA)
    whole = sentences(memory.content)
    fine = [clause for sentence in whole for clause in clauses(sentence)]
    if len(fine) < 2:
        raise FieldError("memory_id", memory.id, "a memory of two clauses or more; this one is a single clause")
    groups: list[list[int]] = []
    for units in (whole, fine):
        pieces = _at_most(units, _MAX_UNITS)
        if len(pieces) > 1:
            groups = _GROUPERS[criterion](pieces, memory, max_parts)
        if len(groups) > 1:
            break
    if len(groups) < 2:
        raise FieldError("split_criteria", criterion, "temporal or thematic; this memory is about one person")
    parts = [" ".join(pieces[place] for place in group) for group in _limited(groups, pieces, max_parts)]
    if len(whole) == 1 and criterion != "speaker" and memory.speaker and _mentions(memory.content, memory.speaker):
        parts = [part if _mentions(part, memory.speaker) else f"{memory.speaker}: {part}" for part in parts]
    return parts


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


def _at_most(units: list[str], count: int) -> list[str]:
    if len(units) <= count:
        return units
    edges = [round(place * len(units) / count) for place in range(count + 1)]
    return [" ".join(units[start:stop]) for start, stop in itertools.pairwise(edges)]


def _by_key(keys: Sequence[str | None]) -> list[list[int]]:
    """Places of equal keys, by first appearance. A piece without a key goes with the one before it."""
    current: str | None = None
    groups: dict[str | None, list[int]] = {}
    for place, key in enumerate(keys):
        current = current if key is None else key
        groups.setdefault(current, []).append(place)
    return list(groups.values())


def _limited(groups: list[list[int]], pieces: list[str], max_parts: int) -> list[list[int]]:
    """Joins the two neighbouring groups that are shortest together, until there are few enough."""
    groups = list(groups)
    while len(groups) > max_parts:
        lengths = [sum(len(pieces[place]) for place in group) for group in groups]
        shortest = min(range(len(groups) - 1), key=lambda place: lengths[place] + lengths[place + 1])
        groups[shortest : shortest + 2] = [sorted(groups[shortest] + groups[shortest + 1])]
    return groups


def _temporal(pieces: list[str], memory: Memory, max_parts: int) -> list[list[int]]:
    def named_time(piece: str) -> str | None:
        found = _DATE.search(piece) or _RELATIVE.search(piece)
        return " ".join(tokens(found.group())) if found else None

    groups = _by_key([named_time(piece) for piece in pieces])
    return groups if len(groups) > 1 else [[place] for place in range(len(pieces))]


def _thematic(pieces: list[str], memory: Memory, max_parts: int) -> list[list[int]]:
    """Agglomerative clustering by the cosine of summed tf-idf vectors, until themes are few enough and apart."""
    stems = [set(content_stems(piece)) for piece in pieces]
    vocabulary = {word: place for place, word in enumerate(sorted(set().union(*stems)))}
    vectors_UV = np.zeros((len(pieces), len(vocabulary)))
    for place, words in enumerate(stems):
        vectors_UV[place, [vocabulary[word] for word in words]] = 1
    # Inverse document frequency: a name that is in nearly every piece says little about the theme.
    vectors_UV *= np.log((len(pieces) + 1) / vectors_UV.sum(axis=0))
    groups = [[place] for place in range(len(pieces))]
    while len(groups) > 2:
        norms_U = np.maximum(np.linalg.norm(vectors_UV, axis=1), 1e-9)
        cosines_UU = np.round(vectors_UV @ vectors_UV.T / norms_U[:, None] / norms_U, 6)
        left, right = np.triu_indices(len(groups), 1)
        # Of equally similar pairs the smallest one, then the nearest and first: unrelated sentences fall in order.
        sizes = np.array([len(group) for group in groups])
        best = np.lexsort((left, right - left, sizes[left] + sizes[right], -cosines_UU[left, right]))[0]
        keep, gone = int(left[best]), int(right[best])
        if len(groups) <= max_parts and cosines_UU[keep, gone] < _ONE_THEME:
            break
        vectors_UV[keep] += vectors_UV[gone]
        vectors_UV = np.delete(vectors_UV, gone, axis=0)
        groups[keep] = sorted(groups[keep] + groups.pop(gone))
    return groups


def _speaker(pieces: list[str], memory: Memory, max_parts: int) -> list[list[int]]:
    people = _people(pieces, memory.speaker)

    def who(piece: str) -> str | None:
        said = _SAID.match(piece)
        if said and said[1] in people:
            return said[1]
        if memory.speaker and not _FIRST_PERSON.isdisjoint(tokens(piece)):
            return memory.speaker
        return next((name for name in _names(piece) if name in people), None)

    keys = [who(piece) for piece in pieces]
    first = next((key for key in keys if key is not None), None)
    return _by_key([first, *keys[1:]])  # what is said before the first name is about that person too


_SAID = re.compile(r"\s*([^\W\d_][\w'’-]*)\s*:")
_FIRST_PERSON = frozenset(["i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself"])
_CALENDAR = re.compile(rf"{_MONTH}|{_DAY}")


def _names(text: str) -> list[str]:
    """Capitalised words that can be a person's name, without a possessive ending."""
    words = [re.sub(r"['’]s$", "", word) for word in WORD.findall(text)]
    return [
        word
        for word in words
        if word[0].isupper()
        and not word.isupper()
        and word.casefold() not in STOPWORDS
        and not _CALENDAR.fullmatch(word)
    ]


def _people(pieces: list[str], speaker: str) -> set[str]:
    """Names in the text; a word that begins a piece counts unless its form says otherwise ("Painting is fun")."""
    lower = {word for piece in pieces for word in WORD.findall(piece) if word[0].islower()}
    names = {speaker} - {""}
    for piece in pieces:
        first = WORD.search(piece)
        for name in _names(piece):
            starts = first is not None and first.group().startswith(name)
            if not (starts and (name.casefold() in lower or name.endswith(("ing", "ly")))):
                names.add(name)
    return names


_GROUPERS: dict[str, Callable[[list[str], Memory, int], list[list[int]]]] = {
    "temporal": _temporal,
    "thematic": _thematic,
    "speaker": _speaker,
}
