"""Maps LangGraph's namespaces (tuples of labels) to names of banks (strings), and matches namespaces."""

from __future__ import annotations

import json
from collections.abc import Sequence

from langgraph.store.base import MatchCondition

from memupdate.errors import FieldError

Namespace = tuple[str, ...]


def bank_of(namespace: Namespace) -> str:
    """Returns the bank's name for a namespace. Different namespaces have different banks.

    The name for a single label is the label itself, so that ``("conv-26-qa159-4f01449a",)`` is that trajectory's bank.
    For several labels, or a single label that starts with ``[``, the name is the JSON list of the labels.

    Raises:
        FieldError: a label cannot be encoded as UTF-8.
    """
    try:
        "".join(namespace).encode()
    except UnicodeEncodeError as error:
        raise FieldError("namespace", namespace, "valid Unicode labels, without lone surrogates") from error
    if len(namespace) == 1 and not namespace[0].startswith("["):
        return namespace[0]
    return json.dumps(list(namespace), ensure_ascii=False)


def side_bank_of(namespace: Namespace) -> str:
    """Returns the name of the side bank, where the store keeps data about items. No namespace maps to this name."""
    return json.dumps([0, *namespace], ensure_ascii=False)


def namespace_of(bank: str) -> Namespace | None:
    """Returns the namespace of a bank; None if no namespace that LangGraph allows maps to the bank."""
    namespace: Namespace = (bank,)
    if bank.startswith("["):
        try:
            labels = json.loads(bank)
        except (json.JSONDecodeError, RecursionError):  # a bank that was not opened by a store
            return None
        if not all(isinstance(label, str) for label in labels):
            return None
        namespace = tuple(labels)
    allowed = all(label and "." not in label and "\x00" not in label for label in namespace)
    return namespace if namespace and allowed and bank_of(namespace) == bank else None


def starts_with(namespace: Namespace, prefix: Sequence[str]) -> bool:
    """Returns whether a namespace equals ``prefix`` or is below it. Labels must be equal; there are no wildcards."""
    return namespace[: len(prefix)] == tuple(prefix)


def fulfils(namespace: Namespace, condition: MatchCondition) -> bool:
    """Returns whether a namespace starts or ends with the condition's labels. ``*`` matches any single label.

    Raises:
        FieldError: the condition's type is neither ``prefix`` nor ``suffix``.
    """
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    match condition.match_type:
        case "prefix":
            labels = namespace[: len(path)]
        case "suffix":
            labels = namespace[len(namespace) - len(path) :]
        case _:
            raise FieldError("match_type", condition.match_type, "prefix, suffix")
    return all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=True))
