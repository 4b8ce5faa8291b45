"""Order of trajectories and their turns.

Rows U34.
"""

from __future__ import annotations

from memupdate.platform.replay import trajectory_order
from memupdate.platform.trace import split_turns


def test_trajectories_are_ordered_by_prompt_rollout_and_segment() -> None:
    keys = ["d000000010_2_0", "d000000002_10_0", "d000000002_2_1", "d000000002_2_0"]
    assert sorted(keys, key=trajectory_order) == [
        "d000000002_2_0",
        "d000000002_2_1",
        "d000000002_10_0",
        "d000000010_2_0",
    ]


def test_u34_turns_are_the_runs_of_the_response_mask() -> None:
    turns = split_turns([1, 2, 3, 4, 5, 6], [1, 1, 0, 0, 1, 0])
    assert turns == [("assistant", [1, 2]), ("tool", [3, 4]), ("assistant", [5]), ("tool", [6])]
    assert split_turns([], []) == []
