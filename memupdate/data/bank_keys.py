"""Names of the banks that a conversation's memories give: all of them, or those that were learned before a turn."""

from __future__ import annotations

from collections.abc import Sequence

from memupdate.data.evidence import WELL_FORMED
from memupdate.errors import DataError, FieldError
from memupdate.memory import Memory

# Between the conversation and the turn. No sample_id has it.
BEFORE = "@"


def place_of(dialog_id: str) -> tuple[int, int]:
    """Returns the numbers of the session and of the turn: ``"D5:12"`` gives ``(5, 12)``, so that ids can be compared.

    Raises:
        ValueError: the id is not ``D{session}:{turn}``.
    """
    if not WELL_FORMED.fullmatch(dialog_id):
        raise ValueError(f"expected 'D', the session's number, ':' and the turn's number, got {dialog_id!r}")
    session, turn = dialog_id[1:].split(":")
    return int(session), int(turn)


def bank_key(sample_id: str, dialog_id: str = "") -> str:
    """Returns the key of a conversation's bank before a turn, or of its whole bank without a turn."""
    return f"{sample_id}{BEFORE}{dialog_id}" if dialog_id else sample_id


def split_bank_key(key: str) -> tuple[str, str]:
    """Returns the conversation and the turn of a key; the turn is "" if the key is of the whole bank.

    Raises:
        FieldError: what follows the ``@`` is not a turn.
    """
    sample_id, separator, dialog_id = key.partition(BEFORE)
    if separator and not (sample_id and WELL_FORMED.fullmatch(dialog_id)):
        allowed = (
            "a conversation, or a conversation, '@' and a turn (conv-1@D5:1 is the bank before turn 1 of session 5)"
        )
        raise FieldError("bank", key, allowed)
    return sample_id, dialog_id


def learned_before(memories: Sequence[Memory], dialog_id: str) -> list[int]:
    """Returns which memories were learned before a turn.

    They are those of earlier sessions, and of the turn's own session those whose evidence lies before the turn. A
    memory without evidence belongs to the end of its session.

    Args:
        memories: the memories of a conversation.
        dialog_id: the turn, ``D{session}:{turn}``.

    Returns:
        Places in ``memories``, in order.

    Raises:
        ValueError: ``dialog_id`` is not a turn.
        DataError: a memory has no session, or evidence that is not turns.
    """
    turn = place_of(dialog_id)
    return [place for place, memory in enumerate(memories) if _was_learned(memory, turn)]


def _was_learned(memory: Memory, turn: tuple[int, int]) -> bool:
    if memory.session is None:
        raise DataError(f"memory {memory.id!r}: expected a session, which tells when it was learned, got none")
    if memory.session != turn[0]:
        return memory.session < turn[0]
    try:
        return bool(memory.evidence) and all(place_of(cited) < turn for cited in memory.evidence)
    except ValueError as error:
        raise DataError(f"memory {memory.id!r}: evidence: {error}") from error
