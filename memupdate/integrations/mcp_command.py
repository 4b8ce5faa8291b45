"""The command ``memupdate mcp``: serves a durable memory bank to any client of the Model Context Protocol."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from memupdate.errors import FieldError, MemupdateError
from memupdate.memory.embedders import EMBEDDERS


def parsed_address(text: str) -> tuple[str, int]:
    """Returns the host and the port of ``HOST:PORT``.

    Raises:
        FieldError: the text has another form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise FieldError("--http", text, "HOST:PORT, such as 127.0.0.1:8765")
    return host.strip("[]"), int(port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until the client disconnects or Ctrl-C. Returns the exit code, which is 2 if the bank cannot be served.

    Only protocol messages go to stdout. The log goes to stderr.
    """
    parser = argparse.ArgumentParser(prog="memupdate mcp", description=__doc__)
    parser.add_argument("--bank", type=Path, required=True, help="folder of the bank; created if it is missing")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve streamable HTTP at /mcp (default: stdio)")
    names = ", ".join(EMBEDDERS)
    parser.add_argument("--embedder", default="hashing", help=f"one of {names}, or a model (default: hashing)")
    parser.add_argument(
        "--memories", type=Path, metavar="FILE.jsonl", help="memories to import; a second import changes nothing"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to stderr
    from memupdate.integrations.mcp_server import serve

    try:
        address = None if options.http is None else parsed_address(options.http)
        asyncio.run(serve(options.bank, options.embedder, options.memories, address))
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0
