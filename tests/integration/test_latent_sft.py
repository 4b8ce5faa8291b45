"""The weaver trained by verl's SFT trainer on two FSDP2 ranks (G17, G22, G24, G36)."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "memgen"))
from small_tokenizer import small_tokenizer
from tiny_models import randomise, tiny_base
from transformers import AutoModelForCausalLM

from memgen.model import LoraSettings, build_memgen
from memupdate.platform import config as run_config

pytestmark = pytest.mark.slow
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MemGen checkpoint, and conversations of one or two turns with different numbers of delimiters."""
    folder = tmp_path_factory.mktemp("sft")
    tokenizer = small_tokenizer()
    tokenizer.chat_template = TEMPLATE
    lora = LoraSettings(rank=4, alpha=8, dropout=0.0)
    model = build_memgen(
        tiny_base(vocab_size=len(tokenizer)),
        tokenizer,
        prompt_latents=2,
        inference_latents=3,
        generation_prefix="<|im_start|>assistant\n",
        weaver_lora=lora,
    )
    randomise(model)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    draw = random.Random(0)
    rows = []
    for _ in range(16):
        turns = [
            message
            for _ in range(draw.randint(1, 2))
            for message in (
                {"role": "user", "content": "Yes. No, maybe?"},
                {"role": "assistant", "content": " ".join(draw.choice(["a, b.", "x", "price"]) for _ in range(4))},
            )
        ]
        rows.append(json.dumps({"messages": turns}))
    (folder / "train.jsonl").write_text("\n".join(rows))
    return folder


def train(start: Path, run: Path) -> list[float]:
    """Runs the trainer to step 4, from its last checkpoint where there is one; the losses of its steps."""
    overrides = [
        f"model.path={start / 'model'}",
        f"data.train_files={start / 'train.jsonl'}",
        "data.train_batch_size=8",
        f"trainer.default_local_dir={run}",
        "trainer.total_training_steps=4",
        "trainer.total_epochs=4",
        "trainer.save_freq=2",
        "optim.lr=1e-2",
        "optim.lr_scheduler_type=constant",
        "optim.lr_warmup_steps_ratio=0",
    ]
    config = run_config.compose("latent_sft", overrides)
    run.mkdir(exist_ok=True)
    run_config.save(config, run / "config.yaml")
    command = [*(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")]
    command += ["-m", "memupdate.platform.sft", str(run / "config.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    (run / "log.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, "\n".join(re.findall(r"^\[rank0\]: .*", done.stderr, re.MULTILINE)[-30:])
    return [float(loss) for loss in re.findall(r"train/loss:([\d.]+)", done.stdout)]


def load(folder: Path) -> Any:
    """verl writes fp32 tensors under a config that says bf16."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def test_supervised_training_learns_and_resumes(start: Path, tmp_path: Path) -> None:
    """G17, G22, G24, G36: the loss falls; reasoner and trigger are bit-identical; a run continued from step 2 ends with
    the weights of the run that was not cut. Rows with different numbers of blocks meet on the two ranks."""
    losses = train(start, tmp_path / "run")
    assert len(losses) == 4 and losses[-1] < losses[0]
    trained, first = load(tmp_path / "run" / "global_step_4" / "huggingface"), load(start / "model")
    for component in (None, "trigger", "weaver"):
        assert (trained.parameter_digest(component) == first.parameter_digest(component)) == (component != "weaver")
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "global_step_4")
    (tmp_path / "cut" / "latest_checkpointed_iteration.txt").write_text("2")
    assert train(start, tmp_path / "cut") == losses[2:]
    resumed = load(tmp_path / "cut" / "global_step_4" / "huggingface")
    assert resumed.parameter_digest("weaver") == trained.parameter_digest("weaver")
