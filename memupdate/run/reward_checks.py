"""Checks that a run's reward fits its episodes and its data, before a step is trained on what cannot be scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from memupdate.data.conversation import ADVERSARIAL
from memupdate.data.episodes import QUESTION, SESSION
from memupdate.data.facts import read_initial_memories
from memupdate.data.layout import SPLITS, rows_path, session_rows_path
from memupdate.data.questions import StoredQuestion, read_questions
from memupdate.errors import FieldError
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.scorers import scores_abstention


def check_reward_of_episodes(reward: RewardConfig, episode: str) -> None:
    """Checks that a reward can score a kind of episode.

    Raises:
        FieldError: a session episode with a formula that needs a shown question, or without hidden questions.
    """
    if episode != SESSION:
        return
    if not reward.is_budgeted:
        allowed = f"budgeted; {reward.formula} scores a shown question, so it needs memory.episode: {QUESTION}"
        raise FieldError("memory.reward.formula", reward.formula, allowed)
    if not reward.hidden_questions:
        allowed = "1 or more, because a session episode shows no question"
        raise FieldError("memory.reward.hidden_questions", reward.hidden_questions, allowed)


def check_reward_of_data(reward: RewardConfig, episode: str, data_dir: Path) -> None:
    """Checks that ``budgeted`` can score every conversation of a preprocessed folder.

    Args:
        reward: the reward.
        episode: ``question`` or ``session``.
        data_dir: the folder, which has no schema errors.

    Raises:
        FieldError: a conversation has fewer questions than ``hidden_questions``, ``read_characters`` is below one of
            its memories, or it has questions without an answer and the scorer cannot score abstention.
    """
    if not reward.is_budgeted:
        return
    for sample_id in _conversations(data_dir, episode):
        questions = read_questions(data_dir, sample_id)
        _check_questions(reward, episode, sample_id, questions)
        memories = read_initial_memories(data_dir, sample_id)
        mean = sum(len(memory.text) for memory in memories) / len(memories) if memories else 0.0
        if reward.read_characters is not None and reward.read_characters < mean:
            allowed = f"at least {mean:.0f}, the mean memory of conversation {sample_id}"
            raise FieldError("memory.reward.read_characters", reward.read_characters, allowed)


def _conversations(data_dir: Path, episode: str) -> Iterator[str]:
    """Yields each conversation of which there are episodes, once."""
    path = session_rows_path if episode == SESSION else rows_path
    seen: set[str] = set()
    for split in SPLITS:
        infos = pq.read_table(path(data_dir, split), columns=["extra_info"]).column("extra_info")
        for sample_id in infos.combine_chunks().field("sample_id").unique().to_pylist():
            if sample_id not in seen:
                seen.add(sample_id)
                yield sample_id


def _check_questions(reward: RewardConfig, episode: str, sample_id: str, questions: list[StoredQuestion]) -> None:
    most = len(questions)
    if episode == QUESTION and questions:
        texts = [question.question for question in questions]
        most -= max(map(texts.count, set(texts)))  # all of the shown question's text are left out
    if reward.hidden_questions > most:
        allowed = f"at most {most}, the other questions of conversation {sample_id}"
        raise FieldError("memory.reward.hidden_questions", reward.hidden_questions, allowed)
    if any(question.category == ADVERSARIAL for question in questions) and not scores_abstention(reward.scorer):
        allowed = (
            f"a scorer that scores abstention (f1, likelihood), because conversation {sample_id} has questions of "
            f"category {ADVERSARIAL}; or data without them (memupdate preprocess --adversarial drop)"
        )
        raise FieldError("memory.reward.scorer", reward.scorer.name, allowed)
