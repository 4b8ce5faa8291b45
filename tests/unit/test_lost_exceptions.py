"""The run of the tests fails if an exception is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

LOSING = """
import asyncio, threading

async def lose(error, cycle=False):
    future = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    if cycle:
        future.itself = [future]

def test_none():
    asyncio.run(asyncio.sleep(0))

def test_at_once():
    asyncio.run(lose(ConnectionError("at once")))

def test_in_a_thread():
    def fail():
        raise ConnectionError("in a thread")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

def test_in_a_finaliser():
    class Finalised:
        def __del__(self):
            raise ConnectionError("in a finaliser")
    Finalised()

def test_in_a_cycle():
    asyncio.run(lose(ConnectionError("in a cycle"), cycle=True))
"""


def test_every_way_to_lose_an_exception_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "test_losing.py").write_text(LOSING)
    command = [sys.executable, "-m", "pytest", "-p", "lost_exceptions", "-p", "no:cacheprovider", "-q", "-rA", "."]
    code = f"import runpy, sys; sys.path.insert(0, {str(TESTS)!r}); sys.argv = {command[2:]!r}; "
    done = subprocess.run(
        [sys.executable, "-c", code + "runpy.run_module('pytest', run_name='__main__')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    failed = {line.split("::")[1].split(" ")[0] for line in lines if line.startswith(("FAILED ", "ERROR test_"))}
    assert done.returncode == 1, done.stdout
    assert failed == {"test_at_once", "test_in_a_thread", "test_in_a_finaliser", "test_in_a_cycle"}, done.stdout
    assert "ConnectionError('in a cycle')" in done.stdout
