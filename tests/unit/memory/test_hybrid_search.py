"""Hybrid search against BM25 and cosine worked out by hand from their formulas (rows U8, U9)."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pytest

from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, Operation
from memupdate.memory.words import content_stems

WORDS = ["garden", "tree", "cello", "bread", "spider", "rain", "lake", "violin", "dog"]


def naive_bm25(texts: list[str], query: str) -> list[float]:
    """Lucene's BM25: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b |d| / avg))."""
    documents = [content_stems(text) for text in texts]
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for word in content_stems(query):
            containing = sum(word in other for other in documents)
            idf = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            tf = document.count(word)
            score += idf * tf / (tf + 1.5 * (1 - 0.75 + 0.75 * len(document) / average)) if tf else 0.0
        scores.append(score)
    return scores


def expected(bank: MemoryBank, query: str) -> dict[str, float]:
    texts = [memory.text for memory in bank]
    lexical = np.array(naive_bm25(texts, query))
    embedder = HashingEmbedder()
    cosines = np.maximum(embedder.embed(texts) @ embedder.embed([query])[0], 0)
    mixed = 0.5 * cosines + 0.5 * (lexical / lexical.max() if lexical.max() > 0 else lexical)
    return dict(zip([memory.id for memory in bank], mixed.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_u8_hybrid_scores_are_the_blend_before_and_after_edits_and_in_forks(seed: int) -> None:
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))

    bank = MemoryBank.from_memories([Memory(f"m{n}", text()) for n in range(1, 20)], HashingEmbedder())
    for step in range(6):
        query = text()
        before = bank.fork()
        hits = bank.search(query, top_k=100, ranking="hybrid")
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected(bank, query), abs=1e-5)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        bank.update(f"m{step + 1}", text())
        bank.delete(f"m{step + 10}")
        bank.create(text())
        assert {hit.id: hit.score for hit in before.search(query, 100, ranking="hybrid")} == pytest.approx(
            {hit.id: hit.score for hit in hits}
        )


def test_a_rare_word_is_found_where_the_embedding_says_nothing() -> None:
    class Blind(HashingEmbedder):
        def embed(self, texts: object) -> np.ndarray:
            rows = np.zeros((len(texts), self.dim), dtype=np.float32)  # type: ignore[arg-type]
            rows[:, 0] = 1
            return rows

    bank = MemoryBank.from_memories([Memory(f"m{n}", f"fact of {word}") for n, word in enumerate(WORDS)], Blind())
    assert bank.search("a cello", 1)[0].id == "m0"
    assert bank.search("a cello", 1, ranking="hybrid")[0].id == "m2"
    assert bank.search("a cello", 1, ranking="hybrid")[0].score == 1.0


def test_u9_hybrid_search_honours_type_and_threshold() -> None:
    memories = [Memory(f"m{n}", f"{word} tree", ("episodic", "semantic")[n % 2]) for n, word in enumerate(WORDS)]
    bank = MemoryBank.from_memories(memories, HashingEmbedder())
    found = bank.search("cello bread tree", 100, "semantic", ranking="hybrid")
    assert {hit.memory.memory_type for hit in found} == {"semantic"}
    assert found[0].content == "bread tree"
    strict = bank.search("cello bread tree", 100, threshold=found[0].score, ranking="hybrid")
    assert [hit.content for hit in strict] == ["cello tree", "bread tree"]


@pytest.mark.parametrize("texts", [[], ["..."], ["...", "cello"]])
@pytest.mark.parametrize("query", ["cello", "zzz", "?!"])
def test_banks_and_queries_without_words_are_searched_too(texts: list[str], query: str) -> None:
    bank = MemoryBank.from_memories([Memory(f"m{n}", text) for n, text in enumerate(texts)], HashingEmbedder())
    hits = bank.search(query, 10, ranking="hybrid")
    assert len(hits) == len(texts)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_the_ranking_is_an_option_of_the_operation_and_cosine_without_it() -> None:
    bank = MemoryBank.from_memories([Memory("m1", "cello"), Memory("m2", "garden tree")], HashingEmbedder())
    asked = Operation("search", {"query": "cello", "ranking": "hybrid"})
    assert bank.apply(asked) == bank.search("cello", ranking="hybrid")
    assert bank.apply(Operation("search", {"query": "cello"})) == bank.search("cello", ranking="cosine")
    with pytest.raises(FieldError, match=re.escape("ranking: got 'bm25'; allowed: one of cosine, hybrid")):
        bank.search("cello", ranking="bm25")
