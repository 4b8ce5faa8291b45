"""Converts LangGraph items to memories, and any memory to a LangGraph item.

A memory's content, which the tools show and search, is the value's ``content`` if that is a non-blank string (as in
LangMem), and the whole value as JSON otherwise. The rest of the item is in the memory's metadata under ``langgraph``.
So an item is read back exactly as it was put, a tool's edit of the content shows in the value, and a memory that was
not put by a store is an item too.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph.store.base import Item, SearchItem, get_text_at_path, tokenize_path

from memupdate.errors import FieldError
from memupdate.integrations.store_filters import is_number
from memupdate.integrations.store_namespaces import Namespace
from memupdate.memory import MAX_CONTENT_CHARACTERS, MEMORY_TYPES, Memory, Operation
from memupdate.memory.record import MAX_NESTING, check_nesting

_MARK = "langgraph"
_MAX_NESTING = MAX_NESTING - 2  # the value is in the mark, which is in the metadata
# The times of a memory that was not put by a store. An item must have times.
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item with the store's data about it.

    Attributes:
        namespace: the item's namespace.
        key: the item's key.
        value: the item's value.
        created_at: the time of the first put.
        updated_at: the time of the last put.
        ttl_minutes: the time to live after the last read or write, in minutes; None if the item does not expire.
        expires_at: the time at which the item expires, counted from its last write. A later read may have extended it.
        version: a string that changes with every write; empty for a memory that was not put by a store.
        indexed_texts: the number of its texts that are indexed in the side bank; None if its content is indexed.
    """

    namespace: Namespace
    key: str
    value: dict[str, Any]
    created_at: datetime = _UNKNOWN_TIME
    updated_at: datetime = _UNKNOWN_TIME
    ttl_minutes: float | None = None
    expires_at: datetime | None = None
    version: str = ""
    indexed_texts: int | None = None

    def item(self) -> Item:
        """Returns the item as ``get`` returns it."""
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def search_item(self, score: float | None) -> SearchItem:
        """Returns the item as ``search`` returns it."""
        return SearchItem(self.namespace, self.key, self.value, self.created_at, self.updated_at, score)

    @property
    def row_ids(self) -> list[str]:
        """The ids of the item's indexed texts in the side bank."""
        return [json.dumps([self.key, self.version, place]) for place in range(self.indexed_texts or 0)]


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked put, complete except for its time.

    Attributes:
        namespace: the item's namespace.
        key: the item's key.
        content: the memory's content.
        rest: the value with ``content`` set to None; None if ``content`` is the whole value as JSON.
        memory_type: the memory's type.
        ttl_minutes: the time to live in minutes; None if the item does not expire.
        texts: the texts that are indexed instead of the content; None if the content is indexed.
    """

    namespace: Namespace
    key: str
    content: str
    rest: dict[str, Any] | None
    memory_type: str
    ttl_minutes: float | None
    texts: tuple[str, ...] | None

    def operations(self, now: datetime, before: StoredItem | None) -> tuple[Operation, list[Operation]]:
        """Returns the put of the item, and the puts of its indexed texts.

        The puts of the texts are for the side bank and must be applied first.

        Args:
            now: the time of the put.
            before: the item that the put replaces; None if there is none.

        Raises:
            FieldError: the bank would refuse the memory.
        """
        version = uuid.uuid4().hex
        created_at = before.created_at if before is not None and before.version else now
        mark: dict[str, Any] = {
            "key": self.key,
            "version": version,
            "created_at": created_at.isoformat(),
            "updated_at": now.isoformat(),
        }
        if self.rest is not None:
            mark["rest"] = self.rest
        if self.ttl_minutes is not None:
            mark["ttl_minutes"] = self.ttl_minutes
            mark["expires_at"] = (now + timedelta(minutes=self.ttl_minutes)).isoformat()
        if self.texts is not None:
            mark["indexed_texts"] = len(self.texts)
        fields: dict[str, Any] = {"content": self.content, "memory_type": self.memory_type, "metadata": {_MARK: mark}}
        memory = Memory(id=self.key, **fields)  # raises if the bank would refuse it
        rows = StoredItem(self.namespace, self.key, {}, version=version, indexed_texts=len(self.texts or ())).row_ids
        indexed = [
            Operation("put", {"memory_id": row, "content": text, "memory_type": "semantic"})
            for row, text in zip(rows, self.texts or (), strict=True)
        ]
        return Operation("put", {"memory_id": memory.id, **fields}), indexed


def draft(
    namespace: Namespace,
    key: str,
    value: Mapping[str, Any],
    ttl_minutes: float | None,
    fields: Sequence[str] | None,
) -> Draft:
    """Checks a put and returns its draft.

    Args:
        namespace: the item's namespace.
        key: the item's key.
        value: the item's value.
        ttl_minutes: the time to live, as in ``PutOp``.
        fields: the JSON paths of the texts to index, each text separately. None to index the content; an empty list to
            index nothing.

    Raises:
        FieldError: the key, the value, a path or the time to live is not allowed.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise FieldError("value", value, "a mapping with string keys")
    if ttl_minutes is not None and not (is_number(ttl_minutes) and 0 < ttl_minutes < math.inf):
        raise FieldError("ttl", ttl_minutes, "a number of minutes above 0, or None")
    check_nesting("value", value, _MAX_NESTING)
    try:
        whole = json.dumps(dict(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FieldError("value", value, "JSON values (finite numbers, text, lists, objects)") from error
    content = value.get("content")
    rest: dict[str, Any] | None = None
    if isinstance(content, str) and content.strip():
        rest = {**value, "content": None}  # keeps the field's position in the mapping
    else:
        content = whole
    memory_type = value.get("memory_type")
    texts = None if fields is None else tuple(_texts(value, fields))
    made = Draft(
        namespace,
        key,
        content,
        rest,
        memory_type if memory_type in MEMORY_TYPES else MEMORY_TYPES[0],
        ttl_minutes,
        None if texts == (content,) else texts,
    )
    _check_sizes(made)
    return made


def stored_item(namespace: Namespace, record: Mapping[str, Any]) -> StoredItem:
    """Converts a memory's record (``memory_record``) to an item."""
    mark = record["metadata"].get(_MARK)
    # A merge or a split copies the metadata to new memories, which were not put by the store.
    if not isinstance(mark, Mapping) or mark.get("key") != record["id"]:
        return StoredItem(namespace, record["id"], _value_of_memory(record))
    if "rest" in mark:
        value = {**mark["rest"], "content": record["content"]}
    else:
        value = _value_of_json(record["content"])
    expires_at = mark.get("expires_at")
    return StoredItem(
        namespace,
        record["id"],
        value,
        datetime.fromisoformat(mark["created_at"]),
        datetime.fromisoformat(mark["updated_at"]),
        mark.get("ttl_minutes"),
        None if expires_at is None else datetime.fromisoformat(expires_at),
        mark["version"],
        mark.get("indexed_texts"),
    )


def _value_of_memory(record: Mapping[str, Any]) -> dict[str, Any]:
    optional = ("speaker", "session", "session_date", "evidence", "source", "metadata")
    value = {"content": record["content"], "memory_type": record["memory_type"]}
    return value | {name: record[name] for name in optional if record[name] not in ("", None, [], {})}


def _value_of_json(content: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
        check_nesting("value", value, _MAX_NESTING)
    except (json.JSONDecodeError, RecursionError, FieldError):  # a tool has changed the content
        value = None
    return value if isinstance(value, dict) else {"content": content}


def _texts(value: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    if isinstance(fields, str) or not all(isinstance(path, str) for path in fields):
        raise FieldError("index", fields, 'False, or a list of JSON paths such as "title" or "parts[*].text"')
    found = [
        text
        for path in fields
        for text in get_text_at_path(dict(value), path if path == "$" else tokenize_path(path))
        if text.strip()
    ]
    return list(dict.fromkeys(found))


def _check_sizes(made: Draft) -> None:
    # Checked before any write, so that a batch with an invalid value writes nothing.
    for name, text in (("content" if made.rest is not None else "value", made.content), *_named(made.texts)):
        if len(text) > MAX_CONTENT_CHARACTERS:
            allowed = f"at most {MAX_CONTENT_CHARACTERS:,} characters (this has {len(text):,}); split it into items"
            raise FieldError(name, text, allowed)
    try:
        made.operations(datetime.now(UTC), None)
    except FieldError as error:
        if error.field == "metadata":
            allowed = f"beside its content JSON of at most about {MAX_CONTENT_CHARACTERS - 500:,} characters"
            raise FieldError("value", made.rest, allowed) from error
        if error.field == "id":
            raise FieldError("key", made.key, error.allowed) from error
        raise


def _named(texts: Sequence[str] | None) -> list[tuple[str, str]]:
    return [("index", text) for text in texts or ()]
