"""Any sequence of edits, forks and snapshots, against a model that copies everything and searches one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memupdate.errors import FieldError
from memupdate.memory import (
    MEMORY_TYPES,
    MERGE_STRATEGIES,
    SPLIT_CRITERIA,
    BankView,
    HashingEmbedder,
    Memory,
    MemoryBank,
    Operation,
)

EMBEDDER = HashingEmbedder(24)
WORDS = ("Ann", "Bob", "runs", "painted", "lake", "race", "sleeps.", "cat.", "2021", "yesterday")
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
TYPES = st.sampled_from(MEMORY_TYPES)
PLACES = st.integers(0, 99)


def cosine(left: str, right: str) -> float:
    a_D, b_D = (np.asarray(row_D, dtype=float) for row_D in EMBEDDER.embed([left, right]))
    return min(1.0, max(0.0, math.fsum(a * b for a, b in zip(a_D.tolist(), b_D.tolist(), strict=True))))


@dataclass
class Pair:
    bank: BankView
    model: list[Memory]
    next_number: int


class Banks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        start = [Memory(f"m{n}", f"Ann runs race {n}", MEMORY_TYPES[n % 3]) for n in range(1, 7)]
        self.base = MemoryBank.from_memories(start, EMBEDDER)
        self.start = list(start)
        self.pairs = [Pair(self.base.fork(), list(start), 7)]
        self.views: list[Pair] = []

    def pair(self, place: int) -> tuple[MemoryBank, Pair]:
        pair = self.pairs[place % len(self.pairs)]
        assert isinstance(pair.bank, MemoryBank)
        return pair.bank, pair

    @rule(place=PLACES)
    @precondition(lambda self: len(self.pairs) < 5)
    def fork(self, place: int) -> None:
        bank, pair = self.pair(place)
        self.pairs.append(Pair(bank.fork(), list(pair.model), pair.next_number))

    @rule(place=PLACES)
    def snapshot(self, place: int) -> None:
        bank, pair = self.pair(place)
        self.views.append(Pair(bank.snapshot(), list(pair.model), pair.next_number))

    @rule(place=PLACES, text=TEXTS, memory_type=TYPES)
    def create(self, place: int, text: str, memory_type: str) -> None:
        bank, pair = self.pair(place)
        bank.create(text, memory_type)
        pair.model.append(Memory(f"m{pair.next_number}", text, memory_type))
        pair.next_number += 1

    @rule(place=PLACES, at=PLACES, text=TEXTS, memory_type=st.none() | TYPES)
    def update(self, place: int, at: int, text: str, memory_type: str | None) -> None:
        bank, pair = self.pair(place)
        if pair.model:
            at %= len(pair.model)
            old = pair.model[at]
            bank.update(old.id, text, memory_type)
            pair.model[at] = replace(old, content=text, memory_type=memory_type or old.memory_type)

    @rule(place=PLACES, number=st.integers(1, 40), text=TEXTS, memory_type=TYPES)
    def put(self, place: int, number: int, text: str, memory_type: str) -> None:
        bank, pair = self.pair(place)
        memory = Memory(f"m{number}", text, memory_type)
        assert bank.put(memory.id, text, memory_type) == memory
        at = next((at for at, old in enumerate(pair.model) if old.id == memory.id), None)
        if at is None:
            pair.model.append(memory)
            pair.next_number = max(pair.next_number, number + 1)
        else:
            pair.model[at] = memory

    @rule(place=PLACES, at=PLACES)
    def delete(self, place: int, at: int) -> None:
        bank, pair = self.pair(place)
        if pair.model:
            bank.delete(pair.model.pop(at % len(pair.model)).id)

    @rule(place=PLACES, at=st.sets(PLACES, min_size=2, max_size=5), strategy=st.sampled_from(MERGE_STRATEGIES))
    def merge(self, place: int, at: set[int], strategy: str) -> None:
        bank, pair = self.pair(place)
        gone = sorted({number % len(pair.model) for number in at}) if pair.model else []
        if len(gone) < 2:
            return
        try:
            merged = bank.merge([pair.model[number].id for number in gone], strategy)
        except FieldError:
            assert strategy == "extract_common"
            return
        assert merged.id == f"m{pair.next_number}"
        pair.next_number += 1
        pair.model = [memory for number, memory in enumerate(pair.model) if number not in gone] + [merged]

    @rule(place=PLACES, at=PLACES, criterion=st.sampled_from(SPLIT_CRITERIA), max_parts=st.integers(2, 5))
    def split(self, place: int, at: int, criterion: str, max_parts: int) -> None:
        bank, pair = self.pair(place)
        if not pair.model:
            return
        source = pair.model[at % len(pair.model)]
        try:
            parts = bank.split(source.id, criterion, max_parts)
        except FieldError:
            return
        assert 2 <= len(parts) <= max_parts
        pair.next_number += len(parts)
        pair.model = [memory for memory in pair.model if memory is not source] + parts

    @rule(place=PLACES, text=TEXTS)
    def deliver_twice(self, place: int, text: str) -> None:
        bank, pair = self.pair(place)
        operation = Operation("create", {"content": text}, key=f"key-{len(bank.journal)}")
        first = bank.apply(operation)
        assert bank.apply(operation) == first
        pair.model.append(Memory(f"m{pair.next_number}", text))
        pair.next_number += 1

    @rule(
        place=PLACES,
        query=TEXTS,
        top_k=st.integers(1, 9),
        memory_type=st.none() | TYPES,
        threshold=st.none() | st.sampled_from([0.0, 0.25, 0.6]),
    )
    def search(self, place: int, query: str, top_k: int, memory_type: str | None, threshold: float | None) -> None:
        pair = (self.pairs + self.views)[place % len(self.pairs + self.views)]
        scored = [
            (round(cosine(query, memory.text), 6), memory)
            for memory in pair.model
            if memory_type in (None, memory.memory_type)
        ]
        best = sorted((item for item in scored if item[0] >= (threshold or 0.0)), key=lambda item: -item[0])[:top_k]
        hits = pair.bank.search(query, top_k, memory_type, threshold)
        assert [(hit.score, hit.memory) for hit in hits] == best

    @invariant()
    def every_bank_is_its_model(self) -> None:
        for pair in self.pairs + self.views:
            assert list(pair.bank) == pair.model
            assert len(pair.bank) == len(pair.model)
            characters = sum(len(memory.content) for memory in pair.model)
            assert pair.bank.mean_characters() == (characters / len(pair.model) if pair.model else 0.0)
            assert all(pair.bank.get(memory.id) == memory for memory in pair.model)
        assert list(self.base) == self.start

    def teardown(self) -> None:
        for pair in self.pairs + self.views:
            assert MemoryBank.replay(self.base, pair.bank.journal).digest() == pair.bank.digest()
            assert list(pair.bank.initial) == self.start


Banks.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestBanks = Banks.TestCase
