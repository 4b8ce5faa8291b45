"""All sessions of each conversation of a preprocessed folder, as an agent is shown them. A chained run reads them.

The session episodes are the parts after which a question can be asked. An agent that keeps its own bank over a whole
conversation reads the other parts too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from memupdate.data.bank_keys import place_of
from memupdate.data.conversation import Conversation
from memupdate.data.episodes import DEFAULT_SESSION_CHARACTERS, cut_session
from memupdate.data.layout import sessions_path
from memupdate.data.shape import Node, read_json_lines
from memupdate.errors import DataError


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A session, or one part of a long session, as an agent is shown it.

    Attributes:
        session: the session's number.
        part: which part it is, from 1.
        parts: into how many parts the session is cut.
        first_turn: the id of the first turn that is shown.
        last_turn: the id of the last turn that is shown.
        text: what the agent is shown (``SessionPart.text``).
    """

    session: int
    part: int
    parts: int
    first_turn: str
    last_turn: str
    text: str


def shown_parts(conversation: Conversation, characters: int = DEFAULT_SESSION_CHARACTERS) -> list[ShownPart]:
    """Returns all parts of a conversation, in order.

    Args:
        conversation: the conversation.
        characters: as for ``cut_session``.

    Raises:
        FieldError: as ``cut_session``.
        DataError: as ``cut_session``.
    """
    return [
        ShownPart(one.session, one.part, one.parts, one.first_turn, one.last_turn, one.text)
        for session in conversation.sessions
        for one in cut_session(conversation.sample_id, session, characters)
    ]


def write_sessions(path: Path, parts: Sequence[ShownPart]) -> None:
    """Writes parts to a file that ``read_sessions`` reads, one JSON object a line.

    Raises:
        OSError: the file cannot be written.
    """
    lines = (json.dumps(asdict(part), ensure_ascii=False) + "\n" for part in parts)
    path.write_text("".join(lines), encoding="utf-8")


def read_sessions(directory: Path | str, sample_id: str) -> list[ShownPart]:
    """Reads all parts of a conversation from a preprocessed folder, in order.

    Raises:
        DataError: the file cannot be read, a line is not a part, or the turns do not ascend.
    """
    path = sessions_path(directory, sample_id)
    parts: list[ShownPart] = []
    last = (0, 0)
    for node in read_json_lines(path, "a part of a session"):
        part = _part(node)
        try:
            first, end = place_of(part.first_turn), place_of(part.last_turn)
        except ValueError as error:
            raise DataError(f"{node.file}: first_turn, last_turn: {error}") from error
        if not (last < first <= end and first[0] == end[0] == part.session):
            allowed = f"turns of session {part.session} in ascending order, after those of the line before"
            raise DataError(f"{node.file}: expected {allowed}, got {part.first_turn!r} to {part.last_turn!r}")
        last = end
        parts.append(part)
    return parts


def _part(node: Node) -> ShownPart:
    session, part, parts = (
        node.field(name, "a whole number from 1").integer("a whole number from 1")
        for name in ("session", "part", "parts")
    )
    first, last, text = (node.field(name, "text").text() for name in ("first_turn", "last_turn", "text"))
    return ShownPart(session, part, parts, first, last, text)
