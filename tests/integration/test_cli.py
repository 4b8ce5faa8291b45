"""What a user types wrong: exit code 2, a message with field, value and what is allowed, nothing half-written."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from memupdate.cli import main
from memupdate.platform import launcher
from memupdate.platform.verl_private import OVERRIDDEN_METHODS

ROOT = Path(__file__).resolve().parents[2]


def fails(capsys: pytest.CaptureFixture[str], runs: Path, *arguments: str) -> str:
    """Runs a command that must fail before it writes; returns its one message."""
    before = sorted(runs.rglob("*")) if runs.exists() else []
    assert main(["run", "--runs", str(runs), *arguments]) == 2
    assert (sorted(runs.rglob("*")) if runs.exists() else []) == before
    captured = capsys.readouterr()
    assert captured.err.startswith("memupdate: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_missing_locomo_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = fails(capsys, tmp_path / "runs", "--locomo", str(tmp_path / "absent.json"))
    assert "absent.json" in message


def test_a_truncated_locomo_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('[{"sample_id": "conv-1", "qa": [{"quest')
    message = fails(capsys, tmp_path / "runs", "--locomo", str(tmp_path / "cut.json"))
    assert "cut.json" in message


def test_json_of_another_shape(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps([{"sample_id": "conv-1", "qa": [{"question": 7}]}]))
    message = fails(capsys, tmp_path / "runs", "--locomo", str(tmp_path / "other.json"))
    assert "other.json" in message


def test_an_unknown_config_key_names_its_neighbours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = fails(capsys, tmp_path / "runs", "--", "data.train_batch_sizes=3")
    assert "data.train_batch_sizes" in message
    assert "data.train_batch_size," in message


def test_a_value_that_is_not_allowed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "memory.trainer_threads: got 'many'; allowed: a whole number from 1" in fails(
        capsys, tmp_path / "runs", "--", "memory.trainer_threads=many"
    )
    assert "memory.checkpoints_to_keep: got 1; allowed: a whole number from 2" in fails(
        capsys, tmp_path / "runs", "--", "memory.checkpoints_to_keep=1"
    )
    assert "reward.scorer" in fails(capsys, tmp_path / "runs", "--", "memory.reward.scorer=guess")
    assert "a group of one has no baseline" in fails(capsys, tmp_path / "runs", "--", "actor_rollout_ref.rollout.n=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("actor_rollout_ref.rollout.name=sglan", "rollout.name: got 'sglan'; allowed: one of sglang_cpu, torch"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=3", "tensor_model_parallel_size: got 3; allowed: a "),
        ("actor_rollout_ref.rollout.gpu_memory_utilization=1.5", "gpu_memory_utilization: got 1.5; allowed: a number"),
        ("actor_rollout_ref.actor.ppo_mini_batch_size=64", "ppo_mini_batch_size: got 64; allowed: a divisor of"),
        ("trainer.nnodes=2", "trainer.nnodes: got 2; allowed: 1, or set RAY_ADDRESS"),
        ("trainer.logger=[console,wnadb]", "trainer.logger: got 'wnadb'; allowed: one of wandb"),
        ("memory.embedder=minilm", "memory.embedder: got 'minilm'; allowed: one of hashing"),
        (
            "actor_rollout_ref.rollout.agent.default_agent_loop=agnet",
            "default_agent_loop: got 'agnet'; allowed: one of",
        ),
        ("trainer.v1.trainer_mode=async", "trainer.v1.trainer_mode: got 'async'; allowed: one of sync"),
        ("memory.reward.scorer=judge", "memory.reward.scorer.model: got ''; allowed: the name of a model"),
        (
            "+memory.broker_shard=2",
            "broker_shard: got 2; allowed: no such key; did you mean memory.broker_shards?",
        ),
    ],
)
def test_a_dry_run_refuses_what_would_fail_in_a_ray_actor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, message: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert message in fails(capsys, tmp_path / "runs", "--profile", "cluster", "--dry-run", "--", override)


def test_a_resolved_config_is_checked_before_ray_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train-config` takes a file that a user may have edited."""
    assert main(["run", "--dry-run", "--runs", str(tmp_path)]) == 0
    config = OmegaConf.load(tmp_path / "local-dry-run.yaml")
    config.actor_rollout_ref.rollout.temperature = 0
    config.actor_rollout_ref.model.path = "owner/model"
    OmegaConf.save(config, tmp_path / "edited.yaml")
    capsys.readouterr()
    monkeypatch.setattr(launcher, "train", lambda *_: pytest.fail("the run was started"))
    assert main(["train-config", str(tmp_path / "edited.yaml")]) == 2
    message = "memupdate: actor_rollout_ref.rollout.temperature: got 0; allowed: a finite number above 0\n"
    assert capsys.readouterr().err == message


