"""Episodes of a preprocessed folder for programs: the bank at the start, what is shown, and the hidden questions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from memupdate.broker.conversations import Conversations
from memupdate.broker.service import readings_of
from memupdate.data.episodes import SESSION
from memupdate.data.layout import MEMORIES, rows_path, session_rows_path
from memupdate.data.questions import StoredQuestion
from memupdate.errors import DataError
from memupdate.memory import Embedder, MemoryBank
from memupdate.rewards.budgeted import BudgetedParts, budgeted_reward
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import Scorer
from memupdate.rewards.hidden import HiddenQuestions
from memupdate.rewards.rules import mean_memory, shown_question

# What is drawn for a program is drawn as in validation: it depends on the row and not on a step.
NO_STEP = 0


@dataclass(frozen=True)
class Episode:
    """One episode, as a program sees it.

    Attributes:
        key: the row's trajectory id.
        sample_id: the conversation.
        start: the bank at the start. Programs edit a fork of it.
        shown: the question that the agent is given; None in a session episode.
        lines: the session's turns, one ``speaker: text`` each; empty in a question episode.
        date: the session's date as the agent reads it; "" in a question episode.
        hidden: the hidden questions. Only an oracle looks at them.
        mean_memory: the mean length of the conversation's memories, for a bank that starts empty.
    """

    key: str
    sample_id: str
    start: MemoryBank
    shown: StoredQuestion | None
    lines: tuple[str, ...]
    date: str
    hidden: tuple[StoredQuestion, ...]
    mean_memory: float | None = field(repr=False)

    @property
    def questions(self) -> tuple[StoredQuestion, ...]:
        """All questions that the episode is scored on: the shown one, if there is one, and the hidden ones."""
        return (*([self.shown] if self.shown else []), *self.hidden)

    def score(self, edited: MemoryBank, scorer: Scorer, config: RewardConfig) -> BudgetedParts:
        """Returns the reward of editing the start into ``edited``, which must be a bank that started like ``start``."""
        budget = config.read_budget(self.mean_memory)
        readings = readings_of(edited, [one.question for one in self.questions], budget)
        return budgeted_reward(readings, self.shown, self.hidden, scorer=scorer, config=config)


def read_episodes(
    data_dir: Path,
    split: str,
    episode: str,
    embedder: Embedder,
    config: RewardConfig,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[Episode]:
    """Yields episodes of a preprocessed folder, with the hidden questions that a run with this seed would draw.

    Args:
        data_dir: the preprocessed folder.
        split: ``train`` or ``test``.
        episode: ``question`` or ``session``.
        embedder: embeds memories and questions.
        config: the reward, for the number of hidden questions.
        limit: how many rows to take at most, chosen by the seed and in the order of the file; None for all.
        seed: of the choice of rows, and of the hidden questions (``memory.seed`` of a run).

    Raises:
        DataError: the folder is not as preprocessing writes it, or it has no episode of this kind.
        FieldError: a conversation has too few questions.
    """
    path = session_rows_path(data_dir, split) if episode == SESSION else rows_path(data_dir, split)
    rows = read_rows(path)
    if not rows:
        raise DataError(f"{path}: expected at least one {episode} episode")
    yield from episodes_of(some_of(rows, limit, seed), data_dir, embedder, config, seed=seed)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads the rows of a file that the preprocessing wrote: their ``prompt`` and ``extra_info``.

    Raises:
        DataError: the file cannot be read, or is not such a file.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=["prompt", "extra_info"]).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: expected the rows that the preprocessing writes: {error}") from error
    return rows


def some_of(rows: Sequence[dict[str, Any]], limit: int | None, seed: int) -> Sequence[dict[str, Any]]:
    """Returns ``limit`` rows at most, chosen by the seed and in their order; all of them without a limit."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), limit))]


def episodes_of(
    rows: Sequence[dict[str, Any]], data_dir: Path, embedder: Embedder, config: RewardConfig, *, seed: int
) -> Iterator[Episode]:
    """Yields the episodes of rows, with the hidden questions that a run with this seed would draw.

    Args:
        rows: the rows, with ``prompt`` and ``extra_info``.
        data_dir: the preprocessed folder, with memories and questions.
        embedder: embeds memories and questions.
        config: the reward, for the number of hidden questions.
        seed: of the hidden questions (``memory.seed`` of a run).

    Raises:
        DataError: the folder is not as preprocessing writes it.
        FieldError: a conversation has too few questions.
    """
    hidden = HiddenQuestions(data_dir, config.hidden_questions, seed)
    conversations = Conversations(data_dir / MEMORIES, embedder)
    means: dict[str, float | None] = {}
    for row in rows:
        info = row["extra_info"]
        sample_id = info["sample_id"]
        if sample_id not in means:
            means[sample_id] = mean_memory(data_dir, sample_id)
        lines, date = _session(row["prompt"]) if info["episode"] == SESSION else ((), "")
        yield Episode(
            key=info["namespace"],
            sample_id=sample_id,
            start=conversations.fork(info["bank"]),
            shown=shown_question(info),
            lines=lines,
            date=date,
            hidden=tuple(hidden.draw(info, NO_STEP)),
            mean_memory=means[sample_id],
        )


def _session(prompt: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], str]:
    """Returns the lines of the turns and the date that a session's prompt holds."""
    first, *lines = prompt[-1]["content"].split("\n")
    return tuple(lines), first.partition(", ")[2]
