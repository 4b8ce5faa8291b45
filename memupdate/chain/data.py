"""What a chained run reads of a preprocessed folder: conversations with all their sessions and questions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memupdate.checks import check_choice, check_positive_int
from memupdate.data.layout import FORMAT, MANIFEST, SPLITS
from memupdate.data.questions import StoredQuestion, read_questions
from memupdate.data.sessions import ShownPart, read_sessions
from memupdate.data.shape import read_json
from memupdate.errors import FieldError
from memupdate.rewards.contract import ABSTENTION_CATEGORY


@dataclass(frozen=True, slots=True)
class ChainedConversation:
    """A conversation to play.

    Attributes:
        sample_id: its name.
        parts: the parts of its sessions that are played, in order; at least one.
        questions: the questions that are asked at the end: all that can be scored.
    """

    sample_id: str
    parts: tuple[ShownPart, ...]
    questions: tuple[StoredQuestion, ...]


@dataclass(frozen=True, slots=True)
class ChainData:
    """A preprocessed folder, as a chained run reads it.

    Attributes:
        path: the folder.
        digest: the SHA-256 of its manifest.
        input: the SHA-256 of the dataset's file.
        conversations: the conversations to play.
    """

    path: Path
    digest: str
    input: str
    conversations: tuple[ChainedConversation, ...]

    def without_abstention(self) -> ChainData:
        """Returns the data without abstention questions, for a scorer that cannot score them.

        Raises:
            FieldError: there are no others.
        """
        conversations = tuple(
            replace(
                conversation,
                questions=tuple(one for one in conversation.questions if one.category != ABSTENTION_CATEGORY),
            )
            for conversation in self.conversations
        )
        _check_asked(conversations)
        return replace(self, conversations=conversations)


def read_chain_data(path: Path, split: str, wanted: Sequence[str] | None, start: int | None) -> ChainData:
    """Reads the conversations of a split.

    Args:
        path: a preprocessed folder.
        split: "train" or "test".
        wanted: the names of the conversations; None for all of the split.
        start: the number of the first session that is played; None for the first.

    Raises:
        FieldError: there is no such split, conversation or session.
        DataError: a file is missing or broken.
    """
    check_choice("split", split, SPLITS)
    if start is not None:
        check_positive_int("start", start)
    manifest = read_json(path / MANIFEST)
    version = manifest.field("format", "an integer")
    if version.integer() != FORMAT:
        raise version.fail(f"{FORMAT}: another version wrote this directory, so preprocess its input again")
    listed = manifest.field("splits", "an object").field(split, "an object").field("conversations", "a list of names")
    members = [name.text() for name in listed.items()]
    for name in wanted or ():
        if name not in members:
            raise FieldError("conversations", name, f"conversations of the {split} split: {', '.join(members)}")
    chosen = [name for name in members if wanted is None or name in wanted]
    conversations = tuple(_conversation(path, name, start) for name in chosen)
    _check_asked(conversations)
    digest = hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    read_from = manifest.field("input", "an object").field("sha256", "a hash").text()
    return ChainData(path, digest, read_from, conversations)


def _check_asked(conversations: Sequence[ChainedConversation]) -> None:
    if not any(conversation.questions for conversation in conversations):
        names = [conversation.sample_id for conversation in conversations]
        raise FieldError("conversations", names, "at least one with a question that the scorer can score")


def _conversation(path: Path, sample_id: str, start: int | None) -> ChainedConversation:
    parts = read_sessions(path, sample_id)
    if not parts:
        raise FieldError("conversations", sample_id, "one whose questions cite turns, so that it has sessions")
    played = tuple(part for part in parts if start is None or part.session >= start)
    if not played:
        raise FieldError("start", start, f"a session of {sample_id}, at most {parts[-1].session}")
    # An answer that is blank cannot be compared with anything. An abstention question has none by nature.
    asked = (
        one for one in read_questions(path, sample_id) if one.answer.strip() or one.category == ABSTENTION_CATEGORY
    )
    return ChainedConversation(sample_id, played, tuple(asked))
