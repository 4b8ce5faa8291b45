"""Memory merging.

Rows U15.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.memory import MERGE_STRATEGIES, HashingEmbedder, Memory, MemoryBank, Operation

MAY, JULY = "1:56 pm on 8 May, 2023", "7:00 pm on 3 July, 2023"


def merged(strategy: str, *contents: str, dates: tuple[str, ...] = ()) -> Memory:
    dates = dates or ("",) * len(contents)
    bank = MemoryBank.from_memories(
        [
            Memory(f"m{number}", content, session_date=date)
            for number, (content, date) in enumerate(zip(contents, dates, strict=True), start=1)
        ],
        HashingEmbedder(32),
    )
    return bank.merge([f"m{number}" for number in range(1, len(contents) + 1)], strategy)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@pytest.mark.parametrize("strategy", MERGE_STRATEGIES)
def test_u15_sources_out_one_in(bank: MemoryBank, strategy: str) -> None:
    before = {memory.id: memory for memory in bank}
    memory = bank.merge(["m5", "m2", "m3"], strategy)
    assert [held.id for held in bank] == ["m1", "m4", "m6", "m7"]
    assert bank.get("m7") == memory
    assert memory.metadata == {"merged_from": ["m5", "m2", "m3"]}
    assert memory.evidence == ("D1:5", "D1:2", "D1:3")
    assert (memory.speaker, memory.session, memory.session_date) == ("Melanie", 1, before["m2"].session_date)
    assert (memory.memory_type, memory.source) == ("semantic", "observation")  # m2 is episodic
    assert not {"m2", "m3", "m5"} & {hit.id for hit in bank.search("Melanie", top_k=9)}
    assert bank.search("Melanie", top_k=1)[0].id == "m7"


def test_u15_three_strategies_three_texts(bank: MemoryBank) -> None:
    texts = [bank.fork().merge(["m2", "m3"], strategy).content for strategy in MERGE_STRATEGIES]
    assert texts == [
        "Melanie painted a lake sunrise last year; ran a charity race for mental health.",
        "Melanie painted a lake sunrise last year.\nMelanie ran a charity race for mental health.",
        "In common: Melanie.",
    ]
    five = ["m1", "m2", "m3", "m4", "m5"]
    assert len({bank.fork().merge(five, strategy).content for strategy in MERGE_STRATEGIES}) == 3


def test_u15_what_the_sources_do_not_share_is_left_open() -> None:
    bank = MemoryBank.from_memories(
        [
            Memory("m1", "Ann runs.", speaker="Ann", session=1, session_date=MAY, evidence=("D1:1", "D1:2")),
            Memory("m2", "Bob runs.", speaker="Bob", session=2, session_date=JULY, evidence=("D2:1", "D1:2")),
        ],
        HashingEmbedder(32),
    )
    memory = bank.merge(["m1", "m2"], "concatenate")
    assert (memory.speaker, memory.session, memory.session_date) == ("", None, "")
    assert memory.evidence == ("D1:1", "D1:2", "D2:1")
    assert memory.content == "Ann runs. (8 May, 2023)\nBob runs. (3 July, 2023)"


def test_u15_metadata_that_all_sources_share_is_kept() -> None:
    bank = MemoryBank.from_memories(
        [
            Memory("m1", "Ann runs.", metadata={"topic": "sport", "score": 1}),
            Memory("m2", "Ann swims.", metadata={"topic": "sport", "score": 2, "place": "lake"}),
        ],
        HashingEmbedder(32),
    )
    assert bank.merge(["m1", "m2"], "summarize").metadata == {"topic": "sport", "merged_from": ["m1", "m2"]}


@pytest.mark.parametrize(
    ("contents", "dates", "summary"),
    [
        (("Ann runs.", "Ann runs."), (), "Ann runs."),
        (("…", "Ann runs. ?!"), (), "…; Ann runs. ?!"),
        (("Ann runs far.", "Ann runs far every day. Bob sleeps."), (), "Ann runs far every day; Bob sleeps."),
        (("Ann likes cats.", "Ann doesn't like cats."), (), "Ann likes cats; doesn't like cats."),
        (("Ann called Bob.", "Bob called Ann."), (), "Ann called Bob; Bob called Ann."),
        (("Ann is tall.", "Ann is shy.", "Ann runs."), (), "Ann is tall; shy; runs."),
        (("The cat sleeps.", "The dog barks!"), (), "The cat sleeps; The dog barks!"),
        (("Ann runs.", "Ann swims."), (MAY, MAY), "Ann runs; swims."),
        (("Ann runs.", "Ann swims."), (MAY, JULY), "Ann runs (8 May, 2023); swims (3 July, 2023)."),
        (("Ann runs.", "Ann runs."), (MAY, JULY), "Ann runs (8 May, 2023; 3 July, 2023)."),
    ],
)
def test_u15_a_summary_says_everything_once(contents: tuple[str, ...], dates: tuple[str, ...], summary: str) -> None:
    assert merged("summarize", *contents, dates=dates).content == summary


def test_u15_a_long_summary_keeps_what_is_salient_and_a_sentence_of_every_source() -> None:
    filler = [
        f"{letter}ado {letter}imu {letter}ope {letter}uri {letter}ele." for letter in "bcdfghjklmnpqrstvwxzäöéèñøšž"
    ]
    first = " ".join([*filler[:14], "Melanie won 3 pottery prizes in Lisbon in 2021."])
    second = " ".join(
        ["Melanie teaches pottery in Lisbon.", *filler[14:], "Pottery prizes in Lisbon matter to Melanie."]
    )
    memory = merged("summarize", first, second, f"Zebras graze {'so' * 40}.")
    assert len(memory.content) < 0.7 * len(first + second)
    assert "3 pottery prizes in Lisbon in 2021" in memory.content
    assert "teaches pottery in Lisbon" in memory.content
    assert "Zebras graze" in memory.content


@pytest.mark.parametrize(
    ("contents", "common"),
    [
        (("Ann loves the red house.", "Bob painted the red house."), "In common: red house."),
        (("Ann researches adoption.", "Adoption is what Ann researched."), "In common: Ann researches; adoption."),
        (("Ann runs.", "Ann swims.", "Bob runs."), "In common: Ann; runs."),
        (("Ann runs.", "Ann swims.", "Ann reads."), "In common: Ann."),
        (("Ann runs.", "Ann runs."), "In common: Ann runs."),
    ],
)
def test_u15_extract_common_holds_only_what_is_shared(contents: tuple[str, ...], common: str) -> None:
    assert merged("extract_common", *contents).content == common


@pytest.mark.parametrize("length", range(1, 12))
def test_u15_a_shared_phrase_is_found_whole(length: int) -> None:
    shared = " ".join(f"word{number}" for number in range(length))
    assert merged("extract_common", f"Ann said {shared} here", f"{shared} was it").content == f"In common: {shared}."


def test_u15_nothing_in_common_is_an_error_and_no_loss() -> None:
    bank = MemoryBank.from_memories([Memory("m1", "Ann is here."), Memory("m2", "Bob is it.")], HashingEmbedder(32))
    before = bank.digest()
    with pytest.raises(FieldError, match="summarize or concatenate"):
        bank.merge(["m1", "m2"], "extract_common")
    assert bank.digest() == before


def test_u15_a_merge_that_is_too_long_is_an_error() -> None:
    bank = MemoryBank.from_memories([Memory("m1", "a" * 5000), Memory("m2", "b" * 5000)], HashingEmbedder(32))
    with pytest.raises(FieldError, match="8,000"):
        bank.merge(["m1", "m2"], "concatenate")
    assert len(bank) == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("strategy", ["summarize", "extract_common"])
@pytest.mark.parametrize("start", ["", "Ann ", " " * 4000])
def test_u15_very_long_memories_merge_quickly(strategy: str, start: str) -> None:
    sources = [start + " ".join(f"{start.strip()} {number + shift}." for number in range(500)) for shift in range(5)]
    assert len(merged(strategy, *sources).content) > 100


WORDS = st.sampled_from("""ann bob runs ran painted lake the of not red 2021 Melanie's race — café 8""".split())  # noqa: SIM905
CONTENT = st.lists(WORDS, min_size=1, max_size=9).map(" ".join).filter(lambda text: any(map(str.isalnum, text)))
CONTENTS = st.lists(st.lists(CONTENT, min_size=1, max_size=3).map(". ".join), min_size=2, max_size=5)


@settings(max_examples=60, deadline=None)
@given(CONTENTS)
def test_u15_every_text_is_made_of_its_sources(contents: list[str]) -> None:
    together = merged("concatenate", *contents).content
    assert together.split("\n") == contents
    summary = merged("summarize", *contents).content
    assert set(words(summary)) <= set(words(together))
    assert summary not in ("", together)
    counts: dict[str, int] = {}
    for content in contents:
        for word in set(words(content)):
            counts[word[:3]] = counts.get(word[:3], 0) + 1  # three letters: forms of one word count as one
    try:
        common = merged("extract_common", *contents).content
    except FieldError:
        assert not any(counts.get(name, 0) > 1 for name in ("ann", "bob", "lak", "red", "mel", "not"))
        return
    assert common not in (summary, together)
    assert all(counts[word[:3]] > 1 for word in words(common.removeprefix("In common: ")) if word != "s")


def test_u15_an_operation_does_the_same(bank: MemoryBank) -> None:
    direct = bank.fork().merge(["m2", "m3"], "summarize")
    assert bank.apply(Operation("merge", {"memory_ids": ["m2", "m3"], "strategy": "summarize"})) == direct
