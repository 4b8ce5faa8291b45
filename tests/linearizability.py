"""A checker of linearizability, after Wing and Gong with Lowe's just-in-time rule.

A history holds calls, each with the times of its start and its end. It is linearizable if every call can be given one
moment between its start and its end so that, one call after the other at these moments, a sequential model gives the
answers that the calls got. A call with an unknown outcome has no end and no answer: it may have taken effect at any
moment after its start, or never.

The checker goes through the starts and ends in the order of time. It keeps every configuration that explains the
history so far: a state of the model, and the set of begun calls that have taken effect in it. When a call ends, it must
have taken effect, so other begun calls take effect before it only as far as that is needed. Equal configurations are
one (memoisation). Calls on different keys are independent of each other, so each key is checked by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Returns the states after a call, given the state before it. Empty if the call could not have got its answer.
Step = Callable[[Hashable, "Call"], Iterable[Hashable]]


@dataclass(frozen=True)
class Call:
    """One call of a history.

    Attributes:
        key: what the call is about. Calls with different keys are independent.
        asked: what was asked, for the model.
        answer: what was answered; meaningless without an end.
        begun: the time of its start.
        ended: the time of its end; None if its outcome is unknown.
    """

    key: Hashable
    asked: Any
    answer: Any
    begun: int
    ended: int | None


def first_violation(calls: Iterable[Call], initial: Hashable, step: Step) -> Call | None:
    """Returns the call at whose end a history could no longer be explained, or None if it is linearizable."""
    by_key: dict[Hashable, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    found = (_violation_of_key(of_key, initial, step) for of_key in by_key.values())
    return next((call for call in found if call is not None), None)


def _violation_of_key(calls: Sequence[Call], initial: Hashable, step: Step) -> Call | None:
    # At the same time, starts come before ends: calls that touch are taken as concurrent.
    events = sorted(
        [(call.begun, 0, number) for number, call in enumerate(calls)]
        + [(call.ended, 1, number) for number, call in enumerate(calls) if call.ended is not None]
    )
    pending: list[int] = []
    configurations: set[tuple[Hashable, frozenset[int]]] = {(initial, frozenset())}
    for _, is_end, number in events:
        if not is_end:
            pending.append(number)
            continue
        configurations = _with_effect(number, configurations, pending, calls, step)
        if not configurations:
            return calls[number]
        pending.remove(number)
    return None


def _with_effect(
    number: int,
    configurations: set[tuple[Hashable, frozenset[int]]],
    pending: Sequence[int],
    calls: Sequence[Call],
    step: Step,
) -> set[tuple[Hashable, frozenset[int]]]:
    """Returns the configurations in which a call has taken effect; the call is then forgotten."""
    reached: set[tuple[Hashable, frozenset[int]]] = set()
    seen = set(configurations)
    left = list(configurations)
    while left:
        state, done = left.pop()
        if number in done:
            reached.add((state, done - {number}))
            continue
        for other in pending:
            if other in done:
                continue
            for after in step(state, calls[other]):
                new = (after, done | {other})
                if new not in seen:
                    seen.add(new)
                    left.append(new)
    return reached
