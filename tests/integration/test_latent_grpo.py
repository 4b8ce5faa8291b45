"""Reinforcement learning of trigger and weaver on real parts: Ray, verl's FSDP2 workers, the torch rollout server.

The reasoner has random weights: it says nothing useful by itself. ``taught`` holds a weaver whose latents make it
answer ``red, red``, and a trigger that knows nothing yet. So insertions are worth a reward, and a trigger can find out.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from latent_commands import ROOT, digest, environment, kill_all, script, words

from memgen.example import copy_task, write_base, write_lines
from memgen.weaver import MemGenModel
from memupdate.platform.checkpoints import complete_checkpoints
from memupdate.platform.metrics import MetricsFile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DEADLINE_S = 300
# 16 questions in batches of four, eight answers each: four steps.
OPTIONS = {
    "dataset.valid_ratio": 0,
    "dataset.max_length": 256,
    "model.prompt_latents": 4,
    "model.inference_latents": 3,
    "run.threads": 1,
    "run.grpo.batch_size": 4,
    "run.grpo.group_size": 8,
    "run.grpo.max_new_tokens": 8,
    "run.grpo.save_steps": 1,
}
# At a low temperature the taught answer is the likely one wherever the latents are.
TRIGGER = {"model.mode": "learned", "run.grpo.temperature": 0.2, "run.grpo.lr.trigger": 0.02}

PROBLEMS = [{"question": f"What is {n} and {n}?", "answer": f"{n} and {n} is\n#### {2 * n}"} for n in range(16)]


def lines(folder: Path, key: str = "memgen/reward") -> list[dict[str, Any]]:
    return [line for line in MetricsFile(folder / "metrics.jsonl").read() if key in line]


def digests(folder: Path) -> dict[str | None, str]:
    """Of the base weights (None) and of the components."""
    model = MemGenModel.from_pretrained(folder)
    return {component: model.parameter_digest(component) for component in (None, "weaver", "trigger")}


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("questions")
    rows = [{**row, "completion": "red, red"} for row in copy_task(16)]
    return {
        **OPTIONS,
        "model.reasoner": write_base(folder / "base"),
        "dataset.train_file": write_lines(folder / "train.jsonl", rows),
    }


@pytest.fixture(scope="module")
def taught(questions: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Supervised training of the weaver: the first of the two stages."""
    folder = tmp_path_factory.mktemp("taught")
    sft = {"run.sft.lr": 0.02, "run.sft.epochs": 64, "run.sft.batch_size": 8, "run.sft.save_steps": 1000}
    script("weaver_train.sh", "instruction", {**questions, **sft, "run.sft.weight_decay": 0, "run.output_dir": folder})
    return {**questions, "model.load_model_path": folder / "model"}


