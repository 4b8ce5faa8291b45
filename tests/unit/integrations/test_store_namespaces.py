"""Namespaces as banks: an injective name, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.integrations.store_namespaces import bank_of, namespace_of, side_bank_of

LABELS = st.text(st.characters(codec="utf-8", exclude_characters=".\x00"), min_size=1, max_size=6)
NASTY = st.sampled_from(
    ["[", "]", '["a"]', '"', "a", "b", "a,b", "[0]", '[0, "a"]', "\\", "é", "e\u0301", "null", "[1]"]
)
NAMESPACES = st.lists(LABELS | NASTY, min_size=1, max_size=4).map(tuple)


@given(NAMESPACES, NAMESPACES)
def test_different_namespaces_have_different_banks_and_are_found_again(one: tuple, other: tuple) -> None:
    assert namespace_of(bank_of(one)) == one
    assert (bank_of(one) == bank_of(other)) == (one == other)
    assert namespace_of(side_bank_of(one)) is None
    assert side_bank_of(one) != bank_of(other)


def test_a_single_label_is_its_own_bank() -> None:
    assert bank_of(("conv-26-qa159-4f01449a",)) == "conv-26-qa159-4f01449a"
    assert json.loads(bank_of(("users", "ana"))) == ["users", "ana"]
    assert json.loads(bank_of(("[x",))) == ["[x"]


@pytest.mark.parametrize("bank", ["[", "[a]", '["a"]', '["a",  "b"]', "a.b", '["a.b", "c"]', "[]", "[1]", "a\x00b"])
def test_banks_that_no_namespace_has_are_left_alone(bank: str) -> None:
    assert namespace_of(bank) is None


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(FieldError, match="surrogates"):
        bank_of(("a", "\ud800"))
