"""GRPO end to end on real parts: Ray, verl's FSDP2 workers, SGLang or the torch server, the broker, W&B offline.

Two runs are shared: ``finished`` goes through the whole command (data, policy, warm start, SGLang), the others start
from its policy.

Rows U35, U36, U37, U38, U39.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from memupdate.platform import config as run_config
from memupdate.platform.checkpoints import checkpoint_digests, complete_checkpoints
from memupdate.platform.metrics import MetricsFile
from memupdate.run.preflight import validate
from memupdate.run.profiles import compose_profile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SMALL = [
    "data.train_batch_size=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.val_kwargs.n=1",
    "data.val_max_samples=12",
    "data.max_response_length=192",  # an untrained policy often does not end its turn
    "actor_rollout_ref.actor.entropy_coeff=0.01",  # so that the policy moves where all rewards of a group are alike
]
TORCH = ["actor_rollout_ref.rollout.name=torch", "actor_rollout_ref.rollout.dtype=float64"]
DEADLINE_S = 600


@dataclass(frozen=True)
class Finished:
    """A finished run of the whole command."""

    runs: Path
    run_dir: Path
    output: str

    @property
    def model(self) -> Path:
        [folder] = (self.runs / "shared").glob("policy-*/model")
        return folder

    @property
    def data(self) -> Path:
        [folder] = (self.runs / "shared").glob("data-*")
        return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "memupdate", *arguments]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``memupdate run`` with two steps and a short warm start."""
    runs = tmp_path_factory.mktemp("runs")
    short = [word for size in ("steps=120", "trajectories=400", "drills=300") for word in ("--policy", size)]
    options = ["run", "--runs", str(runs), *short, "--", *SMALL, "memory.broker_shards=2"]
    options += ["trainer.total_training_steps=2", "trainer.save_freq=1", "trainer.test_freq=2"]
    done = subprocess.run(command(*options), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return Finished(runs, runs / "local-001", done.stdout)


def compose(finished: Finished, run_dir: Path, *overrides: str) -> Path:
    """Writes the resolved config of a run that starts from the shared policy."""
    given = [f"memory.run_dir={run_dir}", f"memory.data_dir={finished.data}", f"memory.journal_dir={run_dir}/journal"]
    given += [f"actor_rollout_ref.model.path={finished.model}", *SMALL, *overrides]
    config = compose_profile("local", given)
    validate(config)
    run_config.save(config, run_dir / "config.yaml")
    return run_dir / "config.yaml"


def start(config: Path) -> subprocess.Popen[bytes]:
    """Starts training in a process group of its own, its output in ``train.log``."""
    with (config.parent / "train.log").open("ab") as log:
        return subprocess.Popen(
            command("train-config", str(config)), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes], run_dir: Path) -> None:
    """Waits for a run to end well."""
    code = process.wait(timeout=DEADLINE_S)
    assert code == 0, (run_dir / "train.log").read_text(errors="replace")[-4000:]


def kill_when(process: subprocess.Popen[bytes], run_dir: Path, step: int, after_s: float) -> None:
    """SIGKILLs the whole run ``after_s`` seconds after the metrics of ``step`` were written."""
    deadline = time.monotonic() + DEADLINE_S
    metrics = MetricsFile(run_dir / "metrics.jsonl")
    while time.monotonic() < deadline:
        assert process.poll() is None, (run_dir / "train.log").read_text(errors="replace")[-4000:]
        if metrics.path.is_file() and any(line["step"] == step and "memory/reward" in line for line in metrics.read()):
            break
        time.sleep(0.02)
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def figures(run_dir: Path) -> list[dict[str, Any]]:
    """The metrics that a repeated run must repeat: all but those of the clock and of the machine's load."""
    lines = MetricsFile(run_dir / "metrics.jsonl").read()
    return [
        {name: value for name, value in line.items() if not name.startswith("timing_") and "perf/" not in name}
        for line in lines
    ]


def test_u35_u37_u38_u39_the_whole_command_prints_a_table_and_leaves_its_files(finished: Finished) -> None:
    """Without Docker and on CPU; table with the reward's parts before and after; metrics, traces, W&B, checkpoints."""
    for part in ("reward", "delta", "qa_before", "qa_after", "storage_cost", "growth", "reward by category"):
        assert part in finished.output
    for rung in ("do nothing", "best constant: ", "warm start", "trained", "oracle", "share of the gap"):
        assert rung in finished.output
    assert str(finished.run_dir) in finished.output
    saved = json.loads((finished.run_dir / "report.json").read_text())
    assert saved["steps"] == [0, 2]
    assert saved["n"] == 12
    ladder = {rung["rung"]: rung for rung in saved["ladder"]}
    assert ladder["do nothing"]["reward"]["mean"] == 0 < ladder["oracle"]["reward"]["mean"]
    for side, rung in (("before", "warm start"), ("after", "trained")):
        assert ladder[rung]["reward"] == saved["figures"]["reward"][side]
    # Programs start from the same banks, and are asked the same hidden questions, as the rollouts of the same rows.
    nothing = json.loads((finished.run_dir / "ladder.json").read_text())["rungs"]["do nothing"]
    for text in (finished.run_dir / "trace" / "validation-000000.jsonl").read_text().splitlines():
        rollout = json.loads(text)
        for part in ("qa_before", "characters_before", "read_characters"):
            assert rollout["reward"][part] == nothing[rollout["row"]]["reward"][part]
    lines = MetricsFile(finished.run_dir / "metrics.jsonl").read()
    steps = [line for line in lines if "memory/reward" in line]
    assert [line["step"] for line in steps] == [1, 2]
    for name in ("qa_before", "qa_after", "delta", "growth", "memory_count_before", "memory_count_after", "turns"):
        assert all(f"memory/{name}" in line for line in steps)
    tools = ("search_memory", "manage_memory", "delete_memory", "sample_memory", "merge_memory", "split_memory")
    assert all(f"memory/{kind}_{tool}" in line for line in steps for kind in ("calls", "errors") for tool in tools)
    validations = [line for line in lines if "validation/reward" in line]
    assert [line["step"] for line in validations] == [0, 2]
    assert sum(value for name, value in validations[0].items() if name.endswith("/n") and "category" in name) == 12
    namespaces = [
        json.loads(text)["namespace"]
        for file in (finished.run_dir / "trace").glob("train-*.jsonl")
        for text in file.read_text().splitlines()
    ]
    assert len(namespaces) == len(set(namespaces)) == 2 * 4 * 4
    assert list((finished.run_dir / "wandb").glob("offline-run-*/run-*.wandb"))
    assert list((finished.run_dir / "wandb").glob("offline-run-*/files/media/table/rollouts/*.table.json"))
    newest = complete_checkpoints(finished.run_dir / "checkpoints")[-1]
    assert (newest / "actor" / "huggingface" / "model.safetensors").is_file()


