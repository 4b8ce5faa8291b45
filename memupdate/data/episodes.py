"""Session episodes: what the agent is shown of a conversation, and for which parts of it there is a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memupdate.checks import check_positive_int
from memupdate.data.bank_keys import place_of
from memupdate.data.conversation import Conversation, Session, Turn
from memupdate.errors import DataError, FieldError

# The kinds of episodes: a question to prepare the bank for, or a session to read.
QUESTION, SESSION = "question", "session"
EPISODES = (QUESTION, SESSION)
DEFAULT_SESSION_CHARACTERS = 6000


@dataclass(frozen=True, slots=True)
class SessionPart:
    """The turns that an agent is shown at once: those of a whole session, or of one part of a long one.

    Attributes:
        session: the session's number.
        date: the session's date.
        turns: the turns, in order; at least one.
        part: which part it is, from 1.
        parts: into how many parts the session is cut.
    """

    session: int
    date: str
    turns: tuple[Turn, ...]
    part: int
    parts: int

    @property
    def first_turn(self) -> str:
        """The id of the first turn that is shown."""
        return self.turns[0].dialog_id

    @property
    def last_turn(self) -> str:
        """The id of the last turn that is shown."""
        return self.turns[-1].dialog_id

    @property
    def text(self) -> str:
        """What the agent is shown: a line with number and date of the session, and a line for each turn."""
        return "\n".join([session_line(self.session, self.date), *map(turn_line, self.turns)])


def session_line(session: int, date: str) -> str:
    """Returns the first line that an agent is shown of a session: ``Session 5, 1:56 pm on 8 May, 2023``."""
    return f"Session {session}, {date}" if date else f"Session {session}"


def turn_line(turn: Turn) -> str:
    """Returns ``{speaker}: {text}``, with ``[image: {caption}]`` behind it if there is a caption, as one line."""
    image = f" [image: {turn.caption}]" if turn.caption else ""
    # A turn may have line breaks of its own. Two turns would then look like three.
    return " ".join(line.strip() for line in f"{turn.speaker}: {turn.text}{image}".splitlines() if line.strip())


def cut_session(sample_id: str, session: Session, characters: int = DEFAULT_SESSION_CHARACTERS) -> list[SessionPart]:
    """Cuts a session into parts, each as long as possible from the beginning on.

    Args:
        sample_id: the conversation's name, for errors.
        session: the session.
        characters: the largest length of a part: of the lines of its turns with the line breaks between them.

    Returns:
        The parts, in order. Together they hold each turn once. A session without turns has no part.

    Raises:
        FieldError: ``characters`` is not positive, or a turn is longer.
        DataError: the ids of the turns are not ``D{session}:{turn}`` in ascending order.
    """
    check_positive_int("session_characters", characters)
    _check_order(sample_id, session)
    groups: list[list[Turn]] = []
    length = 0
    for turn in session.turns:
        added = len(turn_line(turn))
        if added > characters:
            allowed = f"{added:,} or more: so long is turn {turn.dialog_id} of conversation {sample_id}"
            raise FieldError("session_characters", characters, allowed)
        if groups and length + 1 + added <= characters:
            groups[-1].append(turn)
            length += 1 + added
        else:
            groups.append([turn])
            length = added
    return [
        SessionPart(session.number, session.date, tuple(turns), part, len(groups))
        for part, turns in enumerate(groups, 1)
    ]


def _check_order(sample_id: str, session: Session) -> None:
    last = 0
    for turn in session.turns:
        expected = f"an id D{session.number}:{{turn}} with a turn above {last}"
        try:
            number, place = place_of(turn.dialog_id)
        except ValueError:
            number, place = 0, 0
        if number != session.number or place <= last:
            raise DataError(
                f"conversation {sample_id}, session {session.number}: expected {expected}, got {turn.dialog_id!r}"
            )
        last = place


def has_question(first_turn: str, last_turn: str, evidences: Iterable[Sequence[str]]) -> bool:
    """Returns whether a question can be answered after these turns, and could not be before them.

    Args:
        first_turn: the id of the first turn that is shown.
        last_turn: the id of the last turn that is shown.
        evidences: for each question, the ids of the turns that it cites.

    Returns:
        Whether a question cites a turn that is shown and no later one.
    """
    first, last = place_of(first_turn), place_of(last_turn)
    cited = ([place_of(dialog_id) for dialog_id in evidence] for evidence in evidences)
    return any(first <= max(places) <= last for places in cited if places)


def session_parts(
    conversation: Conversation, evidences: Sequence[Sequence[str]], characters: int = DEFAULT_SESSION_CHARACTERS
) -> list[SessionPart]:
    """Returns the parts of a conversation's sessions after which a question can be asked that needs them.

    Args:
        conversation: the conversation.
        evidences: for each question, the ids of the turns that it cites. Without any, there are no parts.
        characters: as for ``cut_session``.

    Raises:
        FieldError: as ``cut_session``.
        DataError: as ``cut_session``.
    """
    if not any(evidences):
        check_positive_int("session_characters", characters)
        return []
    parts = [
        part for session in conversation.sessions for part in cut_session(conversation.sample_id, session, characters)
    ]
    return [part for part in parts if has_question(part.first_turn, part.last_turn, evidences)]
