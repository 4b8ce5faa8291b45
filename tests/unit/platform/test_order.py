"""The order of trajectories."""

from __future__ import annotations

from memupdate.platform.replay import trajectory_order


def test_trajectories_are_ordered_by_prompt_rollout_and_segment() -> None:
    keys = ["d000000010_2_0", "d000000002_10_0", "d000000002_2_1", "d000000002_2_0"]
    assert sorted(keys, key=trajectory_order) == [
        "d000000002_2_0",
        "d000000002_2_1",
        "d000000002_10_0",
        "d000000010_2_0",
    ]