def test_rollout_and_trainer_hold_the_same_policy_over_the_whole_run(finished: Finished) -> None:
    """In fp32, SGLang against FSDP2, weight updates included: a rounding apart, which a stale policy is far from.

    A log-prob is a difference of logits of size 20, which fp32 holds to 2e-6 each. ``test_rollout_servers`` has the
    control: other weights differ by more than 1e-3.
    """
    lines = [line for line in MetricsFile(finished.run_dir / "metrics.jsonl").read() if "memory/reward" in line]
    assert len(lines) == 2
    for line in lines:
        assert line["training/rollout_log_prob_diff_max"] <= 1e-5
        assert line["training/rollout_log_prob_diff_mean"] <= 1e-6
        assert line["training/rollout_probs_diff_max"] <= 5e-6
        assert line["training/rollout_log_prob_alarm"] == 0
    assert lines[-1]["actor/grad_norm"] > 0  # the policy did move between the two


def test_traces_can_be_read(finished: Finished) -> None:
    """Prompt, calls, results and reward parts of every rollout."""
    trajectories = [
        json.loads(text) for text in (finished.run_dir / "trace" / "train-000001.jsonl").read_text().splitlines()
    ]
    assert all(trajectory["turns"][0]["role"] == "assistant" for trajectory in trajectories)
    assert all(trajectory["question"] in trajectory["prompt"] for trajectory in trajectories)
    answered = [turn["text"] for t in trajectories for turn in t["turns"] if turn["role"] == "tool"]
    assert any("<tool_response>" in text for text in answered)
    assert all({"reward", "qa_before", "qa_after", "growth"} <= set(t["reward"]) for t in trajectories)


def test_u36_killed_at_any_step_a_run_resumes_to_the_same_state_and_metrics(finished: Finished, tmp_path: Path) -> None:
    """Seven rows in batches of four: the epoch's edge lies inside step 2; the run is killed in steps 2 and 4.

    The broker keeps a journal, so a resumed run finds banks that its killed trajectories had open.
    """
    overrides = [
        *TORCH,
        "data.train_max_samples=7",
        "trainer.total_training_steps=5",
        "trainer.save_freq=1",
        "trainer.test_freq=5",
        "trainer.logger=[console]",
    ]
    whole = compose(finished, tmp_path / "whole", *overrides)
    finish(start(whole), whole.parent)
    cut = compose(finished, tmp_path / "cut", *overrides)
    kill_when(start(cut), cut.parent, step=1, after_s=0.2)
    kill_when(start(cut), cut.parent, step=3, after_s=0.05)
    finish(start(cut), cut.parent)
    assert "resuming after step" in (cut.parent / "train.log").read_text(errors="replace")
    lines = [line for line in MetricsFile(whole.parent / "metrics.jsonl").read() if "memory/reward" in line]
    assert [line["training/rollout_failures"] for line in lines] == [0] * 5  # the edge's batch holds a row twice
    states = [complete_checkpoints(run.parent / "checkpoints")[-1] for run in (whole, cut)]
    assert [folder.name for folder in states] == ["global_step_5", "global_step_5"]
    digests = [checkpoint_digests(folder) for folder in states]
    assert {"state", "model_world_size_1_rank_0", "optim_world_size_1_rank_0"} <= set(digests[0])
    assert digests[0] == digests[1]
    expected, found = figures(whole.parent), figures(cut.parent)
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    for line, repeated in zip(expected, found, strict=True):
        # to six digits: what a run goes on from is the state, whose hashes are equal above; these are means over rows
        assert repeated == pytest.approx(line, rel=1e-6, abs=1e-6, nan_ok=True)


def test_sglang_and_the_torch_server_give_the_same_greedy_tokens(finished: Finished, tmp_path: Path) -> None:
    """Whole trajectories, tool calls and answers included."""
    greedy = ["trainer.val_only=true", "actor_rollout_ref.rollout.val_kwargs.temperature=0", "trainer.logger=[console]"]
    dialogues = []
    for name, rollout in (("sglang", []), ("torch", TORCH)):
        config = compose(finished, tmp_path / name, *greedy, *rollout)
        finish(start(config), config.parent)
        lines = (config.parent / "trace" / "validation-000000.jsonl").read_text().splitlines()
        dialogues.append([(t["key"], t["turns"]) for t in map(json.loads, lines)])
    assert len(dialogues[0]) == 12
    assert dialogues[0] == dialogues[1]
