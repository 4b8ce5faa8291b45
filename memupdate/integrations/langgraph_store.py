"""A LangGraph ``BaseStore`` on memory banks. The items that an agent stores are the memories that the tools edit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, cast
from weakref import WeakValueDictionary

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from memupdate.broker import BankService
from memupdate.broker.routing import checked_new_namespace
from memupdate.errors import FieldError
from memupdate.integrations.background import relay, submit, wait_for
from memupdate.integrations.store_bank import StoreBank, Written
from memupdate.integrations.store_filters import checked_filter, passes
from memupdate.integrations.store_items import StoredItem, draft
from memupdate.integrations.store_namespaces import Namespace, fulfils, namespace_of, side_bank_of, starts_with
from memupdate.integrations.store_writing import write_together

logger = logging.getLogger(__name__)


class MemoryBankStore(BaseStore):
    """LangGraph's store on a broker's banks, with one bank per namespace (``store_namespaces.bank_of``).

    The results of a batch are in the order of its operations. As in LangGraph's stores, the reads of a batch see the
    state before its writes, and the last of several writes to one key wins. The writes of a batch take effect together
    or not at all, also over several namespaces and if the broker dies in between. A broker with several shards can do
    this within one shard: it refuses a batch that writes to namespaces on several. A write opens the bank of its
    namespace, a read opens no bank, and a namespace without items is not listed.

    A natural-language query is an exact search with the bank's embedder. It matches an item by the ``content`` of its
    value, or by the whole value as JSON if the value has no such text. With ``fields``, it matches an item by each of
    the texts in these fields, and the best text gives the score. A query never finds an item that was put with
    ``index=False``. A blank query counts as no query. Without a query, namespaces are in alphabetical order, and the
    items of a namespace in the order of insertion.

    The store works from any thread and event loop, because all work runs on one background loop. A cancelled call that
    has begun is still finished in the background. One store object writes to a namespace one call at a time. If two
    processes write the same key, the later write wins.

    Args:
        banks: a ``MemoryBroker`` in this process, or a ``MemoryStoreManager`` for a broker on Ray.
        index: ``{"fields": [JSON paths]}``, for items that are put without ``index``.
        ttl: LangGraph's ``TTLConfig``: ``default_ttl`` (minutes), ``refresh_on_read``, ``omit_expired``,
            ``sweep_interval_minutes``. ``sweep_ttl`` deletes expired items; see ``start_ttl_sweeper``.

    Raises:
        FieldError: ``index`` or ``ttl`` has an unknown setting.
    """

    supports_ttl = True

    def __init__(
        self, banks: BankService, *, index: Mapping[str, Any] | None = None, ttl: Mapping[str, Any] | None = None
    ) -> None:
        for name in index or {}:
            if name != "fields":
                raise FieldError(f"index.{name}", (index or {})[name], "fields (the broker chooses the embedder)")
        for name in ttl or {}:
            if name not in TTLConfig.__annotations__:
                raise FieldError(f"ttl.{name}", (ttl or {})[name], ", ".join(TTLConfig.__annotations__))
        self.ttl_config = cast("TTLConfig | None", dict(ttl) if ttl is not None else None)
        self._banks = banks
        self._fields: Sequence[str] | None = (index or {}).get("fields")
        # Concurrent calls on one namespace share its lock. An unused namespace takes no memory.
        self._in_use: WeakValueDictionary[Namespace, StoreBank] = WeakValueDictionary()
        self._sweeper: Future[None] | None = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations and returns their results in order. The result of a put is None.

        Raises:
            InvalidNamespaceError: LangGraph does not allow a namespace.
            FieldError: an argument of an operation is not allowed.
            RefusedError: a bank refused an operation.
        """
        return wait_for(self._answer(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See ``batch``."""
        return await relay(self._answer(list(ops)))

    def sweep_ttl(self) -> int:
        """Deletes the expired items and returns their number."""
        return wait_for(self._sweep())

    async def asweep_ttl(self) -> int:
        """See ``sweep_ttl``."""
        return await relay(self._sweep())

    def start_ttl_sweeper(self) -> None:
        """Starts to delete expired items every ``sweep_interval_minutes`` (default 5), until ``stop_ttl_sweeper``.

        Does nothing if the sweeper is already running.
        """
        if self._sweeper is None or self._sweeper.done():
            minutes = (self.ttl_config or {}).get("sweep_interval_minutes") or 5
            self._sweeper = submit(self._sweep_forever(60.0 * minutes))

    def stop_ttl_sweeper(self) -> None:
        """Stops the sweeper if it is running."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _answer(self, ops: list[Op]) -> list[Result]:
        writes: dict[tuple[Namespace, str], Written] = {}
        for op in ops:
            validate_op_namespace(op)
            if isinstance(op, PutOp):
                writes.pop((op.namespace, op.key), None)  # moves the key to the position of its last write
                writes[op.namespace, op.key] = self._checked_write(op)
        answers: list[Result] = [None] * len(ops)
        gets: dict[Namespace, list[int]] = {}
        for place, op in enumerate(ops):
            if isinstance(op, GetOp):
                gets.setdefault(op.namespace, []).append(place)
            elif isinstance(op, SearchOp):
                answers[place] = cast("Result", await self._search(op))
            elif isinstance(op, ListNamespacesOp):
                answers[place] = cast("Result", await self._list_namespaces(op))
            elif not isinstance(op, PutOp):
                raise FieldError("op", op, "GetOp, SearchOp, PutOp, ListNamespacesOp")
        for namespace, places in gets.items():
            wanted = [cast("GetOp", ops[place]) for place in places]
            for place, item in zip(places, await self._get(namespace, wanted), strict=True):
                answers[place] = item
        by_namespace: dict[Namespace, list[Written]] = {}
        for (namespace, _), written in writes.items():
            by_namespace.setdefault(namespace, []).append(written)
        await write_together(self._banks, {self._bank(namespace): there for namespace, there in by_namespace.items()})
        return answers

    def _checked_write(self, op: PutOp) -> Written:
        checked_new_namespace(side_bank_of(op.namespace))  # the longest name of a bank that the put may open
        if op.value is None:
            return op.namespace, op.key
        index: Literal[False] | list[str] | None = op.index
        fields = self._fields if index is None else ([] if index is False else index)
        return draft(op.namespace, op.key, op.value, op.ttl, fields)

    async def _get(self, namespace: Namespace, ops: Sequence[GetOp]) -> list[Item | None]:
        bank = self._bank(namespace)
        found = await bank.get([op.key for op in ops])
        alive = {item.key: item for item in await self._shown(bank, [item for item in found if item is not None])}
        await bank.refresh([alive[op.key] for op in ops if op.refresh_ttl and op.key in alive])
        return [alive[op.key].item() if op.key in alive else None for op in ops]

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        for name in ("limit", "offset"):
            number = getattr(op, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise FieldError(name, number, "a whole number from 0")
        conditions = checked_filter(op.filter)
        if op.limit == 0:
            return []
        need = op.offset + op.limit
        ranked: list[tuple[float | None, StoredItem]] = []
        for namespace in await self._namespaces():
            if not starts_with(namespace, op.namespace_prefix):
                continue
            bank = self._bank(namespace)

            async def kept(items: Sequence[StoredItem], bank: StoreBank = bank) -> list[StoredItem]:
                return [item for item in await self._shown(bank, items) if passes(item.value, conditions)]

            if op.query is not None and op.query.strip():
                ranked += await bank.best(op.query, need, kept)
            elif len(ranked) < need:
                ranked += [(None, item) for item in await kept(await bank.items())]
        # The sort is stable: items with equal scores stay in the order of namespace and insertion.
        ranked.sort(key=lambda scored: -(scored[0] or 0.0))
        page = ranked[op.offset : need]
        if op.refresh_ttl:
            for namespace in dict.fromkeys(item.namespace for _, item in page):
                await self._bank(namespace).refresh([item for _, item in page if item.namespace == namespace])
        return [item.search_item(score) for score, item in page]

    async def _list_namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        matching = [
            namespace
            for namespace in await self._namespaces()
            if all(fulfils(namespace, condition) for condition in op.match_conditions or ())
        ]
        filled = await asyncio.gather(*(self._has_items(namespace) for namespace in matching))
        listed = [namespace for namespace, has_items in zip(matching, filled, strict=True) if has_items]
        if op.max_depth is not None:
            listed = sorted({namespace[: op.max_depth] for namespace in listed})
        return listed[op.offset : op.offset + op.limit]

    async def _has_items(self, namespace: Namespace) -> bool:
        bank = self._bank(namespace)
        if not (self.ttl_config or {}).get("omit_expired"):
            return await bank.count() > 0
        return bool(await self._shown(bank, await bank.items()))

    async def _shown(self, bank: StoreBank, items: Sequence[StoredItem]) -> list[StoredItem]:
        if not (self.ttl_config or {}).get("omit_expired"):
            return list(items)
        expired = {item.key for item in await bank.expired(items)}
        return [item for item in items if item.key not in expired]

    async def _namespaces(self) -> list[Namespace]:
        names = (namespace_of(bank) for bank in await self._banks.namespaces())
        return sorted(namespace for namespace in names if namespace is not None)

    async def _sweep(self) -> int:
        swept = 0
        for namespace in await self._namespaces():
            swept += await self._bank(namespace).sweep()
        return swept

    async def _sweep_forever(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                swept = await self._sweep()
            except Exception:
                logger.exception("sweeping expired items failed; the next sweep is in %g s", interval_s)
            else:
                logger.info("swept %d expired items", swept)

    def _bank(self, namespace: Namespace) -> StoreBank:
        bank = self._in_use.get(namespace)
        if bank is None:
            bank = self._in_use[namespace] = StoreBank(self._banks, namespace)
        return bank
