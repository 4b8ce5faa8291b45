"""A LangGraph item as a memory, and any memory as a LangGraph item.

The content that the tools show and search is the value's ``content`` where that is a text (LangMem's values), and
the value as JSON otherwise. The rest of the item is in the memory's metadata, under ``langgraph``. So an item comes
back as it was put, a tool's edit of its content shows in the value, and a memory that no store has put is an item too.
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

_MARK = "langgraph"
# A memory that no store put has no times; an item must have some.
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item, and what the store knows of it.

    Attributes:
        ttl_minutes: how many minutes it lives after it was last read or written; None for ever.
        expires_at: when it expires, counted from its last write. A later read may have moved that.
        version: changes with every write; empty for a memory that no store has put.
        indexed_texts: how many of its texts are indexed in the side bank; None if its own content is indexed.
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
        """Returns the item as ``get`` gives it."""
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def search_item(self, score: float | None) -> SearchItem:
        """Returns the item as ``search`` gives it."""
        return SearchItem(self.namespace, self.key, self.value, self.created_at, self.updated_at, score)

    @property
    def row_ids(self) -> list[str]:
        """The ids of its indexed texts in the side bank."""
        return [json.dumps([self.key, self.version, place]) for place in range(self.indexed_texts or 0)]


@dataclass(frozen=True, slots=True)
class Draft:
    """A put that was checked. It lacks only the time at which it happens.

    Attributes:
        content: the memory's content.
        rest: the value without its ``content``; None if the content is the whole value as JSON.
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
        """Returns the item's put, and those of its indexed texts, which are for the side bank and go first."""
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
        memory = Memory(id=self.key, **fields)  # raises where the bank would refuse it
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
    """Checks a put.

    Args:
        namespace: the item's namespace.
        key: the item's key.
        value: the item's value.
        ttl_minutes: as in ``PutOp``.
        fields: JSON paths of the texts to index, each text by itself. None indexes the content; an empty list nothing.

    Raises:
        FieldError: the store cannot keep the key, the value, a path, or the time to live.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise FieldError("value", value, "a mapping with string keys")
    if ttl_minutes is not None and not (is_number(ttl_minutes) and 0 < ttl_minutes < math.inf):
        raise FieldError("ttl", ttl_minutes, "a number of minutes above 0, or None")
    try:
        whole = json.dumps(dict(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FieldError("value", value, "JSON values (finite numbers, text, lists, objects)") from error
    content = value.get("content")
    rest: dict[str, Any] | None = None
    if isinstance(content, str) and content.strip():
        rest = {**value, "content": None}  # keeps the field's place
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
    """Returns a memory's record (``memory_record``) as an item."""
    mark = record["metadata"].get(_MARK)
    # A merge or a split copies metadata to memories that the store did not put.
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
    except json.JSONDecodeError:  # a tool gave the memory another content
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
    # Checked here, so that a batch with a value that cannot be kept writes nothing at all.
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
