"""Banks of a chained run in a preprocessed folder: rollouts start from the agent's own bank in mid-conversation.

A chained run (``memupdate chain``) writes the bank after each part of a conversation to ``banks/{key}.jsonl``. The key
is that of the bank before the next part (``conv-1@D5:1``). ``memupdate preprocess --banks RUN`` copies these files. The
broker then opens them where the rows name their keys.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memupdate.data.bank_keys import BEFORE, bank_key, split_bank_key
from memupdate.data.layout import BANKS
from memupdate.data.sessions import ShownPart
from memupdate.data.shape import read_json
from memupdate.errors import DataError, FieldError
from memupdate.memory import read_memories

# Files of a chained run.
CHAIN, REPORT = "chain.json", "report.json"
# Instead of a turn: the bank after the last part. It is no key, so no rollout starts from it.
END = "end"


def bank_name(sample_id: str, next_turn: str) -> str:
    """Returns the file's name, without suffix, of the bank before a turn, or of the last bank without a turn."""
    return bank_key(sample_id, next_turn) if next_turn else f"{sample_id}{BEFORE}{END}"


def stored_keys(directory: Path) -> dict[str, Path]:
    """Returns the files of a preprocessed folder's ``banks/`` by key. Without such a folder there are none.

    Raises:
        FieldError: a file is not named by the key of a bank before a turn.
    """
    files = {path.name.removesuffix(".jsonl"): path for path in sorted((directory / BANKS).glob("*.jsonl"))}
    for key in files:
        if not split_bank_key(key)[1]:
            raise FieldError("bank", key, "a file whose name has a conversation, '@' and a turn (conv-1@D5:1.jsonl)")
    return files


class ChainedBanks:
    """The banks of a finished chained run, checked against the conversations that they are copied for.

    Args:
        run: the folder of the chained run.
        input_sha256: the hash of the dataset's file. The run must have read the same.
        parts: all parts of each conversation.

    Raises:
        FieldError: the run has not finished, is of another dataset file, or cut its sessions elsewhere.
        DataError: a file of the run cannot be read.
    """

    def __init__(self, run: Path, input_sha256: str, parts: Mapping[str, Sequence[ShownPart]]) -> None:
        if not (run / REPORT).is_file() or not (run / CHAIN).is_file():
            raise FieldError("banks", str(run), f"the folder of a finished chained run, with {CHAIN} and {REPORT}")
        read_from = read_json(run / CHAIN).field("input", "the hash of the dataset's file").text()
        if read_from != input_sha256:
            raise FieldError(
                "banks", str(run), f"a chained run on the same input (sha256 {input_sha256}, not {read_from})"
            )
        self._run = run
        self.keys = self._checked(parts)

    def _checked(self, parts: Mapping[str, Sequence[ShownPart]]) -> dict[str, list[str]]:
        """Returns the keys of each conversation that the run has played, in order.

        They are those of all parts after the first one that was played. If one were missing, its rollouts would start
        from the conversation's own memories, and the others from the agent's.
        """
        found: dict[str, set[str]] = {}
        for path in (self._run / BANKS).glob("*.jsonl"):
            sample_id, _, turn = path.name.removesuffix(".jsonl").partition(BEFORE)
            if turn != END:
                found.setdefault(sample_id, set()).add(turn)
        keys: dict[str, list[str]] = {}
        for sample_id, turns in sorted(found.items()):
            firsts = [part.first_turn for part in parts.get(sample_id, ())]
            played = [turn for turn in firsts if turn in turns]
            expected = firsts[firsts.index(played[0]) :] if played else []
            if turns != set(expected):
                wrong = sorted(turns ^ set(expected))[0]
                allowed = f"a chained run with the same sessions and session_characters; {sample_id}@{wrong} differs"
                raise FieldError("banks", str(self._run), allowed)
            keys[sample_id] = [bank_key(sample_id, turn) for turn in expected]
        return keys

    def copy(self, directory: Path) -> None:
        """Copies the banks to a preprocessed folder.

        Raises:
            DataError: a file does not hold memories.
            OSError: a file cannot be written.
        """
        (directory / BANKS).mkdir()
        for key in (key for keys in self.keys.values() for key in keys):
            source = self._run / BANKS / f"{key}.jsonl"
            read_memories(source)
            shutil.copyfile(source, directory / BANKS / source.name)

    def manifest(self) -> dict[str, Any]:
        """Returns what the manifest says of the banks: the hash of the run's report, and the banks' number."""
        with (self._run / REPORT).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"report": digest, "banks": {sample_id: len(keys) for sample_id, keys in self.keys.items()}}


def check_banks(directory: Path, stated: Mapping[str, int], parts: Mapping[str, Sequence[ShownPart]]) -> dict[str, int]:
    """Checks the banks of a preprocessed folder. Their ids need not count from m1.

    Args:
        directory: the folder.
        stated: the number of banks of each conversation, as the manifest says it.
        parts: all parts of each conversation.

    Returns:
        The number of memories of each bank.

    Raises:
        DataError: a bank is missing or is not of this folder, cannot be read, or has an id twice.
    """
    counts: dict[str, int] = {}
    found: dict[str, int] = {}
    try:
        files = stored_keys(directory)
    except FieldError as error:
        raise DataError(f"{directory / BANKS}: {error}") from error
    for key, path in files.items():
        sample_id, turn = split_bank_key(key)
        if turn not in [part.first_turn for part in parts.get(sample_id, ())]:
            raise DataError(f"{path}: expected the key of a bank before a part of a session, got {key!r}")
        memories = read_memories(path)
        if len({memory.id for memory in memories}) < len(memories):
            raise DataError(f"{path}: expected each id once")
        found[sample_id] = found.get(sample_id, 0) + 1
        counts[key] = len(memories)
    if found != dict(stated):
        raise DataError(
            f"{directory / BANKS}: expected the banks that the manifest states, {dict(stated)}, got {found}"
        )
    return counts
