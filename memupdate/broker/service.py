"""The broker as an async class without Ray. It serves banks in this process, or inside a shard's actor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from memupdate.broker import history
from memupdate.broker.conversations import NO_CONVERSATION, Conversations
from memupdate.broker.embeddings import Embeddings
from memupdate.broker.futures import awaitable
from memupdate.broker.journal import Journal, JournalError, Record, check_written
from memupdate.broker.protocol import BankService
from memupdate.broker.recovery import check_digest, recover
from memupdate.broker.registry import BankRegistry, OpenBank
from memupdate.broker.repeats import bank_before, is_whole, was_sent
from memupdate.broker.results import (
    Evaluation,
    Opened,
    Outcome,
    Reading,
    Readings,
    Recipe,
    Refusal,
    StateForReward,
    check_none_refused,
    result_record,
)
from memupdate.broker.routing import checked_namespace, checked_new_namespace
from memupdate.broker.turns import Turn, Turns
from memupdate.errors import MemupdateError, UnknownMemoryError
from memupdate.memory import BankView, Embedder, MemoryBank, Operation, ReadBudget, make_embedder, read_within
from memupdate.memory.operation import without_keys

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# The size at which a journal is first compacted. Later compactions follow whenever the size has doubled.
COMPACT_AT_BYTES = 16 * 2**20


def outcome_of(bank: MemoryBank, operation: Operation, vectors: Mapping[str, np.ndarray] | None = None) -> Outcome:
    """Applies an operation and returns its outcome.

    Args:
        bank: the bank. It does not change if it refuses the operation.
        operation: a mutation or a read.
        vectors: embeddings by text, as ``MemoryBank.apply`` takes them.
    """
    try:
        return Outcome(result_record(bank.apply(operation, vectors)))
    except UnknownMemoryError as error:
        return Outcome(None, str(error), Refusal.UNKNOWN_MEMORY)
    except MemupdateError as error:
        return Outcome(None, str(error), Refusal.NOT_ALLOWED)


def evaluation_of(
    bank: MemoryBank, question: str, top_k: int, vectors: Mapping[str, np.ndarray] | None = None
) -> Evaluation:
    """Returns the answer of ``BankService.evaluate``.

    Args:
        bank: the present bank.
        question: the query to search for.
        top_k: the largest number of memories to retrieve.
        vectors: embeddings by text, as ``MemoryBank.apply`` takes them for this search.

    Raises:
        FieldError: the question is empty, or ``top_k`` is below 1.
    """
    bank.embed_written(vectors)
    vector_D = (vectors or {}).get(question)

    def state(view: BankView) -> StateForReward:
        hits = view.search(question, top_k=top_k, vector_D=vector_D)
        retrieved = tuple(hit.memory.text for hit in hits)
        return {"count": len(view), "mean_characters": view.mean_characters(), "retrieved": retrieved}

    return {"before": state(bank.initial), "after": state(bank)}


def readings_of(
    bank: MemoryBank, questions: Sequence[str], budget: ReadBudget, vectors: Mapping[str, np.ndarray] | None = None
) -> Readings:
    """Returns the answer of ``BankService.readings``.

    Args:
        bank: the present bank.
        questions: the queries to search for.
        budget: how many characters to read for one question.
        vectors: embeddings by text, as ``MemoryBank.apply`` takes them for these searches.

    Raises:
        FieldError: a question is empty, or the budget is below one memory of the initial bank.
    """
    bank.embed_written(vectors)
    known = vectors or {}
    characters = budget.of(bank.initial)

    def reading(view: BankView) -> Reading:
        texts = tuple(read_within(view, question, characters, known.get(question)) for question in questions)
        return {"count": len(view), "characters": view.characters(), "texts": texts}

    return {"read_characters": characters, "before": reading(bank.initial), "after": reading(bank)}


class MemoryBroker(BankService):
    """Answers the calls of ``BankService`` in this process. It does not block its event loop.

    With a journal, a new broker on the same directory restores the same banks. Use a broker from one event loop only.

    Args:
        memories_dir: the directory of the files ``{sample_id}.jsonl``; None if every bank starts empty.
        embedder: an embedder, or its name as ``make_embedder`` takes it.
        journal_dir: the directory of the journal, used by this broker alone; None to keep the banks only in memory.
        compact_at: the size of the journal, in bytes, at which it is first compacted.

    Raises:
        FieldError: ``memories_dir`` is not a directory, or there is no such embedder.
        JournalError: ``journal_dir`` cannot be written, or another process holds it.
        DataError: the journal is damaged, or belongs to other conversations.
    """

    def __init__(
        self,
        memories_dir: str | None,
        embedder: str | Embedder = "hashing",
        journal_dir: str | None = None,
        *,
        compact_at: int = COMPACT_AT_BYTES,
    ) -> None:
        self._embeddings = Embeddings(make_embedder(embedder) if isinstance(embedder, str) else embedder)
        initial = None if memories_dir is None else Path(memories_dir)
        self._conversations = Conversations(initial, self._embeddings.cached)
        self._registry = BankRegistry(self._conversations)
        self._turns = Turns()
        self._loading = Turns()
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._awaited: tuple[Future[None], asyncio.Future[None]] | None = None
        self._journal = None if journal_dir is None else Journal(Path(journal_dir))
        self._compact_at = self._compact_from = compact_at
        if self._journal is not None:
            try:
                recover(self._journal.recover(), self._registry, self._conversations)
            except BaseException:
                self._journal.release()
                raise

    async def ping(self) -> dict[str, int]:
        return {"namespaces": len(self._registry), "embedded": self._embeddings.cached.computed}

    async def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> Opened:
        checked_new_namespace(namespace)
        return await self._to_the_end(lambda: self._open(namespace, sample_id, key), namespace)

    async def fork(self, namespace: str, parent: str, key: str = "") -> Opened:
        checked_new_namespace(namespace)
        return await self._to_the_end(lambda: self._fork(namespace, parent, key), namespace, parent)

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        turn = self.begin(namespace, operations)
        if turn is None:
            return await self._to_the_end(lambda: self._run(namespace, operations), namespace)
        if turn.on_disk is not None:
            if turn.leads and self._journal is not None:
                self._journal.commit_soon()
            written = self._awaitable(turn.on_disk)
            written.add_done_callback(lambda _: self.end(turn))  # also when the caller is cancelled
            with suppress(JournalError):
                await asyncio.shield(written)
            check_written(turn.on_disk)
        return turn.outcomes

    async def run_together(self, turns: Mapping[str, Sequence[Operation]]) -> dict[str, list[Outcome]]:
        return await self._to_the_end(lambda: self._run_together(turns), *turns)

    def begin(self, namespace: str, operations: Sequence[Operation]) -> Turn | None:
        """Applies a turn immediately if it need not wait for an earlier call or for an embedding model.

        With ``begin`` and ``end``, a thread can run a turn without the event loop. The thread must keep the loop from
        running meanwhile. Other calls do not see the turn's changes before ``end``.

        Returns:
            The turn; None if it has to wait. If ``on_disk`` is None, the turn is complete and needs no ``end``.

        Raises:
            JournalError: the broker was stopped. The bank is as it was before the turn.
        """
        if not isinstance(namespace, str) or self._turns.taken(namespace):
            return None
        if not (self._embeddings.inline or all(operation.is_mutation for operation in operations)):
            return None
        opened = self._registry.get(namespace)
        if opened is None or opened.undo_to is not None or was_sent(opened.bank, operations):
            return None
        bank, before = opened.bank, opened.bank.edits
        try:
            turn = Turn(namespace, opened, before, [outcome_of(bank, operation) for operation in operations])
            if self._journal is not None and bank.edits > before:
                record = history.ran(opened.number, bank.edits_since(before))
                turn.on_disk, turn.leads = self._journal.collect(record)
                self._turns.take_free(namespace)
        except BaseException:
            if bank.edits > before:
                opened.undo_to = before
            raise
        return turn

    def write(self, turn: Turn) -> None:
        """Blocks until the write of a turn with an ``on_disk`` succeeds or fails. Other turns can run meanwhile."""
        assert turn.on_disk is not None
        if turn.leads and self._journal is not None:
            self._journal.commit()
        turn.on_disk.exception()

    def end(self, turn: Turn) -> None:
        """Ends a turn whose ``on_disk`` is done. Keeps its changes if the write succeeded, else undoes them."""
        assert turn.on_disk is not None
        if turn.on_disk.exception() is not None:
            turn.opened.undo_to = turn.before
        self._turns.release(turn.namespace)

    async def close(self, namespace: str) -> None:
        await self._to_the_end(lambda: self._close(namespace), namespace)

    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> Evaluation:
        async with self._bank(namespace) as opened:
            asked = Operation("search", {"query": question, "top_k": top_k})
            return evaluation_of(opened.bank, question, top_k, await self._vectors(opened.bank, [asked]))

    async def readings(self, namespace: str, questions: Sequence[str], budget: ReadBudget) -> Readings:
        async with self._bank(namespace) as opened:
            asked = [Operation("search", {"query": question}) for question in questions]
            return readings_of(opened.bank, questions, budget, await self._vectors(opened.bank, asked))

    async def namespaces(self) -> list[str]:
        return self._registry.namespaces()

    async def read(self, namespace: str, question: Callable[[OpenBank], Answer]) -> Answer:
        async with self._bank(namespace) as opened:
            return question(opened)

    async def recipe(self, namespace: str) -> Recipe:
        """Returns the data from which another shard makes a fork of this bank.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        async with self._bank(namespace) as opened:
            return {
                "sample_id": opened.sample_id,
                "initial": self._conversations.digest(opened.sample_id),
                "operations": opened.bank.journal,
                "digest": opened.bank.digest(),
            }

    async def adopt(self, namespace: str, parent: str, recipe: Recipe, key: str = "") -> Opened:
        """Opens a namespace on a fork of a bank on another shard.

        Args:
            namespace: the name of the new namespace.
            parent: the namespace of the parent. It is only recorded, because it is on another shard.
            recipe: the parent's recipe, from ``recipe``.
            key: as for ``open``.

        Raises:
            DataError: the conversation differs on this shard, or the replayed bank differs from the parent.
            FieldError: the namespace is open already and not a fork of this parent.
        """
        checked_new_namespace(namespace)
        return await self._to_the_end(lambda: self._adopt(namespace, parent, recipe, key), namespace)

    async def stop(self) -> None:
        """Finishes the calls in progress and closes the journal. Do not use the broker afterwards."""
        while self._unfinished:
            await asyncio.wait(self._unfinished)
        if self._journal is not None:
            await self._journal.close()

    async def _open(self, namespace: str, sample_id: str, key: str) -> Opened:
        await self._load(sample_id)
        if self._registry.get(namespace) is not None:
            return self._registry.open(namespace, sample_id, key)
        opened = self._registry.started(sample_id, key)
        digest = self._conversations.digest(sample_id)
        await self._record(history.opened(opened.number, namespace, sample_id, digest, key=key))
        return self._registry.add(namespace, opened)

    async def _fork(self, namespace: str, parent: str, key: str) -> Opened:
        if self._registry.get(namespace) is not None:
            return self._registry.fork(namespace, parent, key)
        origin = await self._current(parent)
        opened = self._registry.forked(parent, key)
        await self._record(history.forked(opened.number, namespace, origin.number, key))
        return self._registry.add(namespace, opened)

    async def _adopt(self, namespace: str, parent: str, recipe: Recipe, key: str) -> Opened:
        if self._registry.get(namespace) is not None:
            return self._registry.fork(namespace, parent, key)
        sample_id, initial = recipe["sample_id"], recipe["initial"]
        operations = without_keys(recipe["operations"])
        await self._load(sample_id)
        opened = self._registry.started(sample_id, key, parent)
        check_digest(namespace, sample_id, initial, self._conversations.digest(sample_id))
        opened.bank = await asyncio.to_thread(MemoryBank.replay, opened.bank, operations)
        check_digest(namespace, sample_id, recipe["digest"], opened.bank.digest())
        await self._record(history.opened(opened.number, namespace, sample_id, initial, parent, key, operations))
        return self._registry.add(namespace, opened)

    async def _run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        opened = await self._current(namespace)
        bank, before = opened.bank, opened.bank.edits
        try:
            outcomes = await self._outcomes(bank, operations)
            if self._journal is not None and bank.edits > before:
                await self._record(history.ran(opened.number, bank.edits_since(before)))
        except BaseException:
            if bank.edits > before:
                opened.undo_to = before
            raise
        return outcomes

    async def _run_together(self, turns: Mapping[str, Sequence[Operation]]) -> dict[str, list[Outcome]]:
        banks = {namespace: await self._current(namespace) for namespace in turns}
        before = {namespace: opened.bank.edits for namespace, opened in banks.items()}
        try:
            outcomes = {}
            for namespace, operations in turns.items():
                outcomes[namespace] = await self._outcomes(banks[namespace].bank, operations)
                check_none_refused(namespace, operations, outcomes[namespace])
            changed = [
                history.ran(opened.number, opened.bank.edits_since(before[namespace]))
                for namespace, opened in banks.items()
                if opened.bank.edits > before[namespace]
            ]
            if changed:
                await self._record(history.together(changed))
        except BaseException:
            for namespace, opened in banks.items():
                if opened.bank.edits > before[namespace]:
                    opened.undo_to = before[namespace]
            raise
        return outcomes

    async def _outcomes(self, bank: MemoryBank, operations: Sequence[Operation]) -> list[Outcome]:
        if was_sent(bank, operations):
            then = await asyncio.to_thread(bank_before, bank, operations)
            repeated = [outcome_of(then, one, await self._vectors(then, [one])) for one in operations]
            if is_whole(bank, operations, repeated):
                return repeated
        if len(operations) > 1:
            await self._vectors(bank, operations)  # one batch for the turn, as far as texts are known
        return [outcome_of(bank, one, await self._vectors(bank, [one])) for one in operations]

    async def _close(self, namespace: str) -> None:
        await self._record(history.closed(self._registry.at(namespace).number))
        self._registry.close(namespace)
        if self._journal is not None and self._journal.size >= self._compact_from:
            self._compact_from = 2 * self._journal.size  # no second one meanwhile, no immediate retry
            self._in_background(self._compact(self._journal)).add_done_callback(_log_failure)

    async def _compact(self, journal: Journal) -> None:
        try:
            await journal.compact(history.needed_whole)
        except MemupdateError:
            logger.exception("the journal goes on as it is, without compaction")
        else:
            self._compact_from = max(self._compact_at, 2 * journal.size)

    async def _record(self, record: Record) -> None:
        if self._journal is not None:
            await self._journal.append(record)

    @asynccontextmanager
    async def _bank(self, namespace: str) -> AsyncIterator[OpenBank]:
        async with self._turns.of(checked_namespace(namespace)):
            yield await self._current(namespace)

    async def _current(self, namespace: str) -> OpenBank:
        """Returns the namespace's bank, after undoing a turn that failed half-way."""
        opened = self._registry.at(namespace)
        if opened.undo_to is not None:
            kept = opened.bank.journal[: opened.undo_to]
            opened.bank = await asyncio.to_thread(MemoryBank.replay, opened.bank.initial, kept)
            opened.undo_to = None
        return opened

    async def _load(self, key: str) -> None:
        """Loads the file that holds a bank. The banks before the turns of a conversation share one file."""
        if key in self._conversations:
            return
        # An unknown key that is not text is refused by read().
        file = self._conversations.loaded_as(key) if isinstance(key, str) else key
        async with self._loading.of(file):
            if key not in self._conversations:
                memories = await asyncio.to_thread(self._conversations.read, key)
                rows_ND = await self._embeddings.of([memory.text for memory in memories])
                self._conversations.add(key, memories, rows_ND)

    async def _vectors(self, bank: MemoryBank, operations: Sequence[Operation]) -> Mapping[str, np.ndarray]:
        """Returns the embeddings that these operations need, by text. They are computed off the event loop."""
        if self._embeddings.inline:
            return {}
        texts: dict[str, None] = {}
        for operation in operations:
            with suppress(MemupdateError):  # applying the operation reports the error
                texts |= dict.fromkeys(bank.texts_to_embed(operation))
        return dict(zip(texts, await self._embeddings.of(list(texts)), strict=True))

    def _awaitable(self, on_disk: Future[None]) -> asyncio.Future[None]:
        """Returns an asyncio future for a batch. All turns of the batch share it, so the loop is woken only once."""
        if self._awaited is None or self._awaited[0] is not on_disk:
            self._awaited = (on_disk, awaitable(on_disk))
        return self._awaited[1]

    async def _to_the_end(self, call: Callable[[], Coroutine[Any, Any, Answer]], *namespaces: str) -> Answer:
        """Runs a call after the earlier calls on the same namespaces.

        With a journal, the call continues if its caller is cancelled, so that memory and disk stay consistent.
        """
        names = [checked_namespace(namespace) for namespace in namespaces]
        await self._turns.take(*names)

        async def turn() -> Answer:
            try:
                return await call()
            finally:
                self._turns.release(*names)

        if self._journal is None:
            return await turn()
        task = self._in_background(turn())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)  # nobody waits for it any more
            raise

    def _in_background(self, call: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.get_running_loop().create_task(call)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task


def _log_failure(done: asyncio.Task[Any]) -> None:
    """Logs the exception of a call for whose end nobody waits."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        cause = None if isinstance(error, MemupdateError) else error
        logger.warning("a call failed after its caller had gone: %s", error, exc_info=cause)
