"""Supervised training of the weaver on verl's SFT trainer, by the commands that users call."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from latent_commands import ROOT, digest, environment, kill_all, script, words
from transformers import AutoModelForCausalLM

from memgen.example import conversations, copy_task, write_base, write_lines
from memgen.weaver import MemGenModel

# 16 streams in batches of 4, twice: the first epoch ends after step 4 of 8.
OPTIONS = {
    "dataset.valid_ratio": 0,
    "dataset.max_length": 256,
    "model.prompt_latents": 2,
    "model.inference_latents": 3,
    "run.sft.lr": 0.02,
    "run.sft.save_steps": 4,
    "run.threads": 1,
    "run.generation.max_new_tokens": 12,
}
TRACKER = "checkpoints/latest_checkpointed_iteration.txt"


def losses(folder: Path, key: str = "train/loss") -> list[float]:
    [file] = sorted(folder.glob("metrics-*.jsonl"))
    lines = [json.loads(line)["data"] for line in file.read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("inputs")
    return {
        **OPTIONS,
        "model.reasoner": write_base(folder / "base"),
        "dataset.train_file": write_lines(folder / "train.jsonl", copy_task(16)),
    }


@pytest.fixture(scope="module")
def trained(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    script("weaver_train.sh", "instruction", {**inputs, "run.output_dir": folder})
    return folder


@pytest.mark.slow
def test_g17_g1_g22_only_the_weaver_learns(trained: Path) -> None:
    """G17: the loss falls. G1, G22: by hash, reasoner and trigger are what they were, the weaver is not; every part of
    it (LoRA, queries, norms, scales, projections) has moved."""
    found = losses(trained)
    assert len(found) == 8
    assert sum(found[-2:]) < 0.9 * sum(found[:2])
    before = MemGenModel.from_pretrained(trained / "initial")
    after = MemGenModel.from_pretrained(trained / "model")
    assert before.parameter_digest(None) == after.parameter_digest(None)
    assert before.parameter_digest("trigger") == after.parameter_digest("trigger")
    moved = dict(after.named_parameters())
    for name, parameter in before.named_parameters():
        same = torch.equal(parameter, moved[name])
        assert same == (MemGenModel.component_of(name) != "weaver"), name


@pytest.mark.slow
def test_a_learning_rate_of_zero_trains_and_leaves_every_weight(inputs: dict[str, Any], tmp_path: Path) -> None:
    """A control: one step in which a gradient, weight decay and the warm-up change nothing."""
    options = {"run.sft.lr": 0, "run.sft.epochs": 1, "dataset.limit": 4, "run.output_dir": tmp_path}
    script("weaver_train.sh", "instruction", {**inputs, **options})
    assert len(losses(tmp_path)) == 1
    assert digest(tmp_path / "initial") == digest(tmp_path / "model") != {}


@pytest.mark.slow
def test_g46_g23_the_model_opens_with_hugging_face_s_auto_class(trained: Path) -> None:
    """G46: config.json, safetensors and a PEFT adapter; no pickle. G23: a second save has the same tensors."""
    names = {str(file.relative_to(trained / "model")) for file in (trained / "model").rglob("*") if file.is_file()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert {"weaver_adapter/adapter_config.json", "weaver_adapter/adapter_model.safetensors"} <= names
    assert not [name for name in names if Path(name).suffix in (".pt", ".bin", ".pkl")]
    model = AutoModelForCausalLM.from_pretrained(trained / "model")
    assert isinstance(model, MemGenModel)
    again = trained / "again"
    model.save_pretrained(again)
    assert digest(again) == digest(trained / "model")


@pytest.fixture
def running(inputs: dict[str, Any], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The same run again, saving more often, as a process."""
    options = {**inputs, "run.output_dir": tmp_path / "killed", "run.sft.save_steps": 1}
    command = ["bash", str(ROOT / "scripts" / "weaver_train.sh"), "instruction", *words(options)]
    process = subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield process, options
    if process.poll() is None:
        kill_all(process)


