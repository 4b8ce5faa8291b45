"""Memory splitting.

Rows U16.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.memory import SPLIT_CRITERIA, HashingEmbedder, Memory, MemoryBank, Operation


def parts_of(content: str, criterion: str, max_parts: int = 3, speaker: str = "") -> list[str]:
    bank = MemoryBank.from_memories([Memory("m1", content, speaker=speaker)], HashingEmbedder(32))
    return [part.content for part in bank.split("m1", criterion, max_parts)]


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


STORY = (
    "Melanie ran a race in May 2022. She painted a lake in 2019. Caroline told her about the adoption. "
    "The adoption agency called Caroline yesterday. Melanie ran another race."
)


@pytest.mark.parametrize("criterion", SPLIT_CRITERIA)
def test_u16_source_out_parts_in(criterion: str) -> None:
    source = Memory(
        "m2", STORY, "semantic", "Melanie", 3, "9 May, 2023", ("D3:1", "D3:2"), "observation", {"topic": "both"}
    )
    bank = MemoryBank.from_memories([Memory("m1", "a"), source, Memory("m3", "b")], HashingEmbedder())
    parts = bank.split("m2", criterion)
    assert 2 <= len(parts) <= 3
    assert [memory.id for memory in bank] == ["m1", "m3", *(part.id for part in parts)]
    assert [part.id for part in parts] == [f"m{number}" for number in range(4, 4 + len(parts))]
    for part in parts:
        kept = source.to_json() | {"metadata": {"topic": "both", "split_from": "m2"}}
        assert part.to_json() == kept | {"id": part.id, "content": part.content}
    assert words(" ".join(part.content for part in parts)) == words(STORY)
    found = {hit.id for hit in bank.search("adoption race lake", top_k=9)}
    assert {part.id for part in parts} <= found
    assert "m2" not in found


def test_u16_temporal_goes_by_the_times_that_are_named() -> None:
    assert parts_of(STORY, "temporal", 5) == [
        "Melanie ran a race in May 2022.",
        "She painted a lake in 2019. Caroline told her about the adoption.",
        "The adoption agency called Caroline yesterday. Melanie ran another race.",
    ]
    assert parts_of("Ann is tall. She is shy. She won in 2019.", "temporal") == [
        "Ann is tall. She is shy.",
        "She won in 2019.",
    ]
    assert parts_of("ann ran! bob slept at 5 p.m. today.", "temporal") == ["ann ran!", "bob slept at 5 p.m. today."]
    merged = "Ann ran yesterday. (8 May, 2023)\nBob slept yesterday. (3 July, 2023)\nCleo sang. (8 May, 2023)"
    assert parts_of(merged, "temporal", 2) == [
        "Ann ran yesterday. (8 May, 2023) Cleo sang. (8 May, 2023)",
        "Bob slept yesterday. (3 July, 2023)",
    ]


def test_u16_temporal_without_times_goes_by_order() -> None:
    assert parts_of("Ann ran. Bob slept. Cleo sang.", "temporal") == ["Ann ran.", "Bob slept.", "Cleo sang."]
    assert parts_of("Ann ran. Bob slept. Cleo sang loudly.", "temporal", 2) == [
        "Ann ran. Bob slept.",
        "Cleo sang loudly.",
    ]


def test_u16_thematic_keeps_a_theme_together() -> None:
    text = (
        "The pottery class meets on Monday. Her guitar needs new strings. Pottery bowls dry slowly. "
        "She tunes the guitar daily. The bowls from the pottery class are blue."
    )
    for max_parts in (2, 3):
        assert parts_of(text, "thematic", max_parts) == [
            "The pottery class meets on Monday. Pottery bowls dry slowly. The bowls from the pottery class are blue.",
            "Her guitar needs new strings. She tunes the guitar daily.",
        ]


def test_u16_a_name_in_every_sentence_is_no_theme() -> None:
    text = "Melanie plays the violin. Melanie adopted a puppy. Melanie bakes bread."
    assert parts_of(text, "thematic", 5) == text.replace(". ", ".|").split("|")


def test_u16_speaker_goes_by_who_speaks_or_is_meant() -> None:
    assert parts_of("Ann: I ran. Bob: I slept.\nAnn: It was far.", "speaker") == [
        "Ann: I ran. Ann: It was far.",
        "Bob: I slept.",
    ]
    assert parts_of("Painting calms Melanie. She paints daily. Caroline moved. She is fine.", "speaker") == [
        "Painting calms Melanie. She paints daily.",
        "Caroline moved. She is fine.",
    ]
    assert parts_of("My dog is old. Bob has a cat.", "speaker", speaker="Ann") == ["My dog is old.", "Bob has a cat."]
    assert parts_of("Caroline attended a group, and Melanie ran a race.", "speaker", speaker="Melanie") == [
        "Caroline attended a group,",
        "and Melanie ran a race.",
    ]


def test_u16_one_person_does_not_split_by_speaker() -> None:
    with pytest.raises(FieldError, match="about one person") as error:
        parts_of("Melanie ran. She slept. Running helps Melanie.", "speaker", speaker="Melanie")
    assert error.value.field == "split_criteria"


def test_u16_one_sentence_splits_at_its_clauses_and_keeps_the_name() -> None:
    assert parts_of("Melanie painted a lake last year, which means a lot to her.", "thematic", speaker="Melanie") == [
        "Melanie painted a lake last year,",
        "Melanie: which means a lot to her.",
    ]
    assert parts_of("Melanie is tall; runs; paints.", "temporal", speaker="Melanie") == [
        "Melanie is tall;",
        "Melanie: runs;",
        "Melanie: paints.",
    ]


@pytest.mark.parametrize("criterion", SPLIT_CRITERIA)
@pytest.mark.parametrize("content", ["Melanie runs", "Dr. Smith met J. K. Rowling at 5 p.m.", "…", "?!\n…"])
def test_u16_a_single_clause_does_not_split(criterion: str, content: str) -> None:
    with pytest.raises(FieldError, match="single clause") as error:
        parts_of(content, criterion)
    assert len(str(error.value)) < 120


def test_u16_a_date_stays_with_its_sentence() -> None:
    assert parts_of("Ann ran. (8 May, 2023)\nAnn swam. (8 May, 2023)", "temporal") == [
        "Ann ran. (8 May, 2023)",
        "Ann swam. (8 May, 2023)",
    ]


@pytest.mark.parametrize("criterion", SPLIT_CRITERIA)
def test_u16_merging_and_splitting_again_keeps_every_word(bank: MemoryBank, criterion: str) -> None:
    memory = bank.merge(["m1", "m2", "m4"], "concatenate")
    parts = bank.split(memory.id, criterion, 5)
    assert words(" ".join(part.content for part in parts)) == words(memory.content)


PIECES = """
    Ann Bob Melanie's lake ran she I painted yesterday 2021 but because of the; not e.g. Dr. (8 May, 2023) Ann: 。 —
    . İstanbul straße !
