"""Hidden questions: what a trajectory is scored on and never shown.

A reward on the shown question alone pays for preparing the bank for that question and for nothing else. Hidden
questions of the same conversation are drawn by seed, the same for all rollouts of a group, so that what is forgotten
costs and what is written for later pays.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from memupdate.checks import check_at_least
from memupdate.data.bank_keys import place_of, split_bank_key
from memupdate.data.episodes import SESSION
from memupdate.data.questions import StoredQuestion, read_questions
from memupdate.errors import FieldError

FIELD = "reward.hidden_questions"


def answerable_after(questions: Sequence[StoredQuestion], last_turn: str) -> list[StoredQuestion]:
    """Returns the questions whose evidence lies at or before a turn; without evidence, a question is left out."""
    last = place_of(last_turn)
    return [one for one in questions if one.evidence and max(map(place_of, one.evidence)) <= last]


def draw_for_session(
    questions: Sequence[StoredQuestion], first_turn: str, last_turn: str, count: int, source: random.Random
) -> list[StoredQuestion]:
    """Draws hidden questions for a session episode: half on what the session says, half on what came before.

    If there are too few of one kind, the others fill the places. Early sessions may have fewer questions than
    ``count``; then all of them are asked.

    Args:
        questions: the questions of the conversation.
        first_turn: the first turn that the agent is shown.
        last_turn: the last turn that the agent is shown. Evidence after it is in nobody's reach.
        count: how many to draw.
        source: of the choice.

    Raises:
        FieldError: the conversation has fewer than ``count`` questions, or none that can be asked after the turns.
    """
    _check_enough(count, len(questions))
    first = place_of(first_turn)
    within = answerable_after(questions, last_turn)
    fresh = [one for one in within if max(map(place_of, one.evidence)) >= first]
    earlier = [one for one in within if one not in fresh]
    if count and not within:
        raise FieldError(FIELD, count, f"0: no question of this conversation can be answered after turn {last_turn}")
    of_earlier = min(len(earlier), max(count // 2, count - len(fresh)))
    return [
        *source.sample(fresh, min(len(fresh), count - of_earlier)),
        *source.sample(earlier, of_earlier),
    ]


def draw_for_question(
    questions: Sequence[StoredQuestion], shown: str, count: int, source: random.Random
) -> list[StoredQuestion]:
    """Draws hidden questions for a question episode: any of the conversation whose text is not in the prompt.

    Args:
        questions: the questions of the conversation.
        shown: the text of the shown question. Texts repeat in LoCoMo, so all of this text are left out.
        count: how many to draw.
        source: of the choice.

    Raises:
        FieldError: the conversation has fewer than ``count`` such questions.
    """
    others = [one for one in questions if one.question != shown]
    _check_enough(count, len(others))
    return source.sample(others, count)


def _check_enough(count: int, found: int) -> None:
    if count > found:
        raise FieldError(FIELD, count, f"at most {found}, the other questions of this conversation")


class HiddenQuestions:
    """Draws the hidden questions of trajectories.

    Args:
        data_dir: the preprocessed folder.
        count: how many to draw for a trajectory; 0 for none.
        seed: of the choice. The choice also depends on the row and, in training, on the step. In validation it does
            not, so that a policy is asked the same before and after training.
    """

    def __init__(self, data_dir: Path, count: int, seed: int) -> None:
        self._data_dir = data_dir
        self._count = check_at_least(FIELD, count, 0)
        self._seed = seed
        self._read = lru_cache(maxsize=256)(lambda sample_id: tuple(read_questions(data_dir, sample_id)))

    def draw(self, extra_info: Mapping[str, Any], step: int) -> list[StoredQuestion]:
        """Returns the hidden questions of a row, the same for every rollout of its group.

        Args:
            extra_info: the row's ``extra_info``.
            step: the training step.

        Raises:
            DataError: the file of questions is missing or broken.
            FieldError: the conversation has too few questions.
        """
        if not self._count:
            return []
        turn = step if extra_info["split"] == "train" else "validation"
        source = random.Random(f"{self._seed}:{extra_info['namespace']}:{turn}")
        questions = self._read(extra_info["sample_id"])
        if extra_info["episode"] == SESSION:
            _, first_turn = split_bank_key(extra_info["bank"])
            return draw_for_session(questions, first_turn, extra_info["last_turn"], self._count, source)
        return draw_for_question(questions, extra_info["question"], self._count, source)
