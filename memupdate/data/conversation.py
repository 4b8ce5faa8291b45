"""What a long conversation with questions is, whichever file it came from."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
ADVERSARIAL = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance.

    Attributes:
        dialog_id: ``D{session}:{turn}``, unique in its conversation.
        session: the number of the session it belongs to.
        speaker: who says it.
        text: what is said, without blanks around it.
        caption: the caption of a shared image, "" where there is none.
        image_urls: addresses of shared images.
        image_query: the search words the image was found with, "" where there are none.
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
    """The turns of one sitting and the date on which it took place ("1:56 pm on 8 May, 2023")."""

    number: int
    date: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Dialog ids cited by a question or a fact, cleaned, and what was wrong with them.

    Attributes:
        ids: existing turns, each once, in the order of the file.
        dangling: well-formed ids of turns that do not exist.
        malformed: strings of the file that were not one plain id; the ids found in them are in ``ids`` or ``dangling``.
        duplicates: how many repeated ids were left out.
    """

    ids: tuple[str, ...] = ()
    dangling: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement about a speaker, taken from a session; it becomes one initial memory."""

    speaker: str
    session: int
    text: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its gold answer.

    Attributes:
        index: its place in the conversation's list. Questions repeat, so this is the key, never the text.
        text: the question, without blanks around it.
        category: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial.
        answer: the gold answer as text; None where the file has none (most adversarial questions).
        adversarial_answer: the trap of an adversarial question: plausible and wrong.
        evidence: the turns it cites.
        answer_was_number: whether the file held the answer as an integer.
    """

    index: int
    text: str
    category: int
    answer: str | None
    adversarial_answer: str | None
    evidence: Evidence
    answer_was_number: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of two speakers over many sessions, with facts and questions.

    Attributes:
        sample_id: its name; safe as a file name.
        speakers: the two speakers.
        sessions: ordered by number.
        facts: ordered by session, then as in the file.
        questions: as in the file; ``questions[i].index == i``.
        dates_without_session: numbers of sessions that have a date and no turns.
    """

    sample_id: str
    speakers: tuple[str, str]
    sessions: tuple[Session, ...]
    facts: tuple[Fact, ...]
    questions: tuple[Question, ...]
    dates_without_session: tuple[int, ...] = ()

    def session_date(self, number: int) -> str:
        """The date of session ``number``; KeyError where there is no such session."""
        for session in self.sessions:
            if session.number == number:
                return session.date
        raise KeyError(number)
