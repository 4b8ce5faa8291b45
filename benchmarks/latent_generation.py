"""Measures the cost of latents in generation and in training.

    python benchmarks/latent_generation.py [--quick] [--out FILE] [--threads 1]

Generation is compared with Hugging Face's ``generate`` on the reasoner alone (vanilla) and with the published
algorithm. It is greedy, with 512 new tokens, an active trigger, up to 5 insertions per row and one at the end of the
prompt. All variants alternate for several rounds in one process. A figure is the minimum over the rounds of this
process's CPU seconds, because other work on the machine adds to the wall time, which is reported too. The published
algorithm runs once, because its extra time is far larger than the noise.

Training is one forward and backward pass of a row with 128 prompt tokens, 425 text tokens and 6 blocks. It is compared
with the reasoner on the same length, with LoRA on frozen weights (``lora``) and with all weights trained (``full``).
Memory is the growth of a new process's resident set in one step.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import torch
import torch.nn.functional as F
from latent_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, base, latent_model, random_prompts
from published_latents import PublishedLoop
from transformers import GenerationConfig

from memgen.base.adapters import AdapterUse, active_adapters, add_adapter
from memgen.weaver import LoraSettings, MemGenModel, SamplingSettings

logger = logging.getLogger(__name__)

VARIANTS = {
    "shared": {"weaver": "shared", "trigger": "head"},
    "paper": {"weaver": "paper", "trigger": "paper"},
    "paper_separate_bases": {"weaver": "paper", "trigger": "paper", "separate": True},
    "never": {"weaver": "shared", "trigger": "head", "mode": "never"},
}
TRAINING = ("lora", "full", "shared", "paper", "shared_checkpointing", "paper_checkpointing")


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Returns the CPU seconds, the wall seconds and the result of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return time.process_time() - processor, time.perf_counter() - wall, result


def vanilla(quick: bool, prompts: list[list[int]], new: int) -> Callable[[], Any]:
    """Returns a call of Hugging Face's ``generate`` with left-padded prompts."""
    model, width = base(quick), max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    config = GenerationConfig(max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=1)
    return lambda: model.generate(input_ids=ids, attention_mask=mask, generation_config=config)


def measure_generation(quick: bool, rows: int, new: int, rounds: int) -> dict[str, Any]:
    """Measures one batch size: seconds, positions and blocks of every variant, and the ratios."""
    prompts = random_prompts(rows, 32 if quick else 128, 2 if quick else 5)
    models = {name: latent_model(quick, **settings) for name, settings in VARIANTS.items()}
    greedy = SamplingSettings(temperature=0)
    calls: dict[str, Callable[[], Any]] = {"vanilla": vanilla(quick, prompts, new)}
    for name, model in models.items():
        calls[name] = lambda model=model: model.generate(prompts, max_new_tokens=new, sampling=greedy)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    batches: dict[str, Any] = {}
    for round_number in range(rounds):
        for name, call in calls.items():
            processor, wall, batches[name] = timed(call)
            times[name].append((processor, wall))
            logger.info("batch %d, round %d, %s: %.1f s", rows, round_number, name, processor)
    published = PublishedLoop(models["paper"])
    processor, wall, (texts, _) = timed(lambda: published.generate(prompts, new))
    times["published"] = [(processor, wall)]
    logger.info("batch %d, published: %.1f s", rows, processor)
    seconds = {name: min(processor for processor, _ in found) for name, found in times.items()}
    return {
        "seconds": seconds,
        "wall_seconds": {name: min(wall for _, wall in found) for name, found in times.items()},
        "rounds": {name: [round(processor, 3) for processor, _ in found] for name, found in times.items()},
        "tokens_per_second": {name: rows * new / value for name, value in seconds.items()},
        "positions": {name: positions(batches[name]) for name in models}
        | {"published": dict(published.positions), "published_tokens_equal_paper": [
            row.text_ids == text for row, text in zip(batches["paper"].rows, texts, strict=True)
        ]},
        "paper_over_published_speedup": seconds["published"] / seconds["paper"],
        "paper_over_vanilla_time": seconds["paper"] / seconds["vanilla"],
        "paper_separate_bases_over_vanilla_time": seconds["paper_separate_bases"] / seconds["vanilla"],
        "shared_over_vanilla_time": seconds["shared"] / seconds["vanilla"],
        "never_over_vanilla_time": seconds["never"] / seconds["vanilla"],
        "paper_over_never_time": seconds["paper"] / seconds["never"],
        "shared_over_never_time": seconds["shared"] / seconds["never"],
    }  # fmt: skip


def positions(batch: Any) -> dict[str, Any]:
    """Returns the number of computed positions, and the number in the streams, with blocks and trigger decisions.

    A stream consists of prompt, latents and text. Its last id is not counted, because it is not fed to the model.
    """
    return {
        "computed": batch.positions,
        "streams": sum(len(row.stream) - 1 for row in batch.rows),
        "queries": sum(
            len(PROMPT_IDS) * row.response_ids.count(PROMPT_IDS[0])
            + len(INFERENCE_IDS) * row.response_ids.count(INFERENCE_IDS[0])
            for row in batch.rows
        ),
        "blocks": [row.blocks for row in batch.rows],
        "asked": [row.asked for row in batch.rows],
    }


