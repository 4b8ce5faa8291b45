"""Cuts a text into sentences and clauses. It cuts at white space only, so the pieces contain every word of the text."""

from __future__ import annotations

import re

from memupdate.memory.words import WORD

# A sentence ends at a line break, or at a mark and a blank; but "(8 May, 2023)" after it belongs to it.
_SENTENCE_END = re.compile(r"""\n|(?<=[.!?])["'”’)\]]*(?P<blank> )(?!\()|(?<=[。！？])""")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|etc|e\.g|i\.e|[ap]\.m)\.$", re.IGNORECASE
)

_CONJUNCTIONS = "and|but|so|or|yet|while|which|who|where|because|after|before|since|although|though|when|then"
# Weaker and weaker places to cut one sentence, and the words that each side must have.
_CLAUSE_ENDS = (
    (re.compile(r"(?<=;)\s+"), 1),
    (re.compile(rf"(?<=,)\s+(?=(?:{_CONJUNCTIONS}|\w+ing)\b)", re.IGNORECASE), 3),
    (re.compile(rf"\s+(?=(?:{_CONJUNCTIONS})\b)", re.IGNORECASE), 3),
    (re.compile(r"(?<=,)\s+"), 2),
)


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, in order. A text with at least one word has at least one sentence.

    Every run of white space in a sentence becomes one space.
    """
    # First, because searching long runs of blanks for a cut is quadratic.
    text = "\n".join(" ".join(line.split()) for line in text.splitlines())
    spans = [
        (end.start("blank") if end["blank"] else end.start(), end.end())
        for end in _SENTENCE_END.finditer(text)
        if not (end["blank"] and _ABBREVIATION.search(text, max(0, end.start("blank") - 8), end.start("blank")))
    ]
    return _long_enough(_cut(text, spans), 1)


def clauses(sentence: str) -> list[str]:
    """Returns the clauses of a sentence, in order.

    The sentence is cut at the strongest kind of boundary that it has. A sentence without boundaries is one clause.
    """
    for boundary, words in _CLAUSE_ENDS:
        pieces = _long_enough(_cut(sentence, [end.span() for end in boundary.finditer(sentence)]), words)
        if len(pieces) > 1:
            return pieces
    return [sentence]


def _cut(text: str, spans: list[tuple[int, int]]) -> list[str]:
    starts = [0, *(end for _, end in spans)]
    stops = [*(start for start, _ in spans), len(text)]
    return [text[start:stop].strip() for start, stop in zip(starts, stops, strict=True)]


def _long_enough(pieces: list[str], words: int) -> list[str]:
    """Joins neighbours until every piece has that many words."""
    joined: list[str] = []
    pending: list[str] = []
    found = 0
    for piece in filter(None, pieces):
        pending.append(piece)
        found += len(WORD.findall(piece))
        if found >= words:
            joined.append(" ".join(pending))
            pending, found = [], 0
    if pending:
        joined[-1:] = [" ".join([*joined[-1:], *pending])]
    return joined
