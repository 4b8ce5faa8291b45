"""Turns of a memory rollout.

Rows U34.
"""

from __future__ import annotations

import pytest

from memupdate.rewards.budgeted import BudgetedParts
from memupdate.rewards.reward import RewardParts
from memupdate.run.traces import MemoryTrajectory, asked, split_turns


def test_u34_turns_are_the_runs_of_the_response_mask() -> None:
    turns = split_turns([1, 2, 3, 4, 5, 6], [1, 1, 0, 0, 1, 0])
    assert turns == [("assistant", [1, 2]), ("tool", [3, 4]), ("assistant", [5]), ("tool", [6])]
    assert split_turns([], []) == []


def test_a_session_is_named_by_its_first_line() -> None:
    prompt = [{"role": "system", "content": "Edit."}, {"role": "user", "content": "Session 5, 8 May, 2023\nAna: Hi."}]
    assert asked({"episode": "session", "question": ""}, prompt) == "Session 5, 8 May, 2023"
    assert asked({"episode": "question", "question": "Who?"}, prompt) == "Who?"


@pytest.mark.parametrize("parts", [RewardParts, BudgetedParts])
def test_the_table_of_rollouts_shows_the_parts_of_any_reward(parts: type) -> None:
    """A row of the W&B table has what the rollout's own formula has; `budgeted` has no efficiency."""
    reward = dict.fromkeys(parts.__dataclass_fields__, 0.5)
    turns = [{"role": "assistant", "text": "Done."}]
    rollout = MemoryTrajectory("train", 1, "k", reward, "n", "r", "c", "Who?", "Ana", "prompt", turns)
    row = rollout.table_row()
    assert row["dialogue"] == "[assistant] Done." and row["reward"] == row["qa_after"] == 0.5
    assert ("efficiency" in row, "growth" in row) == (parts is RewardParts, parts is BudgetedParts)
