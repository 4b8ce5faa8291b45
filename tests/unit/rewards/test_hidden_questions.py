"""Which questions are hidden: never in the prompt, drawn by seed, the same for a group, half on what a session says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from memupdate.data.questions import StoredQuestion, write_questions
from memupdate.errors import FieldError
from memupdate.rewards.hidden import HiddenQuestions, draw_for_question, draw_for_session

# Question n has its last evidence in session n // 2 + 1; 10 and 11 have none.
QUESTIONS = [StoredQuestion(n, f"question {n}", "a", 4, (f"D{n // 2 + 1}:3",) if n < 10 else ()) for n in range(12)]


def session_row(session: int, split: str = "train") -> dict[str, Any]:
    return {
        "split": split,
        "sample_id": "c",
        "namespace": f"c-s{session}",
        "episode": "session",
        "bank": f"c@D{session}:1",
        "last_turn": f"D{session}:9",
        "question": "",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "questions").mkdir()
    write_questions(tmp_path / "questions" / "c.jsonl", QUESTIONS)
    return tmp_path


@pytest.mark.parametrize("session", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(20))
def test_a_session_is_asked_about_itself_and_what_came_before(session: int, seed: int) -> None:
    drawn = draw_for_session(QUESTIONS, f"D{session}:1", f"D{session}:9", 4, random.Random(seed))
    sessions = [one.index // 2 + 1 for one in drawn]
    assert len({one.index for one in drawn}) == len(drawn) == min(4, 2 * session)
    assert max(sessions) <= session
    assert sessions.count(session) == 2  # half; session 1 has no other
    assert all(one.evidence for one in drawn)


def test_a_later_turn_of_the_same_session_is_out_of_reach() -> None:
    late = StoredQuestion(0, "q", "a", 4, ("D1:1", "D2:8"))
    soon = StoredQuestion(1, "r", "a", 4, ("D2:2",))
    others = [StoredQuestion(n, str(n), "a", 4, ("D9:1",)) for n in (2, 3)]
    assert draw_for_session([late, soon, *others], "D2:1", "D2:5", 4, random.Random(0)) == [soon]
    with pytest.raises(FieldError, match=r"hidden_questions: got 4; allowed: 0: no question .* after turn D1:5"):
        draw_for_session([late, soon, *others], "D1:1", "D1:5", 4, random.Random(0))


def test_the_shown_text_is_never_hidden_however_often_it_occurs() -> None:
    twice = [*QUESTIONS, StoredQuestion(12, "question 3", "b", 4, ("D1:1",))]
    for seed in range(50):
        drawn = draw_for_question(twice, "question 3", 4, random.Random(seed))
        assert len(drawn) == 4 and all(one.question != "question 3" for one in drawn)


def test_more_hidden_questions_than_a_conversation_has_are_refused() -> None:
    with pytest.raises(FieldError, match=r"reward\.hidden_questions: got 12; allowed: at most 11"):
        draw_for_question(QUESTIONS, "question 3", 12, random.Random(0))
    with pytest.raises(FieldError, match="at most 12"):
        draw_for_session(QUESTIONS, "D1:1", "D1:9", 13, random.Random(0))


def test_a_group_shares_them_and_another_step_or_seed_draws_others(folder: Path) -> None:
    def drawn(seed: int, step: int, split: str = "train") -> list[int]:
        return [one.index for one in HiddenQuestions(folder, 4, seed).draw(session_row(5, split), step)]

    assert drawn(0, 1) == drawn(0, 1)
    assert len({tuple(drawn(0, step)) for step in range(10)}) > 1
    assert len({tuple(drawn(seed, 1)) for seed in range(10)}) > 1
    assert drawn(0, 0, "test") == drawn(0, 15, "test")  # before and after training
    assert HiddenQuestions(folder, 0, 0).draw(session_row(5), 1) == []
