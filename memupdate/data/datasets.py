"""The table of datasets: what a dataset must give, and how a command names one.

To add a dataset, write a function that reads its file and returns conversations, and add one line to ``DATASETS``, or
an entry point of the group ``memupdate.datasets`` in another package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

from memupdate.data.conversation import ADVERSARIAL, CATEGORIES, SAMPLE_ID, SPLITS, Conversation, Evidence
from memupdate.errors import DataError
from memupdate.tables import Table

Load = Callable[[Path], Iterable[Conversation]]
"""Reads a dataset's file and returns its conversations, all at once or one after another. Raises
DataError where the file is not what it should be."""

DATASETS: Table[Load] = Table(
    "memupdate.datasets",
    "dataset",
    {"locomo": "memupdate.data.locomo:load_locomo", "synthetic": "memupdate.data.synthetic:load_synthetic"},
)


def load_dataset(name: str, path: Path) -> list[Conversation]:
    """Reads a dataset and checks what its loader returned.

    Args:
        name: a name in ``DATASETS``.
        path: the dataset's file.

    Returns:
        The conversations, in the dataset's order.

    Raises:
        FieldError: no dataset has this name.
        DataError: the file is not what the loader expects, or the loader returned a conversation that cannot become
            rows and memories.
    """
    conversations = _conversations(f"{path}: dataset {name}", DATASETS.load(name)(path))
    if not conversations:
        raise DataError(f"{path}: dataset {name}: expected at least one conversation")
    seen: set[str] = set()
    for conversation in conversations:
        where = f"{path}: dataset {name}: conversation {conversation.sample_id!r}"
        if not SAMPLE_ID.fullmatch(conversation.sample_id) or conversation.sample_id in seen:
            raise DataError(f"{where}: expected a sample_id of its own of letters, digits, '.', '_' and '-'")
        seen.add(conversation.sample_id)
        turns = {turn.dialog_id for session in conversation.sessions for turn in session.turns}
        _check_facts(where, conversation, turns)
        _check_questions(where, conversation, turns)
    _check_splits(f"{path}: dataset {name}", conversations)
    return conversations


def _conversations(where: str, loaded: object) -> list[Conversation]:
    """Returns what a loader returned as a list. Raises DataError if it is not conversations."""
    if not isinstance(loaded, Iterable):
        raise DataError(f"{where}: expected its function to return a list of conversations, got {loaded!r:.200}")
    conversations = list(loaded)
    for number, conversation in enumerate(conversations):
        if not isinstance(conversation, Conversation):
            raise DataError(f"{where}: expected a Conversation in place {number}, got {conversation!r:.200}")
    return conversations


def _check_splits(where: str, conversations: Sequence[Conversation]) -> None:
    named = [conversation for conversation in conversations if conversation.split]
    for conversation in named:
        if conversation.split not in SPLITS:
            raise DataError(
                f"{where}: conversation {conversation.sample_id!r}: expected as split one of {', '.join(SPLITS)}, or "
                f"nothing, got {conversation.split!r}"
            )
    if named and len(named) < len(conversations):
        missing = next(conversation.sample_id for conversation in conversations if not conversation.split)
        raise DataError(f"{where}: expected a split of all conversations or of none, got none of {missing!r}")


def _check_evidence(place: str, evidence: Evidence, turns: Set[str]) -> None:
    for cited in evidence.ids:
        if cited not in turns:
            raise DataError(f"{place}: expected evidence that is ids of turns of the conversation, got {cited!r}")


def _check_facts(where: str, conversation: Conversation, turns: Set[str]) -> None:
    dates = {session.number: session.date for session in conversation.sessions}
    for number, fact in enumerate(conversation.facts, 1):
        if not dates.get(fact.session):
            raise DataError(f"{where}: fact {number}: expected a session that has a date, got session {fact.session}")
        _check_evidence(f"{where}: fact {number}", fact.evidence, turns)


def _check_questions(where: str, conversation: Conversation, turns: Set[str]) -> None:
    for index, question in enumerate(conversation.questions):
        place = f"{where}: question {index}"
        if question.index != index:
            raise DataError(f"{place}: expected its place in the list as index, got {question.index}")
        if question.category not in CATEGORIES:
            raise DataError(f"{place}: expected a category from 1 to 5, got {question.category}")
        if question.answer is None and question.category != ADVERSARIAL:
            raise DataError(f"{place}: expected an answer; only adversarial questions ({ADVERSARIAL}) may have none")
        _check_evidence(place, question.evidence, turns)
