"""The conformance plugin as its users run it, our store over shards on Ray, and the published table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from memupdate.broker import MemoryStoreManager, start_broker
from memupdate.integrations import MemoryBankStore
from memupdate.integrations.conformance import CHECKS, FACES, Check, NotOffered, run_check

ROOT = Path(__file__).resolve().parents[2]
# These wait for seconds, and what they wait for does not depend on where the broker is.
WAITING = {
    "an_overwrite_keeps_the_time_of_creation",
    "reading_an_item_prolongs_its_life",
    "an_item_expires_and_others_stay",
    "a_write_starts_the_life_anew",
}


@pytest.fixture(scope="module")
def broker(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with shards and a journal."""
    memories, journal = (tmp_path_factory.mktemp(name) for name in ("memories", "journal"))
    config = {"memories_dir": str(memories), "embedder": "hashing", "broker_name": "store"}
    running = start_broker({**config, "broker_shards": 2, "journal_dir": str(journal)})
    yield "store"
    running.kill()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.name not in WAITING], ids=lambda check: str(check.name)
)
def test_our_store_conforms_over_shards_on_ray(check: Check, face: str, broker: str) -> None:
    @contextlib.asynccontextmanager
    async def emptied() -> AsyncIterator[MemoryBankStore]:
        client = await MemoryStoreManager.connect(broker, deadline_s=30)
        await asyncio.gather(*(client.close(namespace) for namespace in await client.namespaces()))
        yield MemoryBankStore(client, index={"fields": ["text"]}, ttl={"refresh_on_read": True})

    with contextlib.suppress(NotOffered):
        run_check(check, face, emptied)


@pytest.mark.slow
def test_the_plugin_runs_the_suite_on_a_named_store() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "memupdate.integrations.store_conformance", "--store", "langgraph.store.memory:InMemoryStore"]
    done = subprocess.run(
        [*command, "-k", "batch or reads_create_nothing or documented_example or similar"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed" in done.stdout  # reads_create_nothing, through both faces
    assert "[reads_create_nothing-async-langgraph.store.memory:InMemoryStore]" in done.stdout
    refused = subprocess.run(
        [*command[:-1], "langgraph.store.memory:NoStore"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 4
    assert "allowed: MODULE:FACTORY" in refused.stdout + refused.stderr


@pytest.mark.slow
def test_the_published_table_is_what_the_command_writes(tmp_path: Path) -> None:
    page = ROOT / "docs" / "integrations.md"
    copy = tmp_path / "page.md"
    copy.write_text(page.read_text())
    command = [sys.executable, str(ROOT / "benchmarks" / "store_conformance.py")]
    command += ["--out", str(tmp_path / "figures.json"), "--docs", str(copy)]
    subprocess.run(command, capture_output=True, timeout=180, check=True)
    assert copy.read_text() == page.read_text()
    written, published = (
        json.loads(path.read_text())["checks"]
        for path in (tmp_path / "figures.json", ROOT / "benchmarks" / "results" / "store_conformance.json")
    )
    assert [(check["name"], check["promise"]) for check in written] == [(c["name"], c["promise"]) for c in published]
    assert all(check["verdicts"]["MemoryBankStore"]["verdict"] == "pass" for check in written)
