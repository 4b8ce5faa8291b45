"""One namespace of the store: a bank with its items, and a side bank with data about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memupdate.broker import BankService, Refusal, RefusedError, UnknownNamespaceError
from memupdate.broker.results import MemoryRecord, check_none_refused
from memupdate.integrations.banks import run_all
from memupdate.integrations.store_items import Draft, StoredItem, stored_item
from memupdate.integrations.store_namespaces import Namespace, bank_of, side_bank_of
from memupdate.memory import JSON, Operation

Written = Draft | tuple[Namespace, str]  # an item to put, or the namespace and key of an item to delete
Scored = tuple[float, StoredItem]
Kept = Callable[[Sequence[StoredItem]], Awaitable[list[StoredItem]]]

# The kinds of rows in the side bank. They have different memory types, so that a search can select one kind.
_INDEXED_TEXT = "semantic"
_EXPIRY = "procedural"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The writes of one namespace that are still to be applied.

    Attributes:
        bank: the name of the bank with the items.
        edits: the operations on this bank.
        replaced: the items that the edits replace or delete.
        rows: the operations that were applied to the side bank.
    """

    bank: str
    edits: list[Operation]
    replaced: list[StoredItem]
    rows: list[Operation]


class StoreBank:
    """Reads and writes the items of one namespace. A read of a bank that is not open finds nothing and opens no bank.

    The side bank has two kinds of rows: the texts of items that are not indexed by their content, and the expiry times
    of items that were read after their last write. A row names the version of its item, so it has no effect after the
    item is overwritten.

    Args:
        banks: the broker.
        namespace: the namespace in LangGraph's form.

    Attributes:
        namespace: the namespace in LangGraph's form.
        bank: the name of the bank with the items.
        writing: a lock, held during a write.
    """

    def __init__(self, banks: BankService, namespace: Namespace) -> None:
        self.namespace = namespace
        self.banks = banks
        self.bank = bank_of(namespace)
        self._side = side_bank_of(namespace)
        self.writing = asyncio.Lock()

    async def count(self) -> int:
        """Returns the number of items."""
        try:
            return (await self.banks.stats(self.bank))["count"]
        except UnknownNamespaceError:
            return 0

    async def items(self) -> list[StoredItem]:
        """Returns all items in the order of insertion."""
        return [stored_item(self.namespace, record) for record in await self._memories(self.bank)]

    async def get(self, keys: Sequence[str]) -> list[StoredItem | None]:
        """Returns the item of each key, or None for a key without an item."""
        records = await self._records(self.bank, keys)
        return [None if record is None else stored_item(self.namespace, record) for record in records]

    async def best(self, query: str, need: int, kept: Kept) -> list[Scored]:
        """Returns the items that are most similar to a query, with scores, best first.

        Args:
            query: the query.
            need: the smallest number of items to return, if so many match.
            kept: a filter: takes items and returns those to keep.
        """
        own = await self._best(self.bank, query, need, kept, self._by_content)
        by_texts = await self._best(self._side, query, need, kept, self._by_texts)
        return sorted((own | by_texts).values(), key=lambda scored: -scored[0])

    async def prepare(self, writes: Sequence[Written]) -> Prepared:
        """Writes the texts of the items to put into the side bank, where they have no effect before the items exist.

        Args:
            writes: drafts of items to put, and (namespace, key) of items to delete. All are of this namespace, and each
                key occurs once.

        Returns:
            What remains to be done.

        Raises:
            RefusedError: the side bank refused a text.
        """
        before = await self.get([written.key if isinstance(written, Draft) else written[1] for written in writes])
        now = datetime.now(UTC)
        edits, rows = [], []
        for written, old in zip(writes, before, strict=True):
            if isinstance(written, Draft):
                put, indexed = written.operations(now, old)
                edits.append(put)
                rows += indexed
            elif old is not None:
                edits.append(Operation("delete", {"memory_id": old.key, "reason": "deleted from the store"}))
        await self._run(self._side, rows)
        return Prepared(self.bank, edits, [old for old in before if old is not None], rows)

    async def finish(self, prepared: Prepared) -> None:
        """Removes the rows of the items that were replaced or deleted."""
        await self._drop_rows(prepared.replaced)

    async def abandon(self, prepared: Prepared) -> None:
        """Removes the texts of the items that were not written after all."""
        rows = [row.arguments["memory_id"] for row in prepared.rows]
        await self._run(self._side, [Operation("delete", {"memory_id": row}) for row in rows])

    async def refresh(self, items: Sequence[StoredItem]) -> None:
        """Restarts the time to live of these items. Items without a time to live stay unchanged."""
        now = datetime.now(UTC)
        await self._run(
            self._side,
            [
                Operation(
                    "put",
                    {
                        "memory_id": _expiry_id(item.key),
                        "content": "expiry",
                        "memory_type": _EXPIRY,
                        "metadata": {
                            "version": item.version,
                            "expires_at": (now + timedelta(minutes=item.ttl_minutes)).isoformat(),
                        },
                    },
                )
                for item in items
                if item.ttl_minutes is not None
            ],
        )

    async def expired(self, items: Sequence[StoredItem]) -> list[StoredItem]:
        """Returns those of the items that have expired."""
        at = datetime.now(UTC)
        mortal = [item for item in items if item.expires_at is not None and item.expires_at <= at]
        refreshed = await self._records(self._side, [_expiry_id(item.key) for item in mortal])
        return [item for item, row in zip(mortal, refreshed, strict=True) if not _lives(item, row, at)]

    async def sweep(self) -> int:
        """Deletes the expired items and returns their number."""
        async with self.writing:
            gone = await self.expired(await self.items())
            deletes = [Operation("delete", {"memory_id": item.key, "reason": "expired"}) for item in gone]
            await self._run(self.bank, deletes)
            await self._drop_rows(gone)
        return len(gone)

    async def _best(
        self,
        bank: str,
        query: str,
        need: int,
        kept: Kept,
        scored_by: Callable[[list[MemoryRecord]], Awaitable[dict[str, Scored]]],
    ) -> dict[str, Scored]:
        arguments: dict[str, JSON] = {"query": query}
        if bank == self._side:
            arguments["memory_type"] = _INDEXED_TEXT
        top_k = need
        while True:
            try:
                (found,) = await run_all(self.banks, bank, [Operation("search", {**arguments, "top_k": top_k})])
            except UnknownNamespaceError:
                return {}
            scored = await scored_by(found.memories)
            shown = {item.key: scored[item.key] for item in await kept([item for _, item in scored.values()])}
            if len(shown) >= need or len(found.memories) < top_k:
                return shown
            top_k *= 4  # some hits were filtered out, so fetch more

    async def _by_content(self, hits: list[MemoryRecord]) -> dict[str, Scored]:
        scored = [(hit["score"], stored_item(self.namespace, hit)) for hit in hits]
        return {item.key: (score, item) for score, item in scored if item.indexed_texts is None}

    async def _by_texts(self, rows: list[MemoryRecord]) -> dict[str, Scored]:
        keys = list(dict.fromkeys(json.loads(row["id"])[0] for row in rows))
        item_of_row = {row: item for item in await self.get(keys) if item is not None for row in item.row_ids}
        best: dict[str, Scored] = {}
        for row in rows:  # rows are best first, so the first text of an item gives its score
            item = item_of_row.get(row["id"])
            if item is not None:
                best.setdefault(item.key, (row["score"], item))
        return best

    async def _memories(self, bank: str) -> list[MemoryRecord]:
        try:
            return await self.banks.list_memories(bank)
        except UnknownNamespaceError:
            return []

    async def _records(self, bank: str, ids: Sequence[str]) -> list[MemoryRecord | None]:
        if not ids:
            return []
        try:
            outcomes = await self.banks.run(bank, [Operation("get", {"memory_id": one}) for one in ids])
        except UnknownNamespaceError:
            return [None] * len(ids)
        for outcome in outcomes:
            if outcome.error and outcome.refusal is not Refusal.UNKNOWN_MEMORY:
                raise RefusedError(bank, "get", outcome.error)
        return [None if outcome.error else outcome.memory for outcome in outcomes]

    async def _run(self, bank: str, operations: Sequence[Operation]) -> None:
        if not operations:
            return
        try:
            outcomes = await self.banks.run(bank, operations)
        except UnknownNamespaceError:
            if all(operation.kind == "delete" for operation in operations):
                return
            await self.banks.open(bank)
            outcomes = await self.banks.run(bank, operations)
        check_none_refused(bank, operations, outcomes)

    async def _drop_rows(self, items: Sequence[StoredItem]) -> None:
        rows = [row for item in items for row in item.row_ids]
        rows += [_expiry_id(item.key) for item in items if item.ttl_minutes is not None]
        await self._run(self._side, [Operation("delete", {"memory_id": row}) for row in rows])


def _expiry_id(key: str) -> str:
    return json.dumps([key])


def _lives(item: StoredItem, row: MemoryRecord | None, at: datetime) -> bool:
    if row is None or row["metadata"]["version"] != item.version:
        return False
    return datetime.fromisoformat(str(row["metadata"]["expires_at"])) > at
