"""Turns of a memory rollout.

Rows U34.
"""

from __future__ import annotations

from memupdate.run.traces import split_turns


def test_u34_turns_are_the_runs_of_the_response_mask() -> None:
    turns = split_turns([1, 2, 3, 4, 5, 6], [1, 1, 0, 0, 1, 0])
    assert turns == [("assistant", [1, 2]), ("tool", [3, 4]), ("assistant", [5]), ("tool", [6])]
    assert split_turns([], []) == []
