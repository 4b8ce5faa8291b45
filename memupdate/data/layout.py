"""The files of a preprocessed directory."""

from __future__ import annotations

from pathlib import Path

from memupdate.data.conversation import SPLITS as SPLITS

MANIFEST = "manifest.json"
# Of rows and manifest. It changes with either, so that a directory of an older version is told from a broken one.
FORMAT = 3
MEMORIES = "memories"
QUESTIONS = "questions"
SESSIONS = "sessions"
# Banks of a chained run, where the directory was written with --banks.
BANKS = "banks"
# Everything the preprocessing writes; a directory that holds anything else is not its own.
OUTPUTS = (
    *(f"{split}.parquet" for split in SPLITS),
    *(f"{split}-session.parquet" for split in SPLITS),
    MEMORIES,
    QUESTIONS,
    SESSIONS,
    BANKS,
    MANIFEST,
)


def rows_path(directory: Path | str, split: str) -> Path:
    """Returns the path of the question episodes of a split."""
    return Path(directory) / f"{split}.parquet"


def session_rows_path(directory: Path | str, split: str) -> Path:
    """Returns the path of the session episodes of a split."""
    return Path(directory) / f"{split}-session.parquet"


def memories_path(directory: Path | str, sample_id: str) -> Path:
    """Returns the path of the initial memories of a conversation."""
    return Path(directory) / MEMORIES / f"{sample_id}.jsonl"


def questions_path(directory: Path | str, sample_id: str) -> Path:
    """Returns the path of the questions of a conversation."""
    return Path(directory) / QUESTIONS / f"{sample_id}.jsonl"


def sessions_path(directory: Path | str, sample_id: str) -> Path:
    """Returns the path of the sessions of a conversation, as an agent is shown them."""
    return Path(directory) / SESSIONS / f"{sample_id}.jsonl"
