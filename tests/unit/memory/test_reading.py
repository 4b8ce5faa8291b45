"""Reading within a budget of characters, against a naive reader and closed cases."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, ReadBudget, read_within

WORDS = ["anna", "tried", "pottery", "rowing", "chess", "in", "may", "with", "her", "cousin", "from", "oslo"]


def bank_of(*contents: str, date: str = "") -> MemoryBank:
    memories = [Memory(id=f"m{n}", content=text, session_date=date) for n, text in enumerate(contents, 1)]
    return MemoryBank.from_memories(memories, HashingEmbedder())


def naive(texts: list[str], characters: int) -> tuple[str, ...]:
    """Writes word after word as long as they fit, hit after hit."""
    read: list[str] = []
    for text in texts:
        left = characters - sum(map(len, read))
        kept = ""
        for word in text.split(" "):
            longer = f"{kept} {word}" if kept else word
            if len(longer) > left:
                break
            kept = longer
        if kept:
            read.append(kept)
        if kept != text:
            break
    return tuple(read)


@given(st.integers(0, 10_000), st.integers(1, 400))
def test_a_reader_takes_hits_in_rank_order_until_the_characters_are_used(seed: int, characters: int) -> None:
    source = random.Random(seed)
    bank = bank_of(*(" ".join(source.choices(WORDS, k=source.randint(1, 9))) for _ in range(source.randint(1, 30))))
    ranked = [hit.memory.text for hit in bank.search("what has anna tried", top_k=len(bank))]
    read = read_within(bank, "what has anna tried", characters)
    assert read == naive(ranked, characters)
    assert sum(map(len, read)) <= characters


def test_merging_does_not_let_more_be_read() -> None:
    contents = [f"Anna tried {sport}." for sport in ("pottery", "rowing", "chess", "archery", "origami", "juggling")]
    bank = bank_of(*contents)
    budget = ReadBudget(3).of(bank)
    merged = bank.fork()
    merged.merge([memory.id for memory in bank][:5], "concatenate")
    before, after = (sum(map(len, read_within(one, "What has Anna tried?", budget))) for one in (bank, merged))
    assert before <= budget and after <= budget


def test_characters_are_those_of_the_texts_after_any_edits() -> None:
    bank = bank_of("one fact", "another fact", "a third", date="1:56 pm on 8 May, 2023").fork()
    bank.update("m1", "changed on 8 May, 2023")
    bank.delete("m2")
    bank.create("fresh")
    bank.update("m4", "fresher")
    assert bank.characters() == sum(len(memory.text) for memory in bank)
    assert bank.initial.characters() == sum(len(memory.text) for memory in bank.initial)
    assert bank_of().characters() == 0


def test_the_budget_is_a_multiple_of_the_mean_memory_or_a_number() -> None:
    bank = bank_of("x" * 10, "y" * 30)
    assert ReadBudget(5).of(bank) == 100
    assert ReadBudget(5, mean_if_empty=7.0).of(bank_of()) == 35
    assert ReadBudget(characters=21).of(bank) == 21


@pytest.mark.parametrize(
    ("budget", "empty", "field"),
    [
        (ReadBudget(characters=19), False, "read_characters"),  # below one memory
        (ReadBudget(), True, "read_characters"),
    ],
)
def test_a_budget_below_one_memory_or_without_a_mean_is_refused(budget: ReadBudget, empty: bool, field: str) -> None:
    with pytest.raises(FieldError, match=f"^{field}"):
        budget.of(bank_of() if empty else bank_of("x" * 10, "y" * 30))


@pytest.mark.parametrize("arguments", [{"memories": 0.5}, {"characters": 0}, {"mean_if_empty": 0}])
def test_a_budget_has_allowed_values(arguments: dict[str, float]) -> None:
    with pytest.raises(FieldError):
        ReadBudget(**arguments)  # type: ignore[arg-type]