@pytest.fixture(scope="module")
def whole(taught: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second stage, which nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    script("trigger_train.sh", "instruction", {**taught, **TRIGGER, "run.output_dir": folder})
    return folder


def test_g20_the_trigger_learns_where_latents_pay(whole: Path) -> None:
    """G20: the rate of insertions and the reward rise together; no rollout fails."""
    steps = lines(whole)
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert steps[-1]["memgen/reward"] > steps[0]["memgen/reward"] + 0.5
    assert steps[-1]["memgen/invocation_rate"] > steps[0]["memgen/invocation_rate"] + 0.5
    assert [line["training/rollout_failures"] for line in steps] == [0] * 4
    answers = [json.loads(text) for text in (whole / "trace" / "train-000004.jsonl").read_text().splitlines()]
    assert len(answers) == 32
    assert all("Say it back" in answer["prompt"] and answer["reference"] == "red, red" for answer in answers)
    rewarded = [answer for answer in answers if answer["reward"]["reward"] == 1]
    assert rewarded and all(answer["reward"]["latents"] >= 4 for answer in rewarded)


def test_g44_rollout_and_trainer_hold_one_policy(whole: Path) -> None:
    """G44: in every step, over all decisions; the ratios of its one update are 1, so nothing is clipped."""
    for line in lines(whole):
        assert line["training/rollout_log_prob_diff_max"] <= 2e-5
        assert line["training/rollout_log_prob_alarm"] == 0
        assert abs(line["actor/ppo_kl"]) <= 1e-6 and line["actor/pg_clipfrac"] == 0
    assert lines(whole)[0]["actor/grad_norm"] > 0


def test_g1_g22_the_trigger_alone_has_moved(whole: Path, taught: dict[str, Any]) -> None:
    before, after = digests(whole / "initial"), digests(whole / "model")
    assert before == digests(taught["model.load_model_path"])
    assert [before[part] == after[part] for part in (None, "weaver", "trigger")] == [True, True, False]
    assert MemGenModel.from_pretrained(whole / "model").config.temperature == 0.2


@pytest.fixture
def killed(taught: dict[str, Any], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The same run again, as a process."""
    options = {**taught, **TRIGGER, "run.output_dir": tmp_path / "killed"}
    command = ["bash", str(ROOT / "scripts" / "trigger_train.sh"), "instruction", *words(options)]
    process = subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield process, options
    if process.poll() is None:
        kill_all(process)


def test_g24_a_killed_run_ends_with_the_weights_of_a_whole_one(
    whole: Path, killed: tuple[subprocess.Popen[str], dict[str, Any]]
) -> None:
    """G24: SIGKILL to everything after the first checkpoint; started again, every weight is equal by hash."""
    process, options = killed
    folder = Path(options["run.output_dir"])
    deadline = time.monotonic() + DEADLINE_S
    while not complete_checkpoints(folder / "checkpoints"):
        assert process.poll() is None, (folder / "train.log").read_text(errors="replace")[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_all(process)
    assert not (folder / "model").exists()
    script("trigger_train.sh", "instruction", options)
    assert "resuming after step" in (folder / "train.log").read_text(errors="replace")
    assert digest(folder / "model") == digest(whole / "model")
    keys = ("memgen/reward", "memgen/invocation_rate", "memgen/invocation_penalty", "memgen/tokens")
    expected = {line["step"]: [line[key] for key in keys] for line in lines(whole)}
    found = {line["step"]: [line[key] for key in keys] for line in lines(folder)}
    assert found[4] == expected[4]
    # a kill between a checkpoint and its step's line loses the line
    assert found == {step: expected[step] for step in found}


@pytest.fixture(scope="module")
def penalised(questions: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """By λ: weaver and trigger together, from scratch, on the shipped file for GSM8K (``paper`` weaver and trigger, the
    reward ``math``). No answer earns a reward."""
    folder = tmp_path_factory.mktemp("penalised")
    train_file = write_lines(folder / "train.jsonl", PROBLEMS)
    found = {weight: folder / str(weight) for weight in (0.0, 1.0)}
    options = {**questions, "dataset.train_file": train_file, "run.stage": "both", "run.grpo.lr.both": 0.02}
    changes = [{"run.grpo.invocation_penalty": weight, "run.output_dir": found[weight]} for weight in found]
    with ThreadPoolExecutor() as pool:  # they mostly wait for processes to start
        list(pool.map(lambda one: script("trigger_train.sh", "gsm8k", options | one), changes))
    return found


def test_g20_g21_raising_lambda_lowers_the_invocation_rate(penalised: dict[float, Path]) -> None:
    """G20: the shipped config runs. G21: the same first step; without a penalty the rate stays about what it was, with
    one it falls."""
    free, fined = (lines(penalised[weight]) for weight in (0.0, 1.0))
    assert free[0]["memgen/invocation_rate"] == fined[0]["memgen/invocation_rate"] > 0.1
    assert fined[-1]["memgen/invocation_rate"] < 0.5 * free[-1]["memgen/invocation_rate"]
    assert fined[0]["memgen/invocation_penalty"] > 0
    # No answer is right, so the penalty alone decides the advantages. It is at most λ = 1, and is not divided by its
    # standard deviation: of eight numbers with a deviation of 1, the largest and the smallest are more than 1.8 apart.
    assert fined[0]["critic/advantages/max"] > 0 and fined[0]["critic/advantages/min"] < 0
    assert fined[0]["critic/advantages/max"] - fined[0]["critic/advantages/min"] <= 1
    assert free[0]["critic/advantages/max"] == free[0]["critic/advantages/min"] == 0
    assert "memgen/invocation_penalty" not in free[0]


def test_a_learning_rate_of_zero_trains_and_leaves_every_weight(questions: dict[str, Any], tmp_path: Path) -> None:
    """A control: one step, in which the penalty alone gives a gradient."""
    train_file = write_lines(tmp_path / "train.jsonl", PROBLEMS[:4])
    stage = {"run.stage": "both", "run.grpo.lr.both": 0, "run.grpo.invocation_penalty": 1.0}
    options = {**questions, **stage, "dataset.train_file": train_file, "run.output_dir": tmp_path / "run"}
    script("trigger_train.sh", "gsm8k", options)
    [step] = lines(tmp_path / "run")
    assert step["actor/grad_norm"] > 0 and step["memgen/invocation_penalty"] > 0
    assert digest(tmp_path / "run" / "initial") == digest(tmp_path / "run" / "model") != {}


def test_g42_weaver_and_trigger_train_together(penalised: dict[float, Path]) -> None:
    before, after = digests(penalised[1.0] / "initial"), digests(penalised[1.0] / "model")
    assert [before[part] == after[part] for part in (None, "weaver", "trigger")] == [True, False, False]
    assert all(line["training/rollout_log_prob_diff_max"] <= 2e-5 for line in lines(penalised[1.0]))


def test_g18_g22_weaver_grpo(taught: dict[str, Any], tmp_path: Path) -> None:
    """G18: another loss, with a divergence to the initial model and held-out questions, by the weaver's script. G22:
    the trigger is frozen. The model that comes out can be evaluated."""
    options = {
        **taught,
        "model.mode": "always",
        "dataset.valid_ratio": 0.25,
        "run.method": "grpo",
        "run.grpo.lr.weaver": 0.002,
        "run.grpo.temperature": 0.4,
        "run.grpo.kl_beta": 0.05,
        "run.grpo.loss_type": "dr_grpo",
        "run.output_dir": tmp_path / "run",
    }
    script("weaver_train.sh", "instruction", options)
    steps = lines(tmp_path / "run")
    assert len(steps) == 3
    assert [line["training/rollout_failures"] for line in steps] == [0] * 3
    assert all(line["training/rollout_log_prob_diff_max"] <= 2e-5 for line in steps)
    assert steps[0]["actor/kl_loss"] == pytest.approx(0, abs=1e-9)  # the policy is what it diverges from
    assert steps[-1]["actor/kl_loss"] > 1e-6
    held_out = lines(tmp_path / "run", "validation/reward")
    assert [(line["step"], line["validation/n"], line["validation/rollout_failures"]) for line in held_out] == [
        (0, 4, 0),
        (3, 4, 0),
    ]
    before, after = digests(tmp_path / "run" / "initial"), digests(tmp_path / "run" / "model")
    assert [before[part] == after[part] for part in (None, "weaver", "trigger")] == [True, False, True]
    test_file = write_lines(tmp_path / "test.jsonl", [{"prompt": "Say it back: blue", "completion": "red, red"}])
    evaluation = {
        **options,
        "model.load_model_path": tmp_path / "run" / "model",
        "dataset.test_file": test_file,
        "run.generation.max_new_tokens": 8,
        "run.output_dir": tmp_path / "evaluated",
    }
    script("eval.sh", "instruction", evaluation)
    assert json.loads((tmp_path / "evaluated" / "evaluation-always" / "summary.json").read_text())["examples"] == 1
