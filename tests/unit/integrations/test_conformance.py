"""The suite itself: ours passes all of it, and it finds what is wrong with a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore
from memupdate.integrations.conformance import CHECKS, FACES, Check, NotOffered, run_check

WAITING = {"an_overwrite_keeps_the_time_of_creation", "reading_an_item_prolongs_its_life"}


def ours() -> MemoryBankStore:
    return MemoryBankStore(MemoryBroker(None), index={"fields": ["text"]}, ttl={"refresh_on_read": True})


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_our_store_conforms(check: Check, face: str) -> None:
    if check.name in WAITING and face == "sync":
        pytest.skip("waits for seconds; the asynchronous face is enough here")
    if check.name == "a_cancelled_put_is_whole_or_absent_and_harms_no_other" and face == "sync":
        with pytest.raises(NotOffered):
            run_check(check, face, ours)
    else:
        run_check(check, face, ours)


class Prefixing(InMemoryStore):
    """Confuses namespaces by their text, as a careless LIKE does."""

    def _filter_items(self, op: Any) -> Any:
        found = super()._filter_items(op._replace(namespace_prefix=()))
        prefix = ".".join(op.namespace_prefix).lower()
        return [pair for pair in found if ".".join(pair[0].namespace).lower().startswith(prefix)]


class Reversing(InMemoryStore):
    """Answers a batch in the wrong order."""

    def batch(self, ops: Any) -> list[Any]:
        return super().batch(ops)[::-1]


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (Prefixing, "a_search_ends_at_the_border_of_a_label"),
        (Prefixing, "labels_differ_by_case_and_by_code_point"),
        (Reversing, "results_are_in_the_order_of_the_operations"),
        (InMemoryStore, "reads_create_nothing"),
    ],
)
def test_a_store_that_breaks_a_promise_is_found_out(factory: Callable[[], Any], name: str) -> None:
    (check,) = [check for check in CHECKS if check.name == name]
    with pytest.raises(AssertionError):
        run_check(check, "sync", factory)


def test_names_are_unique_and_every_check_says_what_promises_it() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) > 50
    assert all(len(check.promise) > 15 for check in CHECKS)
