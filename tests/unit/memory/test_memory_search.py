"""Memory search.

Rows U8, U9, U10.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_bank import ChosenEmbedder, facts

from memupdate.errors import FieldError, UnknownMemoryError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, Operation

QUERY = "query"


def compass(angles: dict[str, float]) -> ChosenEmbedder:
    """Texts at chosen angles (degrees) from the query, so that each score is a cosine known by hand."""
    return ChosenEmbedder(
        {QUERY: (1.0, 0.0)}
        | {text: (math.cos(math.radians(angle)), math.sin(math.radians(angle))) for text, angle in angles.items()}
    )


def test_u8_best_first_with_id_score_and_content() -> None:
    embedder = compass({"sixty": 60, "ten": 10, "behind": 170, "thirty": 30})
    bank = MemoryBank.from_memories(
        [Memory(f"m{place}", text) for place, text in enumerate(("sixty", "ten", "behind", "thirty"))], embedder
    )
    hits = bank.search(QUERY, top_k=3)
    assert [(hit.id, hit.content) for hit in hits] == [("m1", "ten"), ("m3", "thirty"), ("m0", "sixty")]
    assert [hit.score for hit in hits] == pytest.approx(
        [math.cos(math.radians(angle)) for angle in (10, 30, 60)], abs=1e-6
    )
    everything = bank.search(QUERY, top_k=100)
    assert [hit.id for hit in everything] == ["m1", "m3", "m0", "m2"]
    assert everything[-1].score == 0.0  # a negative cosine is clamped
    assert hits[0].to_json() == {"score": hits[0].score} | hits[0].memory.to_json()


def test_u8_default_is_five_and_reads_real_words(bank: MemoryBank) -> None:
    hits = bank.search("Who is researching adoption?")
    assert len(hits) == 5
    assert hits[0].id == "m4"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert bank.search("Who is researching adoption?") == hits


def test_u8_equal_scores_come_in_order_of_insertion_wherever_they_are_stored() -> None:
    embedder = HashingEmbedder(48)  # an odd number of rows and a small width: matrix kernels have a remainder
    bank = MemoryBank.from_memories([Memory(f"m{n}", "Melanie runs far and fast") for n in range(1, 12)], embedder)
    bank.delete("m4")
    for _ in range(6):
        bank.create("Melanie runs far and fast")
    bank.update("m2", "Melanie runs far and fast")
    hits = bank.search("does Melanie run?", top_k=16)
    assert [hit.id for hit in hits] == [f"m{n}" for n in (1, 2, 3, *range(5, 18))]
    assert len({hit.score for hit in hits}) == 1
    assert [hit.id for hit in bank.search("does Melanie run?", top_k=4)] == ["m1", "m2", "m3", "m5"]


@pytest.mark.parametrize("seed", range(8))
def test_u8_equal_embeddings_tie_although_float32_products_differ_by_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector_D, query_D = rng.standard_normal((2, 384))
    query_D += vector_D
    bank = MemoryBank.from_memories(
        [Memory(f"m{n}", "same") for n in range(1, 12)], ChosenEmbedder({"same": vector_D, QUERY: query_D})
    )
    for _ in range(7):
        bank.create("same")
    for top_k in (1, 4, 13):
        assert [hit.id for hit in bank.search(QUERY, top_k)] == [f"m{n}" for n in range(1, top_k + 1)]
    expected = math.fsum(vector_D * query_D) / math.sqrt(math.fsum(vector_D**2) * math.fsum(query_D**2))
    score = bank.search(QUERY)[0].score
    assert score == pytest.approx(expected, abs=1e-6)
    assert len(bank.search(QUERY, top_k=99, threshold=score)) == 18


def test_u8_a_search_sees_every_edit_at_once() -> None:
    embedder = compass({"a": 50, "b": 40, "c": 30, "d": 20, "e": 5})
    bank = MemoryBank.from_memories([Memory("m1", "a"), Memory("m2", "b")], embedder)
    bank.create("c")
    assert [hit.content for hit in bank.search(QUERY)] == ["c", "b", "a"]
    bank.update("m1", "d")
    assert [hit.content for hit in bank.search(QUERY)] == ["d", "c", "b"]
    bank.update("m1", "e")
    bank.delete("m3")
    assert [hit.content for hit in bank.search(QUERY)] == ["e", "b"]
    bank.delete("m1")
    bank.delete("m2")
    assert bank.search(QUERY) == []


def test_u9_type_and_threshold() -> None:
    embedder = compass({"a": 0, "b": 60, "c": 61, "d": 10, "e": 20})
    bank = MemoryBank.from_memories(
        [Memory("m1", "a"), Memory("m2", "b", "semantic"), Memory("m3", "c", "semantic")], embedder
    )
    bank.create("d", memory_type="semantic")
    bank.create("e", memory_type="procedural")
    assert [hit.id for hit in bank.search(QUERY, memory_type="semantic")] == ["m4", "m2", "m3"]
    assert [hit.id for hit in bank.search(QUERY, threshold=0.5)] == ["m1", "m4", "m5", "m2"]
    assert [hit.id for hit in bank.search(QUERY, memory_type="semantic", threshold=0.5)] == ["m4", "m2"]
    assert [hit.id for hit in bank.search(QUERY, top_k=1, threshold=0.5)] == ["m1"]
    assert [hit.id for hit in bank.search(QUERY, threshold=1)] == ["m1"]
    assert [hit.id for hit in bank.search(QUERY, threshold=0.500003)] == ["m1", "m4", "m5"]
    bank.update("m4", "d", memory_type="episodic")
    assert [hit.id for hit in bank.search(QUERY, memory_type="semantic", top_k=1)] == ["m2"]
    assert [hit.id for hit in bank.search(QUERY, memory_type="procedural", top_k=9)] == ["m5"]
    bank.delete("m4")  # an episodic one, stored before the procedural one
    assert [hit.id for hit in bank.search(QUERY, memory_type="procedural", top_k=9)] == ["m5"]
    assert [hit.id for hit in bank.search(QUERY, memory_type="episodic", top_k=9)] == ["m1"]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("query", {"query": ""}),
        ("query", {"query": "  \n"}),
        ("query", {"query": 3}),
        ("query", {"query": ["a"]}),
        ("top_k", {"query": "a", "top_k": 0}),
        ("top_k", {"query": "a", "top_k": "5"}),
        ("top_k", {"query": "a", "top_k": True}),
        ("memory_type", {"query": "a", "memory_type": "fact"}),
        ("threshold", {"query": "a", "threshold": 1.1}),
        ("threshold", {"query": "a", "threshold": -0.1}),
        ("threshold", {"query": "a", "threshold": "high"}),
    ],
)
def test_u10_a_wrong_argument_is_a_short_message(bank: MemoryBank, field: str, arguments: dict[str, object]) -> None:
    for ask in (lambda: bank.search(**arguments), lambda: bank.apply(Operation("search", arguments))):  # type: ignore[arg-type]
        with pytest.raises(FieldError) as error:
            ask()
        assert error.value.field == field
        assert len(str(error.value)) < 150


def test_a_query_without_words_scores_zero(bank: MemoryBank) -> None:
    assert [hit.score for hit in bank.search("?!")] == [0.0] * 5


def test_get_gives_the_memory_or_names_the_id(bank: MemoryBank) -> None:
    assert bank.get("m3") == facts()[2]
    assert bank.apply(Operation("get", {"memory_id": "m3"})) == facts()[2]
    with pytest.raises(UnknownMemoryError, match="m99"):
        bank.get("m99")


def test_precomputed_embeddings_must_fit() -> None:
    rows_ND = HashingEmbedder(32).embed([fact.text for fact in facts()])
    for wrong_ND in (rows_ND[1:], rows_ND * 2, rows_ND[:, :16], np.zeros_like(rows_ND, dtype=np.int64)):
        with pytest.raises(FieldError, match="embeddings_ND"):
            MemoryBank.from_memories(facts(), HashingEmbedder(32), wrong_ND)
    bank = MemoryBank.from_memories(facts(), HashingEmbedder(32), rows_ND)
    expected = bank.search("adoption")
    rows_ND[:] = 0  # the bank keeps its own
    assert bank.search("adoption") == expected


def test_initial_ids_must_differ() -> None:
    with pytest.raises(FieldError, match="'m1'"):
        MemoryBank.from_memories([Memory("m1", "a"), Memory("m2", "b"), Memory("m1", "c")], HashingEmbedder())
