"""Row U39, the reward's part: verl finds the manager through its own configuration, and no file changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("patch_reward_loading", ROOT / "patch_reward_loading.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("ray_session")
def test_u39_verl_resolves_the_manager_here_and_in_a_worker(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main() == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if line.startswith(("driver: ", "Ray worker: "))]
    assert len(found) == 2
    for line in found:
        assert "memupdate.rewards.manager.MemoryRewardManager" in line
        assert str(ROOT / "memupdate" / "rewards" / "manager.py") in line


@pytest.mark.usefixtures("ray_session")
def test_u39_what_does_not_resolve_is_exit_code_1(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = (*program.OVERRIDES[:2], "reward.reward_manager.module.path=pkg://memupdate.rewards.nowhere")
    assert program.main(wrong) == 1
    assert capsys.readouterr().out.count("not resolved: ModuleNotFoundError") == 2


def test_the_program_checks_what_the_configs_set(program: ModuleType) -> None:
    from omegaconf import OmegaConf

    configured = OmegaConf.load(ROOT / "configs" / "memory_grpo_base.yaml").reward
    for override in program.OVERRIDES:
        key, value = override.split("=", 1)
        assert OmegaConf.select(configured, key.removeprefix("reward.")) == value
