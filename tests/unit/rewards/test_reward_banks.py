"""Rewards of real edits of real banks.

Rows U27, U28.
"""

from __future__ import annotations

import pytest

from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank
from memupdate.rewards import BankState, RewardConfig, memory_reward

FACTS = [
    "Ana adopted a grey cat",
    "Ana works in a bakery",
    "Ben plays the drums on Sundays",
    "Ben is afraid of spiders",
    "Ana and Ben met at school",
    "Ben bought a red bicycle",
    "Ana reads novels at night",
    "Ben cooks for his parents",
]
QUESTION, ANSWER = "In which city does Ana live now?", "Porto"
SUPPORT = "Ana lives in the city of Porto now"


def bank(*contents: str) -> MemoryBank:
    memories = [Memory(id=f"m{number}", content=content) for number, content in enumerate(contents, start=1)]
    return MemoryBank.from_memories(memories, HashingEmbedder())


def test_u27_adding_the_answer_is_rewarded() -> None:
    edited = bank(*FACTS).fork()
    edited.create(SUPPORT)
    parts = memory_reward(edited.initial, edited, QUESTION, ANSWER)
    # 8 -> 9 memories under a cap of 8: 1 - 1/8; change 1 - 0.5/8; density below its ceiling of 1.2.
    mean_before = sum(map(len, FACTS)) / 8
    density = (sum(map(len, FACTS)) + len(SUPPORT)) / 9 / mean_before
    assert parts.reward > 0
    assert parts.reward == pytest.approx(0.9 * 0.875 * density * 0.9375)
    assert (parts.qa_before, parts.qa_after) == (0.1, 1.0)


def test_u27_deleting_the_only_support_is_punished() -> None:
    edited = bank(*FACTS, SUPPORT).fork()
    edited.delete("m9", reason="test")
    parts = memory_reward(edited.initial, edited, QUESTION, ANSWER)
    assert parts.reward < 0
    assert (parts.qa_before, parts.qa_after, parts.size_factor) == (1.0, 0.1, 1.0)


@pytest.mark.parametrize("config", [RewardConfig(formula="monotone"), RewardConfig.original()])
def test_u27_no_edit_is_zero(config: RewardConfig) -> None:
    untouched = bank(*FACTS, SUPPORT).fork()
    untouched.search("Porto")
    assert memory_reward(untouched.initial, untouched, QUESTION, ANSWER, config=config).reward == 0


def test_u28_before_is_the_initial_bank_whatever_happened_since() -> None:
    edited = bank(*FACTS).fork()
    start = BankState.of(edited, QUESTION)
    edited.create(SUPPORT)
    edited.delete("m1")
    from_banks = memory_reward(edited.initial, edited, QUESTION, ANSWER)
    assert BankState.of(edited.initial, QUESTION) == start
    assert from_banks == memory_reward(start, BankState.of(edited, QUESTION), QUESTION, ANSWER)
    assert from_banks == memory_reward(bank(*FACTS), edited.snapshot(), QUESTION, ANSWER)


def test_u28_top_k_bounds_what_is_retrieved() -> None:
    crowded = bank(*FACTS, SUPPORT)
    assert BankState.of(crowded, QUESTION, top_k=1).retrieved == (SUPPORT,)
    assert len(BankState.of(crowded, QUESTION).retrieved) == 5


def test_a_retrieved_text_carries_its_date() -> None:
    dated = Memory(id="m1", content="Ana moved", session_date="1:56 pm on 8 May, 2023")
    edited = MemoryBank.from_memories([dated], HashingEmbedder())
    assert memory_reward(bank("Ana moved"), edited, "When did Ana move?", "8 May 2023").delta == pytest.approx(0.9)


def test_an_emptied_and_an_empty_bank() -> None:
    edited = bank(SUPPORT).fork()
    edited.delete("m1")
    emptied = memory_reward(edited.initial, edited, QUESTION, ANSWER)
    assert (emptied.qa_after, emptied.efficiency, emptied.reward) == (0.1, 0.1, pytest.approx(-0.9 * 1.9))
    filled = memory_reward(edited, edited.initial, QUESTION, ANSWER)
    assert (filled.size_factor, filled.density_factor, filled.change_factor) == (1.0, 1.0, 0.8)


def test_an_empty_question_is_an_error() -> None:
    with pytest.raises(FieldError):
        memory_reward(bank(*FACTS), bank(*FACTS), " ", ANSWER)
