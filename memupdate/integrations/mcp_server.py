"""The memory tools as a server of the Model Context Protocol: one durable bank, over stdio or streamable HTTP."""

from __future__ import annotations

import logging
import socket
from importlib.metadata import version
from pathlib import Path

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from memupdate.broker import BankService, MemoryBroker
from memupdate.errors import FieldError
from memupdate.integrations.banks import run_all
from memupdate.integrations.tool_caller import ToolCaller
from memupdate.memory import Operation, read_memories
from memupdate.tools import load_tool, tool_names
from memupdate.tools.schemas import parameters_schema

logger = logging.getLogger(__name__)

NAMESPACE = "memory"
INSTRUCTIONS = (
    "A memory that lasts. Search it before you answer, keep what will matter later, correct what has changed, and "
    "delete, merge or split memories so that it stays small and findable."
)


def memory_server(banks: BankService, namespace: str = NAMESPACE) -> Server:
    """Returns an MCP server with all tools of the table for one bank. It works with any transport of MCP.

    Args:
        banks: the broker.
        namespace: the namespace of an open bank.
    """
    caller = ToolCaller(banks, namespace)
    tools = [
        Tool(name=name, description=load_tool(name).description, input_schema=parameters_schema(name))
        for name in tool_names()
    ]

    async def list_tools(context: object, parameters: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=tools)

    async def call_tool(context: object, parameters: CallToolRequestParams) -> CallToolResult:
        reply = await caller.call(parameters.name, parameters.arguments or {})
        return CallToolResult(content=[TextContent(text=reply.text)], is_error=reply.is_error)

    return Server(
        "memupdate",
        version=version("memupdate"),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def import_memories(banks: BankService, path: Path, namespace: str = NAMESPACE) -> int:
    """Puts the memories of a file into a bank under their ids and returns their number.

    Importing the same file again changes nothing. Memories that were edited or deleted since the import stay so.

    Raises:
        DataError: the file is broken.
        RefusedError: a memory of the file differs from the one imported earlier under the same id.
    """
    operations = []
    for memory in read_memories(path):
        fields = memory.to_json()
        operations.append(Operation("put", {"memory_id": fields.pop("id"), **fields}, key=f"import#{memory.id}"))
    await run_all(banks, namespace, operations)
    return len(operations)


async def serve(bank: Path, embedder: str, memories: Path | None, address: tuple[str, int] | None) -> None:
    """Serves a bank until the client disconnects or a signal ends the process.

    Args:
        bank: the folder of the bank's journal; created if it is missing.
        embedder: the embedder's name, as ``make_embedder`` takes it. It may be another one at the next start.
        memories: a JSONL file to import first; None to import nothing.
        address: the host and port for HTTP; None for stdio.

    Raises:
        FieldError: the server cannot listen at the address (the folder is then not touched), or there is no such
            embedder.
        JournalError: the folder cannot be written, or another process holds it.
        DataError: the journal or the JSONL file is damaged.
        RefusedError: as for ``import_memories``.
    """
    listening = None if address is None else listen(*address)
    broker = MemoryBroker(None, embedder, journal_dir=str(bank))
    try:
        await broker.open(NAMESPACE)
        if memories is not None:
            logger.info("%d memories of %s are in the bank", await import_memories(broker, memories), memories)
        await _serve(memory_server(broker), bank, listening)
    finally:
        await broker.stop()


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at this address.

    Raises:
        FieldError: the port is in use, or the address is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        allowed = f"an address of this machine whose port is free ({error.strerror})"
        raise FieldError("--http", f"{host}:{port}", allowed) from error


async def _serve(server: Server, bank: Path, listening: socket.socket | None) -> None:
    if listening is None:
        logger.info("serving the bank in %s over stdio", bank)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
        return
    host, port = listening.getsockname()[:2]
    application = server.streamable_http_app(host=host)
    logger.info("serving the bank in %s at http://%s:%d/mcp", bank, host, port)
    await uvicorn.Server(uvicorn.Config(application, log_level="warning")).serve(sockets=[listening])
