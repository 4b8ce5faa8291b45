"""Runs one tool call on a bank and returns the text for the model."""

from __future__ import annotations

from typing import NamedTuple

from memupdate.broker.protocol import BankService
from memupdate.errors import MemupdateError
from memupdate.tools.replies import error_text
from memupdate.tools.tool import CallContext, Tool


class Answer(NamedTuple):
    """The text for the model, and whether it is an error that the model can correct."""

    text: str
    is_error: bool


async def answer_call(banks: BankService, tool: Tool, arguments: object, context: CallContext) -> Answer:
    """Runs a call.

    Args:
        banks: the broker.
        tool: the tool.
        arguments: the model's arguments, as parsed JSON.
        context: the call's namespace and number.

    Raises:
        BrokerDeadlineError: a shard of the broker does not answer in time.
        UnknownNamespaceError: the namespace is not open.
        JournalError: the change cannot be written to disk.
    """
    try:
        operation = tool.parse(arguments, context)
    except MemupdateError as error:
        return Answer(error_text(error), True)
    (outcome,) = await banks.run(context.namespace, [operation])
    if outcome.error:
        return Answer(error_text(outcome.error), True)
    return Answer(tool.reply(operation, outcome), False)
