"""Measures whether GRPO improves the policy of the local profile: several seeds, and controls with learning rate 0.

    python benchmarks/learning_curve.py [--quick] [--out FILE] [--seeds 3]

A seed determines the warm-started policy, the order of the data and all rollouts. The training run and the control of a
seed start from the same policy. All policies answer the same held-out conversations, with two sampled rollouts per
question before and after. Intervals are 95 %, with conversations and seeds as levels of their own (see
``memupdate/evaluation/intervals.py``). ``per_seed`` has the changes of single runs, over conversations only. Rollouts
that failed, or have no counterpart, are left out and counted. Writes a JSON file and a plot next to it.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import common
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from memupdate.evaluation import report
from memupdate.evaluation.comparison import Pairing, compare_changes, compare_pairs, pair_ends
from memupdate.policy import PolicySettings
from memupdate.run import pipeline
from memupdate.run.job import Job
from memupdate.run.warm_start import prepare_policy

logger = logging.getLogger(__name__)


def one_run(job: Job, data_dir: Path, model: Path, name: str, seed: int, control: bool) -> Path:
    """Runs one training run, or resumes it if an earlier call was interrupted, and returns its folder.

    The folder's name has the key of the policy, so that a run from another warm start is never taken for this one.
    """
    run_dir = job.runs.resolve() / f"{name}-{model.parent.name}"
    if (run_dir / "report.json").is_file():
        return run_dir
    overrides = [
        f"memory.run_dir={run_dir}",
        f"memory.data_dir={data_dir.resolve()}",
        f"actor_rollout_ref.model.path={model.resolve()}",
        f"memory.seed={seed}",
        f"data.seed={seed}",
        "trainer.logger=[console]",
        "actor_rollout_ref.rollout.val_kwargs.n=2",
        *(["actor_rollout_ref.actor.optim.lr=0.0"] if control else []),
        *job.overrides,
    ]
    started = time.monotonic()
    pipeline.train(replace(job, run_dir=run_dir), run_dir, overrides)
    (run_dir / "seconds.json").write_text(json.dumps(time.monotonic() - started))
    return run_dir


def train_seeds(
    job: Job, policy: PolicySettings, data_dir: Path, seeds: Iterable[int]
) -> tuple[list[Path], list[Path]]:
    """Trains policy and control of each seed, both from this seed's warm start, and returns the folders of the runs."""
    trained, controls = [], []
    for seed in seeds:
        logger.info("seed %d", seed)
        seed_job = replace(job, policy=replace(policy, seed=seed))
        model = prepare_policy(seed_job, data_dir)
        trained.append(one_run(seed_job, data_dir, model, f"seed-{seed}", seed, control=False))
        controls.append(one_run(seed_job, data_dir, model, f"control-{seed}", seed, control=True))
    return trained, controls


def compared(runs: Sequence[Pairing], field: str) -> dict[str, Any]:
    """Returns a reward part before and after training, and the difference, over conversations and seeds."""
    return asdict(compare_pairs([run.pairs for run in runs], field))


def held_out(runs: Sequence[Pairing]) -> list[dict[str, Any]]:
    """Returns for each run the number of its pairs of held-out rollouts, and of the rollouts that are left out."""
    return [{"pairs": len(run.pairs), "failed": asdict(run.failed), "unpaired": asdict(run.unpaired)} for run in runs]


def evaluations(trained: Sequence[Pairing], controls: Sequence[Pairing]) -> dict[str, Any]:
    """Returns the figures of the held-out rollouts.

    Args:
        trained: the paired rollouts of the training run of each seed.
        controls: those of the controls, in the same order of seeds.
    """
    count, over_control = compare_changes([run.pairs for run in trained], [run.pairs for run in controls], "reward")
    return {
        **compared(trained, "reward"),
        "control": compared(controls, "reward")["difference"],
        "trained_over_control": {"pairs": count, **asdict(over_control)},
        "reward_parts": {part: compared(trained, part) for part in report.REWARD_PARTS if part != "reward"},
        "per_seed": [compared([run], "reward")["difference"] for run in trained],
        "per_seed_control": [compared([run], "reward")["difference"] for run in controls],
        "held_out": held_out(trained),
        "held_out_control": held_out(controls),
    }


