"""A latent method of another package, trained by the commands that users call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from latent_commands import ROOT, environment
from safetensors.torch import load_file

sys.path.insert(0, str(ROOT / "tests" / "extending"))
from installed_method import install

from memgen.example import copy_task, write_base, write_lines


def command(name: str, folder: Path, **options: Any) -> str:
    words = [f"{key.replace('__', '.')}={value}" for key, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", "memgen.cli", name, "--cfg-path", folder / "settings.yaml", "--options", *words],
        env=environment() | {"PYTHONPATH": f"{folder / 'site'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_method_of_another_package_is_trained_and_evaluated(tmp_path: Path) -> None:
    """By one file and one entry point: only its vectors move, the loss falls, and the model answers."""
    install(tmp_path / "site")
    rows = [{**row, "completion": "red, red"} for row in copy_task(8)]
    data = write_lines(tmp_path / "data.jsonl", rows)
    settings = {
        "model": {"method": "soft_prompt", "reasoner": str(write_base(tmp_path / "base", "llama"))},
        "dataset": {"train_file": str(data), "test_file": str(data), "valid_ratio": 0, "max_length": 200},
        "run": {
            "output_dir": str(tmp_path / "run"),
            "threads": 1,
            "sft": {"lr": 0.1, "epochs": 6, "weight_decay": 0.0},
            "generation": {"max_new_tokens": 4},
        },
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    before = json.loads(command("evaluate", tmp_path))
    command("train", tmp_path)
    after = json.loads(command("evaluate", tmp_path, model__load_model_path=tmp_path / "run" / "model"))
    assert after["loss"] < before["loss"] - 0.3
    initial, trained = (load_file(tmp_path / "run" / name / "model.safetensors") for name in ("initial", "model"))
    assert initial.keys() == trained.keys()
    assert [key for key in initial if not torch.equal(initial[key], trained[key])] == ["prompt"]
