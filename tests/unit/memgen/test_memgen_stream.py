"""The stream: round trips, where blocks may stand (G6, G7), and errors for everything malformed (G41)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memgen.weaver.stream import (
    DelimiterTable,
    ReservedIds,
    StreamPlan,
    StreamRules,
    WovenText,
    check_stream,
    split_turns,
    unweave,
    weave,
    weave_text,
)
from memgen.weaver.stream.rules import IdTables
from memupdate.errors import FieldError

# Vocabulary of 20: 0 padding, 1..9 text (2 and 5 are delimiters), 10..11 and 12..14 reserved.
RESERVED = ReservedIds((10, 11), (12, 13, 14))
RULES = StreamRules(RESERVED, DelimiterTable(frozenset({2, 5})), max_inference_aug_num=2)
TABLES = IdTables(RULES, 20, torch.device("cpu"))


def plan(rows: list[list[int]], prompt_lengths: list[int], rules: StreamRules = RULES, **changes: object) -> StreamPlan:
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return StreamPlan(rules, IdTables(rules, 20, ids.device), ids, mask, torch.tensor(prompt_lengths), **changes)  # type: ignore[arg-type]


def test_a_plan_says_what_every_item_is() -> None:
    """G5, G7: positions count real items of the row; the trigger is asked at the prompt's end and after delimiters."""
    found = plan([[3, 4, 10, 11, 6, 2, 12, 13, 14, 7, 5, 8, 2], [3, 6, 2, 1]], [2, 1])
    assert found.kind_BL[0].tolist() == [0, 0, 1, 1, 0, 0, 2, 2, 2, 0, 0, 0, 0]
    assert found.position_BL[0].tolist() == list(range(13))
    assert found.text_position_BL[0].tolist() == [0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7]
    assert found.step_BL[0].tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    assert found.asked_BL[0].tolist() == [0, 10, 0, 0, 0, 12, 0, 0, 0, 0, 12, 0, 12]
    assert found.forced_BL[0].tolist() == [0, 0, 11, 0, 0, 0, 13, 14, 0, 0, 0, 0, 0]
    assert found.blocks_B.tolist() == [2, 0]
    assert found.asked_BL[1].tolist()[:4] == [10, 0, 12, 0]


def test_the_cap_holds_per_row() -> None:
    """G7: after max_inference_aug_num insertions the trigger is not asked any more; skips do not count."""
    block = [12, 13, 14]
    found = plan([[3, 2, *block, 2, *block, 2, 6], [3, 2, 5, 2, *block, 2, 6, 6, 6]], [1, 1])
    assert [column for column, first in enumerate(found.asked_BL[0].tolist()) if first == 12] == [1, 5]
    assert [column for column, first in enumerate(found.asked_BL[1].tolist()) if first == 12] == [1, 2, 3, 7]


def test_prompt_blocks_stand_in_the_first_turns_only() -> None:
    """G7: a prompt block in at most max_prompt_aug_num turns."""
    rules = StreamRules(RESERVED, RULES.delimiters, max_prompt_aug_num=2)
    found = plan([[3, 4, 6]] * 3, [2] * 3, rules, turn_B=torch.tensor([0, 1, 2]))
    assert found.asked_BL[:, 1].tolist() == [10, 10, 0]
    assert weave_text(rules, [3, 4], [6], turn=1) == [3, 4, 10, 11, 6]
    assert weave_text(rules, [3, 4], [6], turn=2) == [3, 4, 6]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_weaving_and_unweaving_are_inverse(data: st.DataObject) -> None:
    """G41: text and points of insertion make one stream, and the stream gives them back."""
    text = st.lists(st.integers(1, 9), min_size=1, max_size=12)
    prompt, response = data.draw(text), data.draw(text)
    at_end = data.draw(st.booleans())
    possible = [index for index, token in enumerate(response) if token in (2, 5)]
    after = sorted(data.draw(st.sets(st.sampled_from(possible), max_size=2))) if possible else []
    woven = WovenText(tuple(prompt), tuple(response), at_end, tuple(after))
    stream = weave(RULES, woven)
    assert unweave(RULES, stream, len(prompt)) == woven
    assert [token for token in stream if token < 10] == prompt + response


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([3, 2, 5, 10, 11, 12, 13, 14]), min_size=2, max_size=14), st.integers(0, 3))
def test_the_plan_and_the_item_by_item_check_agree(stream: list[int], padding: int) -> None:
    """G41: two independent readings of the rules refuse the same streams."""

    def refused(check: object) -> bool:
        try:
            check()  # type: ignore[operator]
        except FieldError:
            return True
        return False

    by_item = refused(lambda: check_stream(RULES, stream, 1))
    for row in ([0] * padding + stream, stream + [0] * padding):
        ids = torch.tensor([row])
        mask = torch.ones_like(ids)
        mask[0, :padding] = int(padding == 0 or row[:padding] != [0] * padding)
        if row[-padding:] == [0] * padding and padding:
            mask[0, -padding:] = 0
        assert refused(lambda: StreamPlan(RULES, TABLES, ids, mask, torch.tensor([1]))) == by_item  # noqa: B023


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        ([3, 10, 6], "stream[2]"),  # a block broken off by text
        ([3, 2, 12, 13], "stream"),  # a block cut off at the end
        ([3, 6, 12, 13, 14], "stream[2]"),  # after a token that is no delimiter
        ([3, 2, 13], "stream[2]"),  # an id from inside a block
        ([3, 2, 10, 11], "stream[2]"),  # a prompt block in the response
        ([3, 2, 12, 13, 14, 12, 13, 14], "stream[5]"),  # two blocks in a row
        ([10, 3, 4], "prompt[0]"),  # a reserved id that a user wrote
    ],
)
def test_malformed_streams_are_refused_by_place(stream: list[int], named: str) -> None:
    with pytest.raises(FieldError) as error:
        check_stream(RULES, stream, 1)
    assert error.value.field == named


