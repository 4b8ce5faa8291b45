"""The checker of linearizability itself, on histories whose verdict is known by hand, and against a naive search."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Iterable

import pytest
from linearizability import Call, first_violation


def register(state: Hashable, call: Call) -> Iterable[Hashable]:
    """A register: ``("w", value)`` writes, ``("r",)`` reads, ``("cas", old, new)`` answers whether it replaced old."""
    kind, *values = call.asked
    known = call.ended is not None
    if kind == "w":
        return [values[0]]
    if kind == "r":
        return [state] if not known or call.answer == state else []
    replaced = state == values[0]
    return [values[1] if replaced else state] if not known or call.answer == replaced else []


def w(value: int, begun: int, ended: int | None) -> Call:
    return Call("x", ("w", value), None, begun, ended)


def r(value: int, begun: int, ended: int) -> Call:
    return Call("x", ("r",), value, begun, ended)


def cas(old: int, new: int, answer: bool, begun: int, ended: int | None) -> Call:
    return Call("x", ("cas", old, new), answer, begun, ended)


LINEARIZABLE = {
    "nothing": [],
    "one after the other": [w(1, 0, 1), r(1, 2, 3), w(2, 4, 5), r(2, 6, 7)],
    "a read beside a write sees the old value": [w(1, 0, 1), w(2, 2, 9), r(1, 3, 4)],
    "a read beside a write sees the new value": [w(1, 0, 1), w(2, 2, 9), r(2, 3, 4)],
    "two reads beside a write see old, then new": [w(1, 0, 1), w(2, 2, 9), r(1, 3, 4), r(2, 5, 6)],
    "a write of unknown outcome never happened": [w(1, 0, 1), w(2, 2, None), r(1, 3, 4), r(1, 50, 60)],
    "a write of unknown outcome happened much later": [w(1, 0, 1), w(2, 2, None), r(1, 3, 4), w(3, 5, 6), r(2, 7, 8)],
    "two writes of unknown outcome, in the other order": [w(1, 0, None), w(2, 1, None), r(2, 5, 6), r(1, 7, 8)],
    "one of two swaps wins": [cas(0, 1, True, 0, 9), cas(0, 2, False, 0, 9), r(1, 10, 11)],
    "a swap explains a swap": [cas(1, 2, True, 0, 9), cas(0, 1, True, 5, 9)],
    "keys are independent": [w(1, 0, 1), Call("y", ("r",), 0, 2, 3)],
}

NOT_LINEARIZABLE = {
    "a lost write": [w(1, 0, 1), r(0, 2, 3)],
    "a stale read after a new one": [w(1, 0, 1), w(2, 2, 9), r(2, 3, 4), r(1, 5, 6)],
    "a value from nowhere": [w(1, 0, 1), r(7, 2, 3)],
    "a read before its write began": [r(1, 0, 1), w(1, 2, 3)],
    "a write that took effect twice": [w(1, 0, 1), w(2, 2, 3), r(2, 4, 5), r(1, 6, 7)],
    "an unknown write that took effect twice": [w(1, 0, None), r(1, 1, 2), w(2, 3, 4), r(1, 5, 6)],
    "two swaps both win": [cas(0, 1, True, 0, 9), cas(0, 2, True, 0, 9)],
    "the values of two writes alternate": [w(1, 0, 9), w(2, 0, 9), r(1, 10, 11), r(2, 12, 13)],
    "a lost write among other keys": [Call("y", ("w", 1), None, 0, 1), w(1, 0, 1), r(0, 2, 3)],
}


@pytest.mark.parametrize("name", LINEARIZABLE)
def test_a_linearizable_history_passes(name: str) -> None:
    assert first_violation(LINEARIZABLE[name], 0, register) is None


@pytest.mark.parametrize("name", NOT_LINEARIZABLE)
def test_a_history_that_is_not_linearizable_fails_at_a_call_of_its_key(name: str) -> None:
    violation = first_violation(NOT_LINEARIZABLE[name], 0, register)
    assert violation is not None
    assert violation.key == "x"


def naively_linearizable(calls: list[Call]) -> bool:
    """Tries every order of every choice of the unknown calls, straight from the definition."""
    unknown = [call for call in calls if call.ended is None]
    known = [call for call in calls if call.ended is not None]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            if any(_explains(order) for order in itertools.permutations([*known, *chosen])):
                return True
    return False


def _explains(order: tuple[Call, ...]) -> bool:
    for place, call in enumerate(order):
        if any(later.ended is not None and later.ended < call.begun for later in order[place + 1 :]):
            return False
    states: set[Hashable] = {0}
    for call in order:
        states = {after for state in states for after in register(state, call)}
    return bool(states)


def test_the_checker_agrees_with_the_definition_on_random_histories() -> None:
    rng = random.Random(0)
    verdicts = []
    for _ in range(400):
        calls = []
        for _ in range(5):
            begun = rng.randrange(12)
            ended = None if rng.random() < 0.2 else begun + rng.randrange(1, 8)
            kind = rng.choice("wrc")
            if kind == "w":
                calls.append(w(rng.randrange(1, 4), begun, ended))
            elif kind == "r":
                calls.append(r(rng.randrange(0, 4), begun, begun + rng.randrange(1, 8)))
            else:
                calls.append(cas(rng.randrange(3), rng.randrange(3), rng.random() < 0.5, begun, ended))
        verdicts.append(naively_linearizable(calls))
        assert (first_violation(calls, 0, register) is None) == verdicts[-1], calls
    assert 100 < sum(verdicts) < 300
