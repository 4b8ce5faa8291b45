"""The environment of a run's processes: what the user sets, what the run sets, and what is passed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from memupdate.errors import FieldError
from memupdate.platform.processes import environment, forwarded, users_variables, wandb_id


@dataclass
class Settings:
    run_dir: str
    threads: int = 2
    trainer_threads: int = 3
    batch_invariant: bool = True
    forward_env: list[str] = field(default_factory=list)


def config(**runtime_env: Any) -> Any:
    return OmegaConf.create({"ray_kwargs": {"ray_init": {"runtime_env": runtime_env}}})


def test_the_users_variables_are_kept(tmp_path: Path) -> None:
    given = users_variables(config(env_vars={"MINE": 1, "OMP_NUM_THREADS": "7"}), "memory")
    assert given == {"MINE": "1", "OMP_NUM_THREADS": "7"}
    merged = environment(Settings(str(tmp_path))) | given
    assert (merged["OMP_NUM_THREADS"], merged["MKL_NUM_THREADS"], merged["MINE"]) == ("7", "2", "1")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("MEMUPDATE_TRAINER_THREADS", r"memory\.trainer_threads"),
        ("MEMUPDATE_BATCH_INVARIANT", r"memory\.batch_invariant"),
        ("MEMUPDATE_LEASE", "the run sets it"),
        ("MEMUPDATE_END_AT", "the run sets it"),
    ],
)
def test_a_variable_of_a_setting_is_refused(name: str, allowed: str) -> None:
    with pytest.raises(FieldError, match=rf"ray_init\.runtime_env\.env_vars\.{name}.*{allowed}"):
        users_variables(config(env_vars={name: "1"}), "memory")


def test_a_setup_hook_of_the_user_is_refused_and_not_replaced() -> None:
    with pytest.raises(FieldError, match="worker_process_setup_hook"):
        users_variables(config(worker_process_setup_hook="mine.hook"), "memory")


def test_variables_are_forwarded_by_pattern() -> None:
    variables = {"WANDB_API_KEY": "k", "HF_TOKEN": "t", "MY_HF_TOKEN": "x", "hf_token": "y", "NCCL": "z"}
    assert forwarded(["WANDB_*", "HF_*", "NCCL_*"], variables) == {"WANDB_API_KEY": "k", "HF_TOKEN": "t"}
    assert forwarded([], variables) == {}


def test_every_start_of_a_run_has_one_wandb_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    first = wandb_id(tmp_path / "a")
    assert len(first) == 8
    assert environment(Settings(str(tmp_path / "a")))["WANDB_RUN_ID"] == first
    assert wandb_id(tmp_path / "b") != first
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    assert wandb_id(tmp_path / "a") == first  # the run began under it
    assert wandb_id(tmp_path / "c") == "chosen"
