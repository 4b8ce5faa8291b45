"""A wheel of the working tree, and virtual environments outside the checkout to install it into."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from in_process_broker import write_conversation
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from test_mcp import all_six

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 300.0


def tracked_files() -> list[str]:
    """The files of the checkout: those that git knows, and new ones that it does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).exists()]


def copy_of_the_checkout(folder: Path) -> Path:
    """The checkout as git would clone it, links as links, so that building leaves nothing in the real one."""
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def build_wheel(source: Path, out: Path) -> Path:
    """Builds a wheel from a source folder or an sdist, with the setuptools of this session."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-qq", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", "-w", str(out), str(source)], check=True, timeout=DEADLINE_S)
    (wheel,) = out.glob("*.whl")
    return wheel


def build_sdist(source: Path, out: Path) -> Path:
    """Builds a source distribution, with the setuptools of this session."""
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, check=True, capture_output=True, timeout=DEADLINE_S
    )
    (archive,) = out.glob("*.tar.gz")
    return archive


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        folder: where it is.
        home: the folder that its processes start in, and their home.
    """

    folder: Path
    home: Path

    @classmethod
    def make(cls, where: Path) -> Environment:
        """An empty environment, without pip."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(where / "venv")], check=True, timeout=60)
        (where / "home").mkdir()
        return cls(where / "venv", where / "home")

    @property
    def site_packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def install(self, *arguments: str) -> None:
        """Installs with the session's pip."""
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.folder / "bin/python")]
        subprocess.run([*pip, "install", "-qq", *arguments], check=True, timeout=DEADLINE_S)

    def command(self, name: str) -> str:
        """The path of a program of this environment."""
        return str(self.folder / "bin" / name)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of this environment: nothing of the session reaches it, neither its paths nor its settings."""
        return subprocess.run(
            [self.command(program), *arguments],
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": f"{self.folder / 'bin'}:{os.defpath}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def answer(self, program: str, *arguments: str) -> str:
        """What a program printed; it must have ended with exit code 0."""
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


def use_the_six_tools_over_mcp(environment: Environment, folder: Path) -> None:
    """Starts the environment's MCP server on a new bank in a folder, and calls every tool as a client."""
    write_conversation(folder, "conv", ["Ana drinks tea", "Ana has a dog"])
    words = ["mcp", "--bank", str(folder / "bank"), "--memories", str(folder / "conv.jsonl")]
    server = StdioServerParameters(command=environment.command("memupdate"), args=words, cwd=environment.home)

    async def talk() -> None:
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            await all_six(session)

    asyncio.run(asyncio.wait_for(talk(), 60))
