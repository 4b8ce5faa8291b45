"""What latents cost: generation beside vanilla and the published algorithm, training beside a plain forward.

    python benchmarks/latent_generation.py [--quick] [--out FILE] [--threads 1]

Generation is greedy, 512 new tokens, an active trigger, up to 5 insertions a row and one at the prompt's end; vanilla
is Hugging Face's ``generate`` on the reasoner alone. All variants run in turn, several rounds, in one process; a figure
is the least of its rounds, in seconds of processor time of this process, because other work on the machine adds to time
on the wall (which is beside it). The published algorithm runs once: it is far slower than the noise. Training is one
row of 128 + 6 blocks + 425 tokens, forward and backward, beside the frozen reasoner with LoRA on the same length
(``lora``), and with every weight trained (``full``). Memory is what a fresh process's resident set grew by in one step.
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
    """Processor seconds, wall seconds and the result."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return time.process_time() - processor, time.perf_counter() - wall, result


def vanilla(quick: bool, prompts: list[list[int]], new: int) -> Callable[[], Any]:
    """Hugging Face's generate, prompts padded on the left."""
    model, width = base(quick), max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    config = GenerationConfig(max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=1)
    return lambda: model.generate(input_ids=ids, attention_mask=mask, generation_config=config)


def measure_generation(quick: bool, rows: int, new: int, rounds: int) -> dict[str, Any]:
    """One batch size: seconds, positions and blocks of every variant, and the ratios."""
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
    """Positions computed, beside those of the streams: prompt, latents and text, less the last id, which is not fed."""
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
    """A stream with six blocks: at the prompt's end and, evenly, after five delimiters."""
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
    """A forward and backward pass."""
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
    """Prints how much the resident set of this process grows by in one step, MiB (in a process of its own)."""
    step = training_step(variant, quick)
    # The kernel's peak is that of the parent process until it is reset.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    step()
    sys.stdout.write(json.dumps(resident_mib("VmHWM") - before))


def resident_mib(field: str) -> float:
    """This process's resident set, now (``VmRSS``) or at its peak (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def measure_training(quick: bool, rounds: int, threads: int) -> dict[str, Any]:
    """Time and memory of every variant, and the ratios to both plain ones."""
    steps = {variant: training_step(variant, quick) for variant in TRAINING}
    times: dict[str, list[float]] = {variant: [] for variant in TRAINING}
    for _ in range(rounds):
        for variant, step in steps.items():
            times[variant].append(timed(step)[0])
    seconds = {variant: min(found[1:] or found) for variant, found in times.items()}
    memory = {}
    # glibc would keep freed tensors, some more in one process than in the next; so they go back at once.
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
    """Ratios of the latent variants to the plain ones. (A smoke run's memory may hardly grow.)"""
    return {
        f"{kind}_over_{plain}_{name}": figures[kind] / max(figures[plain], 1e-9)
        for kind in TRAINING[2:]
        for plain in TRAINING[:2]
    }


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = common.arguments("latent_generation", __doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", choices=TRAINING, help="one variant's memory, for the benchmark itself")
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