def test_an_unknown_profile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "profile: got 'galaxy'; allowed: one of cluster, local" in fails(
        capsys, tmp_path / "runs", "--profile", "galaxy"
    )


def test_a_model_without_a_chat_template(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_model: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    (bare / "chat_template.jinja").unlink()
    message = fails(capsys, tmp_path / "runs", "--", f"actor_rollout_ref.model.path={bare}")
    assert "actor_rollout_ref.model.path" in message
    assert "chat template" in message
    missing = fails(capsys, tmp_path / "runs", "--", f"actor_rollout_ref.model.path={tmp_path / 'nothing'}")
    assert "a Hugging Face model folder" in missing


def test_a_tool_class_that_does_not_exist(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tools = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "tool_config" / "memory_tools.yaml"))
    tools["tools"][2]["class_name"] = "memupdate.tools.ForgetEverythingTool"  # type: ignore[index,call-overload]
    path = tmp_path / "tools.yaml"
    OmegaConf.save(OmegaConf.create(tools), path)
    option = f"actor_rollout_ref.rollout.multi_turn.tool_config_path={path}"
    message = fails(capsys, tmp_path / "runs", "--", option)
    assert "tools[2].class_name: got 'memupdate.tools.ForgetEverythingTool'" in message


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        option = f"+actor_rollout_ref.rollout.engine_kwargs.sglang.nccl_port={port}"
        message = fails(capsys, tmp_path / "runs", "--", option)
    assert f"engine_kwargs.sglang.nccl_port: got {port}; allowed: a port that is free" in message


def test_too_little_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Small:
        available = 2 * 2**30

    monkeypatch.setattr(psutil, "virtual_memory", Small)
    assert "free memory: got '2.0 GiB'; allowed: " in fails(capsys, tmp_path / "runs")


def test_the_cluster_profile_composes_and_validates_on_a_machine_without_a_gpu(tmp_path: Path) -> None:
    """Dry run of what the GPU image runs: Qwen2.5-3B, SGLang, FSDP2, groups of 8; hydra overrides pass through."""
    script = [str(ROOT / "run_training_container.sh"), "--profile", "cluster", "--dry-run"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "MEMUPDATE_IMAGE": "1",
        "MEMUPDATE_RUNS": str(tmp_path / "runs"),
        "RAY_ADDRESS": "10.0.0.1:6379",  # needed by two nodes; nobody connects to it
    }
    done = subprocess.run(
        [*script, "--", "trainer.nnodes=2"], capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    config = OmegaConf.load(tmp_path / "runs" / "cluster-dry-run.yaml")
    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-3B-Instruct"
    assert config.actor_rollout_ref.rollout.name == "sglang"
    assert config.actor_rollout_ref.actor.strategy == "fsdp2"
    assert config.actor_rollout_ref.rollout.n == 8
    assert config.trainer.nnodes == 2
    assert config.actor_rollout_ref.actor.optim.lr == 1e-6
    assert config.actor_rollout_ref.actor.kl_loss_type == "low_var_kl"
    assert (config.data.max_prompt_length, config.data.max_response_length) == (4096, 2048)
    assert config.actor_rollout_ref.rollout.multi_turn.max_assistant_turns == 30
    assert config.trainer.project_name == "memupdate-rl"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cluster-dry-run.yaml"]


@pytest.mark.slow
def test_doctor_reports_one_line_per_finding_and_faults_by_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    faults = [line for line in lines if line.startswith("FAULT")]
    assert all(line.startswith(("ok   ", "FAULT")) for line in lines)
    assert code == (1 if faults else 0)
    found = "\n".join(lines)
    assert f"ok    verl's private methods: {len(OVERRIDDEN_METHODS)} methods as expected" in found
    for subject in ("version of verl: 0.9.1", "verl platform: cpu", "rollout: sglang_cpu", "SGLang: 0.5.14"):
        assert f"ok    {subject}" in found
    assert "reward manager: memupdate.rewards.manager.MemoryRewardManager" in found
    assert "search_memory, manage_memory, delete_memory, sample_memory, merge_memory, split_memory" in found


def test_doctor_finds_a_version_that_is_not_the_locks(tmp_path: Path) -> None:
    from memupdate.run.doctor import check_versions

    lock = tmp_path / "lock.txt"
    lock.write_text("verl==0.9.1\nray==1.0.0\n")
    found = {finding.subject: finding for finding in check_versions(lock)}
    assert found["version of verl"].ok
    assert not found["version of ray"].ok
    assert "pins 1.0.0" in str(found["version of ray"])
