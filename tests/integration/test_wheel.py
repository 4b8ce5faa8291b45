"""A wheel of this project holds everything, and works outside the checkout.

The wheel is installed into an environment of its own. The packages of others come from this session's environment, to
save gigabytes; the project itself comes from the wheel.
"""

from __future__ import annotations

import configparser
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from installations import (
    ROOT,
    Environment,
    build_sdist,
    build_wheel,
    copy_of_the_checkout,
    tracked_files,
    use_the_six_tools_over_mcp,
)

import memgen
import memupdate

SIX_TOOLS = """
from memupdate.broker import MemoryBroker
from memupdate.integrations import memory_tools, open_bank

broker = MemoryBroker(None)
open_bank(broker, "diary")
tools = {tool.name: tool for tool in memory_tools(broker, "diary")}
for name, arguments in (
    ("manage_memory", {"operation": "create", "content": "Ana drinks tea"}),
    ("manage_memory", {"operation": "create", "content": "Ana has a cat. It is old."}),
    ("split_memory", {"memory_id": "m2", "split_criteria": "thematic"}),
    ("merge_memory", {"memory_ids": ["m1", "m3"], "strategy": "concatenate"}),
    ("delete_memory", {"memory_id": "m4"}),
    ("sample_memory", {"k": 1, "strategy": "recent"}),
    ("search_memory", {"query": "tea", "top_k": 1}),
):
    print(tools[name].invoke(arguments))
print(len(tools))
"""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, beside the packages of others that this session has."""
    environment = Environment.make(tmp_path_factory.mktemp("installed"))
    environment.install("--no-deps", "--no-index", str(wheel))
    # The folder comes after the environment's own, and its .pth files (the editable checkout's is one) are not read.
    (environment.site_packages / "session.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for package in ("memupdate", "memgen"):
        where = environment.answer("python", "-c", f"import {package}; print({package}.__file__)").strip()
        assert Path(where).parent == environment.site_packages / package
    return environment


def packaged_files() -> set[str]:
    """What a wheel must hold: the files of both packages, with the files of configs and locks where the links are."""
    files = set()
    for name in tracked_files():
        if name.startswith("configs/"):
            files.add(f"memupdate/{name}")
        elif name.startswith("docker/requirements-") and name.endswith(".txt"):
            files.add(f"memupdate/locks/{Path(name).name}")
        elif name.startswith(("memupdate/", "memgen/")) and not (ROOT / name).is_symlink():
            files.add(name)
    return files


def test_wheel_and_sdist_hold_every_file_of_the_packages(wheel: Path, tmp_path: Path) -> None:
    sdist = build_sdist(copy_of_the_checkout(tmp_path / "source"), tmp_path)
    with tarfile.open(sdist) as archive:
        links = [member.name for member in archive.getmembers() if member.issym() or member.islnk()]
    assert links == []
    (tmp_path / "again").mkdir()
    for built in (wheel, build_wheel(sdist, tmp_path / "again")):
        with zipfile.ZipFile(built) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
            missing, extra = packaged_files() - names, names - packaged_files()
            assert (missing, extra) == (set(), set())
            content = archive.read("memupdate/configs/tool_config/memory_tools.yaml")
        assert content == (ROOT / "configs" / "tool_config" / "memory_tools.yaml").read_bytes()


def test_the_wheel_has_one_version_two_commands_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"memupdate-{memupdate.__version__}.dist-info"
        commands = configparser.ConfigParser()
        commands.read_string(archive.read(f"{folder}/entry_points.txt").decode())
        assert f"\nVersion: {memupdate.__version__}\n" in archive.read(f"{folder}/METADATA").decode()
        assert {"memupdate/py.typed", "memgen/py.typed"} <= set(archive.namelist())
    assert memgen.__version__ == memupdate.__version__
    assert dict(commands["console_scripts"]) == {"memupdate": "memupdate.cli:main", "memgen": "memgen.cli:main"}


@pytest.mark.parametrize("program", ["memupdate", "memgen"])
def test_the_commands_explain_themselves(program: str, installed: Environment) -> None:
    assert installed.answer(program, "--help").startswith(f"usage: {program} ")


def test_the_six_tools_work_on_a_bank(installed: Environment) -> None:
    lines = installed.answer("python", "-c", SIX_TOOLS).splitlines()
    assert lines[:2] == ["Created [m1].", "Created [m2]."]
    assert lines[2:5] == ["Split into [m3] [m4].", "Merged into [m5].", "Deleted [m4]."]
    assert lines[5].startswith("[m5]") and lines[6].startswith("[m5]") and "tea" in lines[6]
    assert lines[-1] == "6"


def test_the_mcp_server_answers_a_client(installed: Environment, tmp_path: Path) -> None:
    use_the_six_tools_over_mcp(installed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["local", "cluster"])
def test_a_dry_run_resolves_the_whole_config(profile: str, installed: Environment) -> None:
    said = installed.answer("memupdate", "run", "--profile", profile, "--dry-run", "--runs", "runs")
    config = installed.home / "runs" / f"{profile}-dry-run.yaml"
    assert said.endswith(f"{profile} profile is valid; its config: runs/{config.name}\n")
    assert str(installed.site_packages / "memupdate" / "configs" / "tool_config") in config.read_text()


def test_the_doctor_compares_with_the_locks_that_the_wheel_brings(installed: Environment) -> None:
    code = (
        "from memupdate.files import LOCKS\nfrom memupdate.run.doctor import check_versions\n"
        "for lock in ('cpu', 'gpu'):\n"
        "    print(*check_versions(LOCKS / f'requirements-{lock}.txt'), sep='\\n')\n"
    )
    assert installed.answer("python", "-c", code).count("version of verl: 0.9.1\n") == 2
