"""Tool calls for any framework: a name and arguments in, the text that the model reads out."""

from __future__ import annotations

import itertools
import uuid
from typing import NamedTuple

from memupdate.broker import BankService
from memupdate.errors import MemupdateError
from memupdate.tools import CallContext, error_text, load_tool


class Reply(NamedTuple):
    """What the model reads, and whether it is an error."""

    text: str
    is_error: bool


class ToolCaller:
    """Runs tool calls on one bank, which must be open.

    Every call has an idempotency key of its own, so that a client which delivers it again edits once.

    Args:
        banks: the broker.
        namespace: the bank.
    """

    def __init__(self, banks: BankService, namespace: str) -> None:
        self._banks = banks
        self._namespace = namespace
        # Calls are counted from 0 by each caller, and a durable bank sees many of them.
        self._caller = f"{namespace}@{uuid.uuid4().hex}"
        self._numbers = itertools.count()

    async def call(self, name: str, arguments: object) -> Reply:
        """Runs one call. An error that the model can correct is a reply, not an exception.

        Args:
            name: the tool.
            arguments: what the model gave, as parsed JSON.
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
