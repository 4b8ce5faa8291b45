"""The two pools of words: they share no name, no thing and no sentence, so that held-out conversations are new."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from memupdate.data.synthetic_held_out_words import HELD_OUT_WORDS
from memupdate.data.synthetic_training_words import TRAINING_WORDS
from memupdate.data.synthetic_words import ATTRIBUTES, TOPICS, VERBS, Frames, Words

POOLS = (TRAINING_WORDS, HELD_OUT_WORDS)
SLOTS = {"name", "noun", "value", "old", "past", "base", "object", "when"}


def things(words: Words) -> dict[str, tuple[str, ...]]:
    """The things of every kind; names are one of the kinds."""
    return {**words.values, **words.objects, "name": words.names}


def frames(words: Words) -> list[str]:
    kinds = (words.attributes, words.lists, words.events)
    found = [
        frame
        for kind in kinds
        for name in Frames.__dataclass_fields__
        for frame in getattr(kind, name)
        if isinstance(frame, str)
    ]
    pairs = chain(*(kind.dialogues + kind.changed_dialogues for kind in kinds), words.asides)
    return [*found, *chain.from_iterable(pairs), *words.greetings, *words.replies, *words.fillers]


def plain_words(text: str) -> set[str]:
    """Words without their slots, in lower case and without a plural s; articles do not count."""
    found = re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text.lower()))
    return {word.rstrip("s") for word in found} - {"the", "a", ""}


def test_the_pools_share_no_name_and_no_thing() -> None:
    training, held_out = (
        {word for values in things(words).values() for value in values for word in plain_words(value)}
        for words in POOLS
    )
    assert training & held_out == set()


def test_the_pools_share_no_sentence() -> None:
    def bare(frame: str) -> str:
        return " ".join(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "x", frame.lower())))

    training, held_out = ({bare(frame) for frame in frames(words)} for words in POOLS)
    assert training & held_out == set()
    for words in POOLS:
        assert len(set(frames(words))) == len(frames(words))


@pytest.mark.parametrize("words", POOLS, ids=["training", "held out"])
def test_a_word_of_a_thing_says_what_kind_it_is(words: Words) -> None:
    """Neither a sentence nor a thing of another kind contains it, so no answer is found by accident."""
    kinds: dict[str, set[str]] = {}
    for kind, values in things(words).items():
        assert len(set(values)) == len(values)
        for value in values:
            for word in plain_words(value):
                kinds.setdefault(word, set()).add(kind)
    assert {word: found for word, found in kinds.items() if len(found) > 1} == {}
    said = {word for frame in frames(words) for word in plain_words(frame)}
    said |= {word for noun in (*ATTRIBUTES, *TOPICS, *VERBS, *VERBS.values()) for word in plain_words(noun)}
    assert said & set(kinds) == set()


@pytest.mark.parametrize("words", POOLS, ids=["training", "held out"])
def test_pools_are_complete(words: Words) -> None:
    assert set(words.values) == {*ATTRIBUTES, *TOPICS} and set(words.objects) == set(VERBS)
    # Two speakers have three values each, or four items each, and all differ.
    assert min(len(values) for values in words.values.values()) >= 8
    assert len(words.names) >= 20
    for frame in frames(words):
        slots = {name for _, name, _, _ in Formatter().parse(frame) if name}
        assert slots <= SLOTS and not frame.startswith(("{value}", "{old}", "{when}", "{object}"))
    for kind, thing in ((words.attributes, "value"), (words.lists, "value"), (words.events, "object")):
        for frame in (*kind.turns, *kind.facts, *kind.changes, *kind.restated, *kind.changed_facts):
            assert f"{{{thing}}}" in frame
        assert all("{name}" in frame for frame in (*kind.facts, *kind.changed_facts, *kind.questions))
        for _, answer in kind.dialogues + kind.changed_dialogues:
            # What was asked says what it is about, and the answer says what is new.
            assert ("{when}" if thing == "object" else "{value}") in answer


def test_written_sentences_are_not_shared(synthetic_json: Path) -> None:
    """The corpus as it is: no sentence of a held-out turn stands in a training turn, up to names."""
    sentences: dict[str, set[str]] = {"train": set(), "test": set()}
    for sample in json.loads(synthetic_json.read_text()):
        for sentence in spoken(sample):
            sentences[sample["split"]].add(sentence)
    assert len(sentences["train"]) > 1000 and len(sentences["test"]) > 500
    assert sentences["train"] & sentences["test"] == set()


def spoken(sample: dict[str, Any]) -> list[str]:
    talk = sample["conversation"]
    names = re.compile(rf"\b({talk['speaker_a']}|{talk['speaker_b']})\b")
    turns = [turn["text"] for value in talk.values() if isinstance(value, list) for turn in value]
    parts = [part.strip() for text in turns for part in re.split(r"[.!?]", names.sub("NAME", text))]
    # "Yes" and other single words are no sentences.
    return [part.lower() for part in parts if len(part.split()) > 1]


def test_the_vocabulary_is_small(synthetic_json: Path) -> None:
    text = synthetic_json.read_text()
    assert len({word.lower() for word in re.findall(r"[A-Za-z0-9]+", text)}) < 1500
