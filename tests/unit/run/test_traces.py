"""Turns of a memory rollout.

Rows U34.
"""

from __future__ import annotations

from memupdate.run.traces import asked, split_turns


def test_u34_turns_are_the_runs_of_the_response_mask() -> None:
    turns = split_turns([1, 2, 3, 4, 5, 6], [1, 1, 0, 0, 1, 0])
    assert turns == [("assistant", [1, 2]), ("tool", [3, 4]), ("assistant", [5]), ("tool", [6])]
    assert split_turns([], []) == []


def test_a_session_is_named_by_its_first_line() -> None:
    prompt = [{"role": "system", "content": "Edit."}, {"role": "user", "content": "Session 5, 8 May, 2023\nAna: Hi."}]
    assert asked({"episode": "session", "question": ""}, prompt) == "Session 5, 8 May, 2023"
    assert asked({"episode": "question", "question": "Who?"}, prompt) == "Who?"
