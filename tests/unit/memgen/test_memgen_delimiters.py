"""The delimiter table over a real tokenizer (G6)."""

from __future__ import annotations

import pytest
from small_tokenizer import LINES, small_tokenizer

from memgen.weaver.stream import DelimiterTable, ReservedIds
from memupdate.errors import FieldError


def places(table: DelimiterTable, ids: list[int]) -> list[int]:
    """Indices of the ids after which a block may stand."""
    return [i for i, token in enumerate(ids) if table.counts(ids[i - 1] if i else None, token)]


@pytest.mark.parametrize("delimiters", [(",", ".", "\n"), (".",), ("\n",), ("e",)])
def test_the_table_says_what_decoding_the_text_says(delimiters: tuple[str, ...]) -> None:
    """G6: a place counts exactly when the text decoded so far ends in a delimiter."""
    tokenizer = small_tokenizer()
    table = DelimiterTable.from_tokenizer(tokenizer, delimiters)
    for line in LINES:
        ids = tokenizer.encode(line)
        expected = [i for i in range(len(ids)) if tokenizer.decode(ids[: i + 1]).endswith(delimiters)]
        assert places(table, ids) == expected


def test_numbers_stay_whole_when_exempted() -> None:
    """G6: 3.14 and 1,000 hold no place; the comma after "dollars" does."""
    tokenizer = small_tokenizer()
    table = DelimiterTable.from_tokenizer(tokenizer, exempt_numbers=True)
    ids = tokenizer.encode("The price is 3.14 dollars, not 1,000 of them.")
    before = [tokenizer.decode(ids[: place + 1]) for place in places(table, ids)]
    assert before == ["The price is 3.14 dollars,", "The price is 3.14 dollars, not 1,000 of them."]


def test_special_tokens_are_never_delimiters() -> None:
    tokenizer = small_tokenizer()
    tokenizer.add_tokens(["<end>."], special_tokens=True)
    reserved = ReservedIds.add_to(tokenizer, 2, 3)
    table = DelimiterTable.from_tokenizer(tokenizer, (".", ">"))
    assert not table.ids & (set(reserved.all) | set(tokenizer.all_special_ids))
    assert ReservedIds.add_to(tokenizer, 2, 3) == reserved, "adding again is no change"
    assert tokenizer.encode("a<|latent_prompt_1|>")[-1] == reserved.prompt[1]


def test_delimiters_that_cannot_be_are_refused() -> None:
    """Bad input: a delimiter that no token ends in; none at all; K = 0."""
    tokenizer = small_tokenizer()
    with pytest.raises(FieldError, match="delimiters: got '§§'"):
        DelimiterTable.from_tokenizer(tokenizer, (".", "§§"))
    for delimiters in ((), ("",)):
        with pytest.raises(FieldError, match="delimiters"):
            DelimiterTable.from_tokenizer(tokenizer, delimiters)
    with pytest.raises(FieldError, match="inference_latents: got 0"):
        ReservedIds.add_to(tokenizer, 2, 0)