def training_row(quick: bool) -> tuple[torch.Tensor, int]:
    """Returns a stream with six blocks and the length of its prompt.

    One block is at the end of the prompt. The others follow five evenly spaced delimiters.
    """
    prompt_length, text = (32, 90) if quick else (128, 420)
    generator = torch.Generator().manual_seed(1)
    plain = [token for token in range(3, 7000) if token not in set(DELIMITERS)]
    drawn = [plain[i] for i in torch.randint(len(plain), (prompt_length + text,), generator=generator).tolist()]
    stream = drawn[:prompt_length] + PROMPT_IDS
    part = text // 6
    for block in range(6):
        stream += drawn[prompt_length + block * part : prompt_length + (block + 1) * part]
        if block < 5:
            stream += [DELIMITERS[0], *INFERENCE_IDS]
    return torch.tensor([stream]), prompt_length


def training_step(variant: str, quick: bool) -> Callable[[], Any]:
    """Returns a function that runs one forward and backward pass of a variant."""
    ids, prompt_length = training_row(quick)
    if variant in ("lora", "full"):
        model = base(quick).train()
        model.requires_grad_(variant == "full")
        if variant == "lora":
            add_adapter(model.model, "plain", LoraSettings())

        def plain_step() -> None:
            uses = [AdapterUse("plain")] if variant == "lora" else []
            with active_adapters(model.model).use(uses):
                logits = model(ids).logits
            F.cross_entropy(logits[0, prompt_length - 1 : -1], ids[0, prompt_length:]).backward()

        return plain_step
    kind = variant.split("_")[0]
    latent: MemGenModel = latent_model(quick, **VARIANTS[kind], mode="always").train()
    latent.train_only("weaver")
    if variant.endswith("checkpointing"):
        latent.gradient_checkpointing_enable()
    labels = ids.clone()
    labels[:, :prompt_length] = -100

    def latent_step() -> None:
        latent(ids, prompt_lengths=torch.tensor([prompt_length]), labels=labels).loss.backward()

    return latent_step


def memory_of(variant: str, quick: bool) -> None:
    """Prints the growth of this process's resident set in one step, in MiB. Each variant has a separate process."""
    step = training_step(variant, quick)
    # Resets the kernel's peak, which is otherwise inherited from the parent process.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    step()
    sys.stdout.write(json.dumps(resident_mib("VmHWM") - before))


def resident_mib(field: str) -> float:
    """Returns this process's resident set in MiB, current (``VmRSS``) or peak (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def measure_training(quick: bool, rounds: int, threads: int) -> dict[str, Any]:
    """Measures the time and memory of every variant, and their ratios to the two plain variants."""
    steps = {variant: training_step(variant, quick) for variant in TRAINING}
    times: dict[str, list[float]] = {variant: [] for variant in TRAINING}
    for _ in range(rounds):
        for variant, step in steps.items():
            times[variant].append(timed(step)[0])
    seconds = {variant: min(found[1:] or found) for variant, found in times.items()}
    memory = {}
    # By default glibc keeps freed memory, and how much differs between processes. With these settings it returns it.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    for variant in TRAINING:
        command = [sys.executable, __file__, "--memory-of", variant, "--threads", str(threads)]
        command += ["--quick"] if quick else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        memory[variant] = float(done.stdout)
    return {
        "length": training_row(quick)[0].shape[1],
        "seconds": seconds,
        "memory_mib": memory,
        **over_plain("time", seconds),
        **over_plain("memory", memory),
    }


def over_plain(name: str, figures: dict[str, float]) -> dict[str, float]:
    """Returns the ratios of the latent variants to the plain ones. The memory of a smoke run may hardly grow."""
    return {
        f"{kind}_over_{plain}_{name}": figures[kind] / max(figures[plain], 1e-9)
        for kind in TRAINING[2:]
        for plain in TRAINING[:2]
    }


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = common.arguments("latent_generation", __doc__)
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    parser.add_argument("--memory-of", choices=TRAINING, help="internal: measure only the memory of one variant")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        memory_of(options.memory_of, options.quick)
        return
    new, rounds = (24, 1) if options.quick else (512, 3)
    batches = {f"batch_{rows}": measure_generation(options.quick, rows, new, rounds) for rows in (1, 8)}
    headline = ("paper_over_published_speedup", "paper_over_vanilla_time", "shared_over_vanilla_time", "positions")
    figures = {
        "what": "latent memory: generation (batch 1 and 8) and training, processor seconds",
        "new_tokens": new,
        "threads": options.threads,
        "seeds": {"reasoner": 1, "prompts": 0, "parts": 5},
        **{key: batches["batch_8"][key] for key in headline},
        **batches,
        "training": measure_training(options.quick, 2 if options.quick else 4, options.threads),
    }
    common.write(options.out, figures)


if __name__ == "__main__":
    main()
