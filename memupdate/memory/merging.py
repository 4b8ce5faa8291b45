"""Merges several memories into one. All text comes from the sources; nothing is generated.

- ``concatenate``: the text of every source, one per line.
- ``summarize``: the sentences of all sources on one line, in order, without repetitions. Neighbouring sentences that
  begin with the same words say these words once. If the sources are long, the least salient sentences are left out, but
  every source keeps at least one.
- ``extract_common``: only the words and phrases that the contents of the sources share.

A date that all sources share stays a field of the merged memory. Different dates become part of its content.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from memupdate.checks import check_choice
from memupdate.errors import FieldError
from memupdate.memory.record import JSON, Memory
from memupdate.memory.sentences import sentences
from memupdate.memory.words import STOPWORDS, WORD, content_stems, stem, tokens

MERGE_STRATEGIES = ("summarize", "concatenate", "extract_common")

# A summary of sources that are longer than this together has this length, or SUMMARY_SHARE of theirs if that is more.
SUMMARY_CHARACTERS = 400
SUMMARY_SHARE = 0.6

_NEGATIONS = frozenset(["no", "not", "never", "none", "nothing", "nobody", "neither", "nor", "without", "cannot"])


def merged_fields(sources: Sequence[Memory], strategy: str) -> dict[str, Any]:
    """Returns all fields of the merged memory but its id.

    A field that has the same value in all sources keeps it. Sources of different types become ``semantic``. The merged
    memory has the evidence of all sources.

    Args:
        sources: the memories to merge.
        strategy: one of ``MERGE_STRATEGIES``.

    Raises:
        FieldError: the strategy is unknown, or it is ``extract_common`` and the memories share nothing.
    """
    check_choice("strategy", strategy, MERGE_STRATEGIES)
    session_date = _shared([source.session_date for source in sources], "")
    if strategy == "concatenate":
        content = "\n".join(source.content if session_date else source.text for source in sources)
    elif strategy == "summarize":
        content = summary(sources, dated=not session_date)
    else:
        content = common(sources)
    metadata: dict[str, JSON] = {
        name: value
        for name, value in sources[0].metadata.items()
        if all(name in source.metadata and source.metadata[name] == value for source in sources)
    }
    return {
        "content": content,
        "memory_type": _shared([source.memory_type for source in sources], "semantic"),
        "speaker": _shared([source.speaker for source in sources], ""),
        "session": _shared([source.session for source in sources], None),
        "session_date": session_date,
        "evidence": tuple(dict.fromkeys(turn for source in sources for turn in source.evidence)),
        "source": _shared([source.source for source in sources], ""),
        "metadata": {**metadata, "merged_from": [source.id for source in sources]},
    }


def _shared(values: Sequence[Any], otherwise: Any) -> Any:
    return values[0] if all(value == values[0] for value in values) else otherwise


@dataclass(slots=True)
class _Sentence:
    source: int
    text: str
    stems: list[str]
    dates: list[str] = field(default_factory=list)


def summary(sources: Sequence[Memory], dated: bool) -> str:
    """Returns the text of the ``summarize`` strategy.

    Args:
        sources: the memories to merge.
        dated: whether the dates of the sources go into the text.
    """
    found = []
    for number, source in enumerate(sources):
        dates = [source.date] if dated and source.text != source.content else []
        found += [_Sentence(number, text, content_stems(text), dates.copy()) for text in sentences(source.content)]
    kept = _within_budget(_without_repeats(found), sum(len(source.content) for source in sources))
    lines = []
    for place, sentence in enumerate(kept):
        text = sentence.text.rstrip().removesuffix(".").rstrip(";, ")
        last = place + 1 == len(kept) or kept[place + 1].dates != sentence.dates
        lines.append(f"{text} ({'; '.join(sentence.dates)})" if last and sentence.dates else text)
    joined = "; ".join(_said_once(lines))
    return joined if joined.endswith(("!", "?")) else joined + "."


def _without_repeats(found: list[_Sentence]) -> list[_Sentence]:
    """Drops sentences that another one holds: the same content words in the same order, and the same negations."""
    kept: list[int] = []
    saying: dict[str, list[int]] = {word: [] for sentence in found for word in sentence.stems}
    for place in sorted(range(len(found)), key=lambda place: -len(found[place].stems)):
        sentence = found[place]
        possible = min((saying[word] for word in sentence.stems), key=len, default=[])
        holder = next((found[other] for other in possible if _holds(found[other], sentence)), None)
        if holder is not None:
            holder.dates += [date for date in sentence.dates if date not in holder.dates]
            continue
        kept.append(place)
        for word in set(sentence.stems):
            saying[word].append(place)
    return [found[place] for place in sorted(kept)]


def _holds(longer: _Sentence, shorter: _Sentence) -> bool:
    rest = iter(longer.stems)
    return _denials(longer.text) == _denials(shorter.text) and all(word in rest for word in shorter.stems)


def _denials(text: str) -> int:
    return sum(word in _NEGATIONS or word.replace("’", "'").endswith("n't") for word in tokens(text))


def _within_budget(found: list[_Sentence], characters: int) -> list[_Sentence]:
    """The most salient sentences that fit, and the most salient one of every source; in their order."""
    budget = max(SUMMARY_CHARACTERS, SUMMARY_SHARE * characters)
    frequency = Counter(word for sentence in found for word in set(sentence.stems))

    def salience(sentence: _Sentence) -> float:
        # Words that come back carry the topic, figures carry facts; the root keeps long sentences from always winning.
        topic = sum(math.log1p(frequency[word]) for word in set(sentence.stems))
        figures = sum(any(letter.isdigit() for letter in word) for word in sentence.stems)
        return round((topic + figures) / math.sqrt(max(1, len(sentence.stems))), 6)

    ranked = sorted(range(len(found)), key=lambda place: -salience(found[place]))
    first = {found[place].source: place for place in reversed(ranked)}
    chosen = set(first.values())
    used = sum(len(found[place].text) for place in chosen)
    for place in ranked:
        length = len(found[place].text)
        if place not in chosen and used + length <= budget:
            chosen.add(place)
            used += length
    return [found[place] for place in sorted(chosen)]


def _said_once(lines: list[str]) -> list[str]:
    """Leaves the beginning that a line shares with the one before it out of it: "Ann is x; is y" → "Ann is x; y"."""
    shortened: list[str] = []
    opening: list[str] = []
    for line in lines:
        words = line.split()
        length = 0
        while length < min(len(opening), len(words) - 1) and opening[length] == words[length]:
            length += 1
        if any(word.casefold() not in STOPWORDS for word in words[:length]):
            opening = opening[:length]
            shortened.append(" ".join(words[length:]))
        else:
            opening = words
            shortened.append(line)
    return shortened


def common(sources: Sequence[Memory]) -> str:
    """Returns the text of the ``extract_common`` strategy: the longest phrases that all sources contain.

    If the sources have no phrase in common, it takes phrases that at least two of them contain. Words are compared by
    their stems. A phrase begins and ends with a content word, and is quoted from the first source that contains it.

    Raises:
        FieldError: no two sources share a content word.
    """
    for others in (len(sources) - 1, 1):
        phrases = _shared_phrases([source.content for source in sources], others)
        if phrases:
            return "In common: " + "; ".join(phrases) + "."
    raise FieldError(
        "strategy", "extract_common", "summarize or concatenate; these memories have no content word in common"
    )


def _shared_phrases(texts: list[str], others: int) -> list[str]:
    """The longest phrases of each text that at least ``others`` of the other texts hold, each phrase once."""
    lines = [f" {' '.join(stem(word) for word in tokens(text))} " for text in texts]
    phrases: dict[str, str] = {}  # stems: the words as they stand in the text
    for number, (text, line) in enumerate(zip(texts, lines, strict=True)):
        other_lines = lines[:number] + lines[number + 1 :]
        blanks = [place for place, letter in enumerate(line) if letter == " "]
        spans = [found.span() for found in WORD.finditer(text)]
        carries = [text[slice(*span)].casefold() not in STOPWORDS for span in spans]
        start = 0
        while start < len(spans):
            stop = _longest(line, blanks, start, other_lines, others)
            inside = [place for place in range(start, stop) if carries[place]]
            start = max(stop, start + 1)
            if not inside:
                continue
            phrase = line[blanks[inside[0]] : blanks[inside[-1] + 1] + 1]
            if not any(phrase in known for known in phrases):
                phrases = {known: shown for known, shown in phrases.items() if known not in phrase}
                phrases[phrase] = text[spans[inside[0]][0] : spans[inside[-1]][1]]
    return list(phrases.values())


def _longest(line: str, blanks: list[int], start: int, other_lines: list[str], others: int) -> int:
    """Where the longest phrase from word ``start`` ends that so many other lines hold.

    A beginning of a held phrase is held, so its length is doubled and then bisected.
    """

    def held(stop: int) -> bool:
        phrase = line[blanks[start] : blanks[stop] + 1]
        return sum(phrase in other for other in other_lines) >= others

    last = len(blanks) - 1
    length = 1
    while start + length <= last and held(start + length):
        length *= 2
    shortest_open = start + length // 2 + 1
    return (
        shortest_open
        - 1
        + bisect_left(range(shortest_open, min(start + length, last + 1)), True, key=lambda stop: not held(stop))
    )
