"""What can be read of a bank. A view never changes; a ``MemoryBank`` is a view that can be edited."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from memupdate.checks import check_choice, check_integer, check_number_between, check_positive_int
from memupdate.errors import FieldError, UnknownMemoryError
from memupdate.memory.base import Base, checked_rows
from memupdate.memory.delta import Delta
from memupdate.memory.embedder import Embedder, embedded
from memupdate.memory.lexical import RANKINGS, LexicalIndex, blend
from memupdate.memory.operation import Operation
from memupdate.memory.record import Memory, checked_text, checked_type
from memupdate.memory.sampling import pick
from memupdate.memory.search import SearchHit, best_slots, cosines_of, live_slots, vectors_of


class BankView:
    """A bank as it was at one moment. It can be read and not edited."""

    __slots__ = ("_base", "_delta")

    def __init__(self, base: Base, delta: Delta) -> None:
        """Makes a view of its parts. Use ``MemoryBank.from_memories``, ``snapshot`` or ``initial`` instead."""
        self._base = base
        self._delta = delta

    def __len__(self) -> int:
        return len(self._base) - len(self._delta.hidden) + len(self._delta.memories)

    def __contains__(self, memory_id: object) -> bool:
        return isinstance(memory_id, str) and self._slot(memory_id) is not None

    def __iter__(self) -> Iterator[Memory]:
        """Yields the memories in order of insertion. A memory that is updated keeps its place."""
        for slot in live_slots(self._base, self._delta).tolist():
            yield self._at(slot)

    @property
    def embedder(self) -> Embedder:
        """The embedder of queries and of written content, where their vectors are not given."""
        return self._base.embedder

    @property
    def initial(self) -> BankView:
        """The bank as it was before its first edit."""
        return BankView(self._base, Delta(self._base))

    @property
    def journal(self) -> list[Operation]:
        """The mutations that were applied since the base, in order. A fork's journal starts with its parent's."""
        return self._delta.journal.copy()

    @property
    def edits(self) -> int:
        """The number of mutations that were applied since the base, which is the length of ``journal``."""
        return len(self._delta.journal)

    def edits_since(self, edits: int) -> list[Operation]:
        """Returns the journal without its first ``edits`` mutations."""
        return self._delta.journal[edits:]

    def get(self, memory_id: str) -> Memory:
        """Returns the memory with this id.

        Raises:
            FieldError: the id is not text.
            UnknownMemoryError: the id is not in the bank.
        """
        return self._at(self._known(memory_id))

    def search(
        self,
        query: str,
        top_k: int = 5,
        memory_type: str | None = None,
        threshold: float | None = None,
        ranking: str = "cosine",
        *,
        vector_D: np.ndarray | None = None,
    ) -> list[SearchHit]:
        """Finds the memories that are most similar to a query. The search is exact.

        The first search after edits embeds what they wrote (see ``embed_written``). The first hybrid search after edits
        also indexes the words of the whole bank, which takes 5 ms for 300 memories.

        Args:
            query: what to look for.
            top_k: how many memories to find at most, from 1.
            memory_type: find only memories of this type; None for all.
            threshold: find only memories whose score is at least this, from 0 to 1; None for all.
            ranking: ``cosine`` scores by the embeddings. ``hybrid`` scores half by them and half by BM25 over words
                (see :mod:`memupdate.memory.lexical`).
            vector_D: the embedding of the query; None computes it.

        Returns:
            The hits, best first. Hits with equal scores are in order of insertion.

        Raises:
            FieldError: an argument is not allowed.
        """
        checked_text("query", query)
        check_positive_int("top_k", top_k)
        if memory_type is not None:
            checked_type(memory_type)
        if threshold is not None:
            check_number_between("threshold", threshold, 0, 1)
        check_choice("ranking", ranking, RANKINGS)
        vector_D = self._query_vector(query, vector_D)
        self.embed_written()
        if ranking == "hybrid":
            return self._hybrid(query, vector_D, top_k, memory_type, threshold)
        found = best_slots(self._base, self._delta, vector_D, top_k, memory_type, threshold)
        return [SearchHit(self._at(slot), score) for slot, score in found]

    def _hybrid(
        self, query: str, vector_D: np.ndarray, top_k: int, memory_type: str | None, threshold: float | None
    ) -> list[SearchHit]:
        slots_S = live_slots(self._base, self._delta)
        if self._delta.lexical is None:
            self._delta.lexical = LexicalIndex(self._at(slot).text for slot in slots_S.tolist())
        cosines_S = cosines_of(vectors_of(self._base, self._delta, slots_S), vector_D)
        scores_S = blend(cosines_S, self._delta.lexical.scores(query))
        if memory_type is not None:  # words are weighed over the whole bank, whatever is asked for
            kept_S = np.isin(slots_S, live_slots(self._base, self._delta, memory_type))
            slots_S, scores_S = slots_S[kept_S], scores_S[kept_S]
        order = np.lexsort((slots_S, -scores_S))[:top_k]
        found = zip(slots_S[order].tolist(), scores_S[order].tolist(), strict=True)
        return [SearchHit(self._at(slot), score) for slot, score in found if threshold is None or score >= threshold]

    def sample(
        self, k: int = 3, strategy: str = "random", memory_type: str | None = None, seed: int = 0
    ) -> list[Memory]:
        """Chooses a sample of memories. The same state and seed always give the same sample.

        Args:
            k: how many memories to choose at most, from 1.
            strategy: ``random``, ``diverse`` (far from each other in embedding space) or ``recent`` (newest first).
            memory_type: choose only memories of this type; None for all.
            seed: of the choices of ``random``, and of the memory that ``diverse`` starts with.

        Returns:
            The memories, in the order of choice.

        Raises:
            FieldError: an argument is not allowed.
        """
        check_positive_int("k", k)
        check_integer("seed", seed)
        if memory_type is not None:
            checked_type(memory_type)
        slots_S = live_slots(self._base, self._delta, memory_type)

        def vectors() -> np.ndarray:
            self.embed_written()
            return vectors_of(self._base, self._delta, slots_S)

        places = pick(strategy, len(slots_S), k, seed, vectors)
        return [self._at(int(slots_S[place])) for place in places]

    def embed_written(self, vectors: Mapping[str, np.ndarray] | None = None) -> None:
        """Embeds the memories that were written since vectors were last compared, in one batch.

        Writing a memory needs no vector, so it never waits for an embedder, and a memory that is overwritten before the
        next search is never embedded. ``search`` calls this first, and so does ``sample`` with ``diverse``. The
        memories of the bank do not change.

        Args:
            vectors: embeddings by text, where they are known. The embedder computes the others.

        Raises:
            FieldError: a given vector has another shape or length.
            Exception: an error of the embedder. The bank stays as it was, and the next such read tries again.
        """
        unembedded = self._unembedded()
        if not unembedded:
            return
        known = vectors or {}
        missing = list(dict.fromkeys(text for text in unembedded if text not in known))
        computed = dict(zip(missing, embedded(self.embedder, missing), strict=True)) if missing else {}
        rows_UD = np.stack([np.asarray(computed[text] if text in computed else known[text]) for text in unembedded])
        self._delta.embed(checked_rows("vectors", rows_UD, (len(unembedded), self._base.embeddings_ND.shape[1])))

    def mean_characters(self) -> float:
        """Returns the mean length of the contents, in characters; 0 for an empty bank."""
        return self._delta.characters / len(self) if len(self) else 0.0

    def characters(self) -> int:
        """Returns the number of characters of all texts, as a reader sees them: contents, with their dates."""
        lengths = self._base.text_lengths
        unchanged = sum(lengths) - sum(lengths[slot] for slot in self._delta.hidden)
        return unchanged + sum(len(memory.text) for memory in self._delta.memories.values())

    def digest(self) -> str:
        """Returns the SHA-256 of all memories in order and of the next id. Equal digests mean equal states."""
        base, delta = self._base, self._delta
        state = hashlib.sha256(str(delta.next_number).encode())
        if not delta.hidden and not delta.memories:
            state.update(b"".join(base.digests))
            return state.hexdigest()
        for slot in live_slots(base, delta).tolist():
            edited = delta.memories.get(slot)
            state.update(base.digests[slot] if edited is None else edited.digest())
        return state.hexdigest()

    def _unembedded(self) -> list[str]:
        return [self._delta.memories[slot].text for slot in self._delta.unembedded]

    def _slot(self, memory_id: str) -> int | None:
        slot = self._delta.slots.get(memory_id)
        if slot is None:
            slot = self._base.slots.get(memory_id)
            if slot in self._delta.hidden and slot not in self._delta.memories:
                return None
        return slot

    def _known(self, memory_id: object) -> int:
        if not isinstance(memory_id, str):
            raise FieldError("memory_id", memory_id, "a memory's id, as text")
        slot = self._slot(memory_id)
        if slot is None:
            raise UnknownMemoryError(memory_id)
        return slot

    def _at(self, slot: int) -> Memory:
        edited = self._delta.memories.get(slot)
        return self._base.memories[slot] if edited is None else edited

    def _query_vector(self, query: str, given: np.ndarray | None) -> np.ndarray:
        if given is None:
            return np.asarray(embedded(self.embedder, [query])[0])
        vector_D = np.asarray(given, dtype=np.float32)
        if vector_D.shape != self._base.embeddings_ND.shape[1:]:
            raise FieldError("vector_D", vector_D.shape, f"a vector of shape {self._base.embeddings_ND.shape[1:]}")
        return vector_D