@pytest.mark.slow
def test_g24_a_killed_run_ends_with_the_weights_of_a_whole_one(
    trained: Path, running: tuple[subprocess.Popen[str], dict[str, Any]]
) -> None:
    """G24: killed in the middle of an epoch and started again: every weight equal by hash, dropout included."""
    process, options = running
    folder = Path(options["run.output_dir"])
    deadline = time.monotonic() + 240
    while not (folder / TRACKER).is_file():
        assert process.poll() is None, (folder / "train.log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_all(process)
    assert not (folder / "model").exists()
    assert 1 <= int((folder / TRACKER).read_text()) < 8
    script("weaver_train.sh", "instruction", options)
    assert digest(folder / "model") == digest(trained / "model")


@pytest.mark.slow
def test_a_run_that_got_sigterm_writes_a_checkpoint_ends_its_processes_and_goes_on_exactly(
    inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stops at a step at which it would not save. Meanwhile a second start is told who holds the folder."""
    from memgen.cli import main

    folder = tmp_path / "stopped"
    longer = {**inputs, "run.sft.save_steps": 1000, "run.sft.epochs": 30}
    options = {**longer, "run.output_dir": folder}
    config = str(ROOT / "configs" / "latent_memory" / "instruction.yaml")
    command = ["bash", str(ROOT / "scripts" / "weaver_train.sh"), "instruction", *words(options)]
    process = subprocess.Popen(command, env=environment(), text=True, stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not ((folder / "train.log").is_file() and "step:1 - " in (folder / "train.log").read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3  # supervisor, torchrun and a rank
        assert main(["train", "--cfg-path", config, "--options", *words(options)]) == 2
        assert f"held by process {process.pid} on " in capsys.readouterr().err
        os.killpg(process.pid, signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
    finally:
        if process.poll() is None:
            kill_all(process)
    assert process.returncode == 75 and "the same command continues" in errors
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not (folder / "model").exists()
    assert 1 <= int((folder / TRACKER).read_text()) < 120
    script("weaver_train.sh", "instruction", options)
    script("weaver_train.sh", "instruction", {**longer, "run.output_dir": tmp_path / "whole"})
    assert digest(folder / "model") == digest(tmp_path / "whole" / "model")


@pytest.mark.slow
def test_g24_a_run_stopped_at_an_epoch_s_edge_goes_on_exactly(
    trained: Path, inputs: dict[str, Any], tmp_path: Path
) -> None:
    """G24: as if it had been killed after the checkpoint of step 4, the first epoch's last."""
    folder = tmp_path / "edge"
    shutil.copytree(trained, folder)
    shutil.rmtree(folder / "model")
    shutil.rmtree(folder / "checkpoints" / "global_step_8")
    (folder / TRACKER).write_text("4")
    script("weaver_train.sh", "instruction", {**inputs, "run.output_dir": folder})
    assert digest(folder / "model") == digest(trained / "model")


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(trained: Path, inputs: dict[str, Any]) -> None:
    from memgen.cli import main

    options = {**inputs, "run.output_dir": trained, "run.sft.lr": 0.5}
    config = str(ROOT / "configs" / "latent_memory" / "instruction.yaml")
    assert main(["train", "--cfg-path", config, "--options", *words(options)]) == 2


@pytest.mark.slow
def test_evaluation_of_trained_and_vanilla(trained: Path, tmp_path: Path) -> None:
    """eval.sh and main.py: a line for each example, a summary; vanilla is a switch, with the same prompts (G8)."""
    options = {
        **OPTIONS,
        "model.load_model_path": trained / "model",
        "dataset.test_file": write_lines(tmp_path / "test.jsonl", copy_task(6, seed=9)),
        "run.output_dir": tmp_path / "out",
    }
    script("eval.sh", "instruction", options)
    config = str(ROOT / "configs" / "latent_memory" / "instruction.yaml")
    vanilla = words({**options, "model.mode": "never", "run.mode": "evaluate"})
    command = [sys.executable, str(ROOT / "main.py"), "--cfg-path", config, "--options", *vanilla]
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=120)
    found = {}
    for mode in ("always", "never"):
        folder = tmp_path / "out" / f"evaluation-{mode}"
        lines = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
        found[mode] = json.loads((folder / "summary.json").read_text()), lines
    assert [line["prompt"] for line in found["always"][1]] == [line["prompt"] for line in found["never"][1]]
    assert len(found["always"][1]) == found["always"][0]["examples"] == 6
    assert found["always"][0]["loss"] < found["never"][0]["loss"]
    for summary, lines in found.values():
        assert summary["score"] == sum(line["score"] for line in lines) / 6
        assert summary["score_low"] <= summary["score"] <= summary["score_high"]
    assert (found["never"][0]["latents"], found["never"][0]["invocation_rate"]) == (0, 0)
    assert found["always"][0]["invocation_rate"] == 1
    assert all(line["latents"] >= 2 for line in found["always"][1])


@pytest.mark.slow
def test_g36_g2_g17_conversations_on_two_ranks_with_models_of_their_own(inputs: dict[str, Any], tmp_path: Path) -> None:
    """G36: two FSDP2 ranks, bf16, recomputed layers. G2: weaver and trigger are other models of other sizes. G17:
    conversations; held-out streams are measured."""
    options = {
        **inputs,
        "dataset.train_file": write_lines(tmp_path / "train.jsonl", conversations(14)),
        "dataset.valid_ratio": 0.2,
        "model.weaver": "paper",
        "model.trigger": "paper",
        "model.weaver_base": write_base(tmp_path / "weaver", "llama", 32, 2),
        "model.trigger_base": write_base(tmp_path / "trigger", "llama", 24, 3),
        "run.output_dir": tmp_path / "run",
        "run.ranks": 2,
        "run.dtype": "bf16",
        "run.sft.gradient_checkpointing": True,
    }
    script("weaver_train.sh", "conversation", options)
    found = losses(tmp_path / "run")
    assert len(found) == 2 * (2 * 11 // 4)
    assert found[-1] < found[0]
    assert len(losses(tmp_path / "run", "val/loss")) == 1
    before = MemGenModel.from_pretrained(tmp_path / "run" / "initial")
    after = MemGenModel.from_pretrained(tmp_path / "run" / "model")
    for component, same in ((None, True), ("trigger", True), ("weaver", False)):
        assert (before.parameter_digest(component) == after.parameter_digest(component)) == same