def steps_of(run_dir: Path) -> list[dict[str, Any]]:
    """Returns the metrics of the training steps."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "memory/reward" in line]


def plot(figures: dict[str, Any], path: Path) -> None:
    """Plots the training reward of each step and the change of the held-out reward, for GRPO and for the controls.

    Args:
        figures: the figures of this benchmark, as in its JSON file.
        path: the path of the image.
    """
    runs = (
        ("0.55", "control, learning rate 0", figures["training_reward_control"], figures["control"]),
        ("tab:blue", "GRPO", figures["training_reward"], figures["difference"]),
    )
    plt.rcParams["font.size"] = 11
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[2, 1], layout="constrained")
    for place, (colour, label, curves, change) in enumerate(runs):
        for curve in curves:
            left.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.3, linewidth=1)
        mean = [math.fsum(values) / len(values) for values in zip(*curves, strict=True)]
        left.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2.5, label=label)
        error = None  # one conversation has no interval
        if change["low"] is not None:
            error = [[change["mean"] - change["low"]], [change["high"] - change["mean"]]]
        right.errorbar(place, change["mean"], yerr=error, fmt="o", color=colour, capsize=6, markersize=8, linewidth=2)
        right.annotate(f"{change['mean']:+.3f}", (place, change["mean"]), (12, -4), textcoords="offset points")
    for axes in (left, right):
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.set(xlabel="training step", ylabel="mean reward of the step", title="training conversations")
    change = figures["difference"]
    left.legend(frameon=False, loc="upper left", title=f"bold: mean of {change['seeds']} seeds", alignment="left")
    levels = f"{change['clusters']} conversations, {change['seeds']} seeds"
    right.set(title=f"held-out: {levels}", ylabel="change in mean reward\n95 % interval, Student's t")
    right.set(xlim=(-0.5, 1.7), xticks=[0, 1], xticklabels=["control", "GRPO"])
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = common.arguments("learning_curve", __doc__)
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds (default: 3)")
    parser.add_argument(
        "--runs", type=Path, default=common.ROOT / "runs" / "learning_curve", help="the folder of the runs"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    overrides = (
        ("trainer.total_training_steps=2", "trainer.test_freq=2", "data.val_max_samples=16") if options.quick else ()
    )
    policy = PolicySettings(steps=20) if options.quick else PolicySettings()
    seeds = range(1 if options.quick else options.seeds)
    job = Job("local", None, options.runs, overrides=overrides)
    data_dir = pipeline.prepare_data(job)
    trained, controls = train_seeds(job, policy, data_dir, seeds)
    lines = [line for run in trained for line in steps_of(run)]
    figures = {
        **evaluations([pair_ends(run)[1] for run in trained], [pair_ends(run)[1] for run in controls]),
        "training_reward": [[line["memory/reward"] for line in steps_of(run)] for run in trained],
        "training_reward_control": [[line["memory/reward"] for line in steps_of(run)] for run in controls],
        "rollout_log_prob_diff_max": max(line["training/rollout_log_prob_diff_max"] for line in lines),
        "steps": len(steps_of(trained[0])),
        "seeds": list(seeds),
        "seconds": [json.loads((run / "seconds.json").read_text()) for run in trained],
        "rollouts_per_second": math.fsum(line["perf/rollouts_per_second"] for line in lines) / len(lines),
    }
    common.write(options.out, figures)
    plot(figures, options.out.with_suffix(".png"))
    logger.info("difference %s, over the control %s", figures["difference"], figures["trained_over_control"])


if __name__ == "__main__":
    main()
