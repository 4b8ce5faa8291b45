"""What the words of a generated conversation are: sentence frames, and the things that they speak of.

There are two pools, one for training and one for held-out conversations
(:mod:`memupdate.data.synthetic_training_words`, :mod:`memupdate.data.synthetic_held_out_words`). They share neither a
name, nor a thing, nor a sentence frame. They do share what a thing can be ("dentist", "books"), the verbs of events,
and the relative dates, as two groups of people who speak the same language do.

Slots of the frames: ``{name}`` whom a fact or question is about, ``{noun}`` what kind of thing, ``{value}`` the thing,
``{old}`` the thing before it, ``{past}``, ``{base}`` and ``{object}`` an event, ``{when}`` a relative date. No frame
begins with a thing or a date, so each is written in one way everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def listed(text: str) -> tuple[str, ...]:
    """Returns the parts between commas."""
    return tuple(part.strip() for part in text.split(","))


def combined(first: str, second: str) -> tuple[str, ...]:
    """Returns every word of the first list with every word of the second: ``"Silver Harbor"``."""
    return tuple(f"{one} {other}" for one in listed(first) for other in listed(second))


# Of each a person has one: nouns that fit "my … is".
ATTRIBUTES = listed(
    "workplace, street, dentist, boss, gym, team, favourite drink, breakfast, favourite colour, scooter"
)
# Of each a person can have several: plural nouns that fit "one of my …".
TOPICS = listed("hobbies, books, films, dishes, plants, languages, cities, instruments")
# Regular verbs, so that the question's "visit" and the memory's "visited" have one stem.
VERBS = {
    "visit": "visited",
    "paint": "painted",
    "repair": "repaired",
    "clean": "cleaned",
    "photograph": "photographed",
    "order": "ordered",
}


@dataclass(frozen=True, slots=True)
class Frames:
    """The sentence frames about one kind of content.

    Attributes:
        turns: what a speaker says of something new.
        changes: what a speaker says of a value that replaces ``{old}``.
        restated: what a speaker says of something known.
        dialogues: a question of the other speaker, and an answer that says what is new only together with it.
        changed_dialogues: the same for a value that replaces ``{old}``.
        facts: how an observation says it.
        changed_facts: how an observation says that a value was replaced.
        questions: how it is asked for.
    """

    turns: tuple[str, ...]
    facts: tuple[str, ...]
    questions: tuple[str, ...]
    changes: tuple[str, ...] = ()
    restated: tuple[str, ...] = ()
    changed_facts: tuple[str, ...] = ()
    dialogues: tuple[tuple[str, str], ...] = ()
    changed_dialogues: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """The pool that the conversations of one split are written from.

    Attributes:
        names: names of speakers.
        values: the things of each of ``ATTRIBUTES`` and of each of ``TOPICS``.
        objects: what one can do with each verb of ``VERBS``.
        attributes: frames about a value that can be replaced.
        lists: frames about an item of a growing list.
        events: frames about what happened on one day.
        greetings: what opens a session.
        replies: small talk that answers ``{name}``.
        fillers: sentences that say nothing, before or after one that does.
        asides: small talk about oneself that no question asks for, and how an observation says it. ``{noun}`` is
            something of which the speaker has a value; it stays as it is.
    """

    names: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    objects: Mapping[str, tuple[str, ...]]
    attributes: Frames
    lists: Frames
    events: Frames
    greetings: tuple[str, ...]
    replies: tuple[str, ...]
    fillers: tuple[str, ...]
    asides: tuple[tuple[str, str], ...]
