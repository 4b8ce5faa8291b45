"""The folder of a chained run: what it was begun with, which sessions are finished, and their banks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memupdate.data.banks import CHAIN, REPORT
from memupdate.data.layout import BANKS
from memupdate.data.shape import read_json
from memupdate.errors import DataError, FieldError
from memupdate.files import make_folder, new_file, write_atomically
from memupdate.memory import Memory, write_memories

SESSIONS, REPORT_TEXT, JOURNAL = "chain.jsonl", "report.txt", "journal"
OUTPUTS = (CHAIN, SESSIONS, BANKS, JOURNAL, REPORT, REPORT_TEXT)


@dataclass(frozen=True, slots=True)
class FinishedSession:
    """One line of ``chain.jsonl``: a session, or a part of one, whose bank is on disk.

    Attributes:
        namespace: the session's bank in the journal.
        sample_id: the conversation.
        session: the session's number.
        part: which part of the session.
        bank: the name of the bank's file in ``banks/``, without suffix.
        digest: the digest of the bank after the session.
        count: how many memories the bank has.
        characters: how many characters their texts have.
        turns: how many turns the policy had.
        calls: how many calls it wrote.
        errors: how many of them named a tool and were answered with an error.
        malformed: how many could not be read.
        unknown: how many named no tool.
        ignored: how many were beyond the limit of a turn.
        no_room: whether the messages filled the model's context.
    """

    namespace: str
    sample_id: str
    session: int
    part: int
    bank: str
    digest: str
    count: int
    characters: int
    turns: int
    calls: int
    errors: int
    malformed: int
    unknown: int
    ignored: int
    no_room: bool


class ChainFolder:
    """Opens the folder of a chained run, or begins it.

    Args:
        path: the folder.
        inputs: what the run is begun with, as JSON. A run continues with equal inputs only.

    Raises:
        FieldError: the folder holds something else, or was begun with another input. The error names the input.
        DataError: a file of the run is broken.
    """

    def __init__(self, path: Path, inputs: Mapping[str, Any]) -> None:
        self.path = path
        if path.exists():
            self._check_own()
        if (path / CHAIN).is_file():
            self._check_inputs(inputs)
        else:
            make_folder(path)
            write_atomically(path / CHAIN, json.dumps(inputs, indent=1, ensure_ascii=False) + "\n")
        make_folder(path / BANKS)
        self.finished = {one.namespace: one for one in self._read()}

    @property
    def journal(self) -> Path:
        """The folder of the broker's journal."""
        return self.path / JOURNAL

    def add(self, session: FinishedSession, memories: Sequence[Memory]) -> None:
        """Writes a session's bank, and then the line that says that the session is finished.

        Raises:
            OSError: a file cannot be written.
        """
        with new_file(self.path / BANKS / f"{session.bank}.jsonl") as partial:
            write_memories(partial, memories)
        with (self.path / SESSIONS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(session), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished[session.namespace] = session

    def _check_own(self) -> None:
        allowed = "a folder that is new or empty, or that memupdate chain has begun"
        if not self.path.is_dir():
            raise FieldError("output", str(self.path), allowed)
        found = {path.name for path in self.path.iterdir()}
        strange = sorted(found - set(OUTPUTS))
        if strange or (found and CHAIN not in found):
            raise FieldError("output", str(self.path), f"{allowed} (this one holds {(strange or sorted(found))[0]})")

    def _check_inputs(self, inputs: Mapping[str, Any]) -> None:
        begun = {name: node.value for name, node in read_json(self.path / CHAIN).mapping().items()}
        for name in dict.fromkeys([*inputs, *begun]):
            if begun.get(name) != inputs.get(name):
                allowed = f"{begun.get(name)!r}, with which {self.path} was begun, or another output"
                raise FieldError(name, inputs.get(name), allowed)

    def _read(self) -> list[FinishedSession]:
        """Returns the finished sessions. Cuts off a last line that a crash left incomplete: its session is repeated."""
        path = self.path / SESSIONS
        if not path.exists():
            return []
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        sessions = []
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                sessions.append(FinishedSession(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}:{number}: expected a line that memupdate chain wrote: {error}") from error
        return sessions
