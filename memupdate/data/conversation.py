"""What a dataset is made of: long conversations with facts and questions, whichever file they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
ADVERSARIAL = 5
SPLITS = ("train", "test")

# A conversation's name is also the name of a file, so it has no separators and no leading dot.
SAMPLE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance.

    Attributes:
        dialog_id: ``D{session}:{turn}``, unique in its conversation.
        session: the number of the session it belongs to.
        speaker: who says it.
        text: what is said, without white space around it.
        caption: the caption of a shared image; "" if there is none.
        image_urls: addresses of shared images.
        image_query: the search words that found the image; "" if there are none.
    """

    dialog_id: str
    session: int
    speaker: str
    text: str
    caption: str = ""
    image_urls: tuple[str, ...] = ()
    image_query: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """The turns of one sitting.

    Attributes:
        number: the session's number in its conversation.
        date: when it took place, as the data says it (``"1:56 pm on 8 May, 2023"``).
        turns: the turns, in order.
    """

    number: int
    date: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The turns that a question or a fact cites, and what was wrong with the citations.

    Attributes:
        ids: ids of existing turns, each once, in the order of the file.
        dangling: well-formed ids of turns that do not exist.
        malformed: strings of the file that were not one plain id. Ids that were found in them are in ``ids`` or in
            ``dangling``.
        duplicates: how many repeated ids were left out.
    """

    ids: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement about a speaker, taken from a session. Each fact becomes one initial memory.

    Attributes:
        speaker: whom it is about.
        session: the number of the session it comes from.
        text: the statement.
        evidence: the turns that support it.
    """

    speaker: str
    session: int
    text: str
    evidence: Evidence = Evidence()


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its gold answer.

    Attributes:
        index: its place in the conversation's list, from 0. It identifies the question, because texts repeat.
        text: the question, without white space around it.
        category: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial.
        answer: the gold answer; None if the file has none, as for most adversarial questions.
        adversarial_answer: the plausible wrong answer of an adversarial question; None for other questions.
        evidence: the turns that it cites.
        answer_was_number: whether the file held the answer as an integer.
    """

    index: int
    text: str
    category: int
    answer: str | None
    adversarial_answer: str | None = None
    evidence: Evidence = Evidence()
    answer_was_number: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation over many sessions, with facts and questions.

    Attributes:
        sample_id: its name, which must match ``SAMPLE_ID``.
        speakers: who speaks.
        sessions: the sessions, ordered by number.
        facts: the facts, ordered by session. Within a session they have the order of the file.
        questions: the questions, in the order of the file; ``questions[i].index == i``.
        dates_without_session: numbers of sessions that have a date and no turns.
        split: "train" or "test" if the dataset itself says which conversations are held out; "" if it does not.
    """

    sample_id: str
    speakers: tuple[str, ...]
    sessions: tuple[Session, ...]
    facts: tuple[Fact, ...]
    questions: tuple[Question, ...]
    dates_without_session: tuple[int, ...] = ()
    split: str = ""

    def session_date(self, number: int) -> str:
        """Returns the date of session ``number``. Raises KeyError if there is no such session."""
        for session in self.sessions:
            if session.number == number:
                return session.date
        raise KeyError(number)