def test_weave_refuses_places_and_ids_that_are_not_allowed() -> None:
    with pytest.raises(FieldError, match="after"):
        weave(RULES, WovenText((3,), (2,), False, (4,)))
    with pytest.raises(FieldError, match=r"stream\[3\]"):
        weave(RULES, WovenText((3,), (6, 7), False, (1,)))
    with pytest.raises(FieldError, match=r"response\[1\]"):
        weave_text(RULES, [3], [6, 12, 13, 14])


def test_supervised_text_gets_the_published_schedule() -> None:
    """G17: a block after the prompt and after the first delimiters; none after a delimiter that ends the text."""
    assert weave_text(RULES, [3], [6, 2, 7, 5, 8, 2, 9]) == [3, 10, 11, 6, 2, 12, 13, 14, 7, 5, 12, 13, 14, 8, 2, 9]
    assert weave_text(RULES, [3], [6, 2]) == [3, 10, 11, 6, 2]


def test_numbers_can_be_exempted() -> None:
    """G6: with the exemption, a point or comma after a digit is no delimiter."""
    table = DelimiterTable(frozenset({2, 5}), separator_ids=frozenset({2}), digit_ids=frozenset({7}))
    rules = StreamRules(RESERVED, table)
    assert weave_text(rules, [3], [7, 2, 7, 5, 6, 2, 6], 1) == [3, 7, 2, 7, 5, 12, 13, 14, 6, 2, 12, 13, 14, 6]
    assert plan([[3, 7, 2, 6, 2]], [1], rules).asked_BL[0].tolist() == [10, 0, 0, 0, 12]
    # A block between the digit and the point: they are not one number.
    assert plan([[7, 10, 11, 2, 6]], [1], rules).asked_BL[0].tolist() == [10, 0, 0, 12, 0]


def test_a_conversation_is_a_list_of_turns_with_clean_prompts() -> None:
    """G13: a turn's prompt is the text before it, without latents."""
    turns = split_turns([3, 4, 6, 2, 7, 5, 8, 9], [0, 0, 1, 1, 0, 0, 1, 1])
    assert [(turn.prompt, turn.response, turn.turn) for turn in turns] == [
        ((3, 4), (6, 2), 0),
        ((3, 4, 6, 2, 7, 5), (8, 9), 1),
    ]
    assert turns[0].stream(RULES) == [3, 4, 10, 11, 6, 2]
    assert turns[1].stream(RULES) == [3, 4, 6, 2, 7, 5, 8, 9]
    for supervised in ([0, 0], [1]):
        with pytest.raises(FieldError, match="supervised"):
            split_turns([3, 4], supervised)


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(FieldError, match="prompt_ids"):
        ReservedIds((), (12,))
    with pytest.raises(FieldError, match="all different"):
        ReservedIds((10, 11), (11, 12))
    with pytest.raises(FieldError, match="max_inference_aug_num"):
        StreamRules(RESERVED, RULES.delimiters, max_inference_aug_num=-1)
    with pytest.raises(FieldError, match="delimiter_ids"):
        StreamRules(RESERVED, DelimiterTable(frozenset({10})))
