"""Checks which of LangGraph's promises are kept by MemoryBankStore, InMemoryStore and the SQLite stores.

    python benchmarks/store_conformance.py [--quick] [--out FILE] [--docs PAGE]

Runs the suite of ``memupdate.integrations.conformance`` on each store, through its synchronous and its asynchronous
methods. Writes a verdict per check and store: ``pass``; ``fail``, with the observation, if either face breaks the
promise; or ``not offered``, if the store does not have the checked feature. Puts the table into the page (default:
docs/integrations.md). The SQLite stores run without an index, because it needs an extension that many builds of Python
cannot load. So their natural-language search is not judged.
"""

from __future__ import annotations

import importlib.metadata
import logging
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import common
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore
from tqdm import tqdm

from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore
from memupdate.integrations.conformance import CHECKS, FACES, Check, NotOffered, run_check
from memupdate.memory import HashingEmbedder

BEGIN, END = "<!-- conformance: begin -->\n", "<!-- conformance: end -->"
EMBEDDER = HashingEmbedder()
TTL = {"refresh_on_read": True}


def embed(texts: list[str]) -> list[list[float]]:
    return EMBEDDER.embed(texts).tolist()


STORES: Mapping[str, Callable[[], Any]] = {
    "MemoryBankStore": lambda: MemoryBankStore(MemoryBroker(None), index={"fields": ["text"]}, ttl=TTL),
    "InMemoryStore": lambda: InMemoryStore(index={"dims": EMBEDDER.dim, "embed": embed, "fields": ["text"]}),
    "SqliteStore": lambda: SqliteStore.from_conn_string(":memory:", ttl=TTL),
    "AsyncSqliteStore": lambda: AsyncSqliteStore.from_conn_string(":memory:", ttl=TTL),
}


def verdict(check: Check, store: str) -> dict[str, str]:
    """Runs a check on a store and returns ``{"verdict": …}``, with ``face`` and ``seen`` of the first failure."""
    offered = False
    for face in FACES:
        try:
            run_check(check, face, STORES[store])
        except NotOffered:
            continue
        except Exception as error:  # noqa: BLE001  a store may break a promise in any way
            said = (str(error).splitlines() or [""])[0] or traceback.extract_tb(error.__traceback__)[-1].line
            return {"verdict": "fail", "face": face, "seen": f"{type(error).__name__}: {said}"[:200]}
        offered = True
    return {"verdict": "pass" if offered else "not offered"}


def table(figures: Mapping[str, Any]) -> str:
    """Returns the verdicts as a Markdown table."""
    signs = {"pass": "✓", "fail": "**✗**", "not offered": "–"}
    names = list(figures["stores"])
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    area = ""
    for check in figures["checks"]:
        if check["area"] != area:
            area = check["area"]
            lines.append(f"| **{area}** |" + " |" * len(names))
        row = " | ".join(signs[check["verdicts"][name]["verdict"]] for name in names)
        lines.append(f"| {check['name'].replace('_', ' ')} | {row} |")
    kept = " | ".join(
        f"{store['pass']} of {store['pass'] + store['fail']}" for store in (figures["stores"][name] for name in names)
    )
    return "\n".join([*lines, f"| **kept** | {kept} |"]) + "\n"


def with_table(page: str, figures: Mapping[str, Any]) -> str:
    """Returns the page with the table between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table(figures) + END + rest.split(END)[1]


def main() -> None:
    parser = common.arguments("store_conformance", __doc__)
    parser.add_argument("--docs", type=Path, default=common.ROOT / "docs" / "integrations.md", help="page to update")
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    chosen = CHECKS[::8] if options.quick else CHECKS
    checks: list[dict[str, Any]] = []
    for check in tqdm(chosen, disable=None):
        verdicts = {store: verdict(check, store) for store in STORES}
        checks.append({"area": check.area, "name": check.name, "promise": check.promise, "verdicts": verdicts})
    stores = {}
    for store in STORES:
        found = [check["verdicts"][store]["verdict"] for check in checks]
        stores[store] = {name.replace(" ", "_"): found.count(name) for name in ("pass", "fail", "not offered")}
    versions = ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite")
    figures = {
        "stores": stores,
        "checks": checks,
        "judged": {name: importlib.metadata.version(name) for name in versions},
    }
    common.write(options.out, figures)
    if not options.quick:
        options.docs.write_text(with_table(options.docs.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
