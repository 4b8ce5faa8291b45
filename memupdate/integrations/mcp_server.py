"""The six memory tools as a server of the Model Context Protocol: one durable bank, over stdio or streamable HTTP."""

from __future__ import annotations

import logging
import socket
from importlib.metadata import version
from pathlib import Path

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from memupdate.broker.service import MemoryBroker
from memupdate.errors import FieldError
from memupdate.integrations.banks import Banks, results
from memupdate.integrations.tool_caller import ToolCaller
from memupdate.memory import Operation, read_memories
from memupdate.tools.schemas import tool_schemas

logger = logging.getLogger(__name__)

NAMESPACE = "memory"
INSTRUCTIONS = (
    "A memory that lasts. Search it before you answer, keep what will matter later, correct what has changed, and "
    "delete, merge or split memories so that it stays small and findable."
)


def memory_server(banks: Banks, namespace: str = NAMESPACE) -> Server:
    """An MCP server with the six tools on one bank, which must be open; run it over any of MCP's transports."""
    caller = ToolCaller(banks, namespace)
    functions = [schema["function"] for schema in tool_schemas()]
    tools = [
        Tool(name=function["name"], description=function["description"], input_schema=function["parameters"])
        for function in functions
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


async def import_memories(banks: Banks, path: Path, namespace: str = NAMESPACE) -> int:
    """Put a file's memories into a bank, under their ids; returns how many the file has.

    Importing the same file again changes nothing, also not what was edited or deleted since.

    Raises:
        DataError: the file is broken.
        RefusedError: a memory of the file differs from the one that was imported under its id before.
    """
    operations = []
    for memory in read_memories(path):
        fields = memory.to_json()
        operations.append(Operation("put", {"memory_id": fields.pop("id"), **fields}, key=f"import#{memory.id}"))
    await results(banks, namespace, operations)
    return len(operations)


async def serve(bank: Path, embedder: str, memories: Path | None, address: tuple[str, int] | None) -> None:
    """Serve the bank in this folder, made if it is not there, until the client leaves or a signal ends it.

    Args:
        bank: folder of the bank's journal.
        embedder: its name, as ``make_embedder`` takes it; the bank may be served with another one later.
        memories: JSONL file to import first.
        address: host and port for HTTP; None for stdio.

    Raises:
        FieldError: nothing can listen at the address; the bank's folder was not touched.
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
    """A socket that takes connections at this address.

    Raises:
        FieldError: the address is taken, or is not this machine's.
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