"""
PIECE = st.sampled_from([*PIECES.split(), "last week", ". ", "?\n", "\n", ""])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(PIECE, min_size=3, max_size=60).map(" ".join).filter(lambda text: text.strip()),
    st.sampled_from(SPLIT_CRITERIA),
    st.integers(2, 5),
    st.sampled_from(["", "Ann", "Zoe"]),
)
def test_u16_parts_cover_the_content(content: str, criterion: str, max_parts: int, speaker: str) -> None:
    try:
        parts = parts_of(content, criterion, max_parts, speaker)
    except FieldError as error:
        assert error.field in ("memory_id", "split_criteria")
        return
    assert 2 <= len(parts) <= max_parts
    assert all(re.search(r"\w", part) for part in parts)
    added = words(" ".join(parts)) - words(content)
    assert not words(content) - words(" ".join(parts))
    assert set(added) <= {speaker}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("criterion", SPLIT_CRITERIA)
@pytest.mark.parametrize(
    "content", [" ".join(f"Ann{n % 3} {n}." for n in range(700)), f"Ann ran.{' ' * 7000} Bob, too."]
)
def test_u16_a_very_long_memory_splits_quickly(content: str, criterion: str) -> None:
    assert len(parts_of(content, criterion, 5)) >= 2


def test_u16_an_operation_does_the_same() -> None:
    bank = MemoryBank.from_memories([Memory("m1", STORY)], HashingEmbedder(32))
    direct = bank.fork().split("m1", "thematic", 2)
    asked = Operation("split", {"memory_id": "m1", "split_criteria": "thematic", "max_parts": 2})
    assert bank.fork().apply(asked) == direct
    by_default = bank.fork().apply(Operation("split", {"memory_id": "m1", "split_criteria": "thematic"}))
    assert by_default == bank.split("m1", "thematic")
    assert isinstance(by_default, list)
    assert len(by_default) == 3
