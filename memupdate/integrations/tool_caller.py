"""Runs tool calls for any framework: takes a name and arguments, returns the text for the model."""

from __future__ import annotations

import itertools
import uuid
from typing import NamedTuple

from memupdate.broker import BankService
from memupdate.errors import MemupdateError
from memupdate.tools import CallContext, error_text, load_tool


class Reply(NamedTuple):
    """The text for the model, and whether it is an error."""

    text: str
    is_error: bool


class ToolCaller:
    """Runs tool calls on one open bank.

    Every call has a unique idempotency key, so a call that the broker's client sends twice is applied once.

    Args:
        banks: the broker.
        namespace: the bank's namespace.
    """

    def __init__(self, banks: BankService, namespace: str) -> None:
        self._banks = banks
        self._namespace = namespace
        # Each caller counts its calls from 0. The random name keeps callers of one durable bank apart.
        self._caller = f"{namespace}@{uuid.uuid4().hex}"
        self._numbers = itertools.count()

    async def call(self, name: str, arguments: object) -> Reply:
        """Runs one call. A ``MemupdateError`` becomes an error reply, not an exception.

        Args:
            name: the tool's name.
            arguments: the model's arguments, as parsed JSON.
        """
        try:
            tool = load_tool(name)
            operation = tool.parse(arguments, CallContext(self._caller, next(self._numbers)))
            (outcome,) = await self._banks.run(self._namespace, [operation])
        except MemupdateError as error:
            return Reply(error_text(error), True)
        if outcome.error:
            return Reply(error_text(outcome.error), True)
        return Reply(tool.reply(operation, outcome), False)
