"""Measures whether GRPO improves the policy of the local profile: several seeds, and controls with learning rate 0.

    python benchmarks/learning_curve.py [--quick] [--out FILE] [--seeds 3]

All runs start from the same warm-started policy and are evaluated on the same held-out conversations, with two sampled
rollouts per question before and after. A seed determines the order of the data and all rollouts. Intervals are 95 %,
bootstrapped over conversations with the seeds pooled. ``per_seed`` shows the variation between seeds. Writes a JSON
file and a plot next to it.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import common
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from memupdate.evaluation import report
from memupdate.evaluation.intervals import Interval, cluster_bootstrap
from memupdate.policy import PolicySettings
from memupdate.run import pipeline
from memupdate.run.job import Job
from memupdate.run.warm_start import prepare_policy

logger = logging.getLogger(__name__)


def one_run(job: Job, data_dir: Path, model: Path, name: str, seed: int, control: bool) -> Path:
    """Runs one training run, or resumes it if an earlier call was interrupted, and returns its folder."""
    run_dir = job.runs.resolve() / name
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


def pairs(run_dir: Path, field: str) -> list[tuple[str, float, float]]:
    """Returns (conversation, before, after) for every held-out rollout that was scored both times."""
    traces = report.read_validation(run_dir)
    paired = report.pair(traces[min(traces)], traces[max(traces)]).pairs
    return [(old["sample_id"], old["reward"][field], new["reward"][field]) for old, new in paired]


def interval(rows: list[tuple[str, float]]) -> dict[str, float]:
    """Returns the mean and its interval, bootstrapped over conversations."""
    found: Interval = cluster_bootstrap([value for _, value in rows], [cluster for cluster, _ in rows])
    return asdict(found)


def compared(run_dirs: list[Path], field: str) -> dict[str, dict[str, float]]:
    """Returns a reward part before and after training, and the difference, with the seeds pooled."""
    rows = [row for run_dir in run_dirs for row in pairs(run_dir, field)]
    return {
        "before": interval([(c, before) for c, before, _ in rows]),
        "after": interval([(c, after) for c, _, after in rows]),
        "difference": interval([(c, after - before) for c, before, after in rows]),
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
        error = [[change["mean"] - change["low"]], [change["high"] - change["mean"]]]
        right.errorbar(place, change["mean"], yerr=error, fmt="o", color=colour, capsize=6, markersize=8, linewidth=2)
        right.annotate(f"{change['mean']:+.3f}", (place, change["mean"]), (12, -4), textcoords="offset points")
    for axes in (left, right):
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    left.set(xlabel="training step", ylabel="mean reward of the step", title="training conversations")
    left.legend(frameon=False, loc="upper left", title=f"bold: mean of {len(figures['seeds'])} seeds", alignment="left")
    right.set(title="held-out conversations", ylabel="change in mean reward, 95 % interval")
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
    job = Job("local", None, options.runs, overrides=overrides, policy=policy)
    data_dir = pipeline.prepare_data(job)
    model = prepare_policy(job, data_dir)
    trained, controls = [], []
    for seed in seeds:
        logger.info("seed %d", seed)
        trained.append(one_run(job, data_dir, model, f"seed-{seed}", seed, control=False))
        controls.append(one_run(job, data_dir, model, f"control-{seed}", seed, control=True))
    reward = compared(trained, "reward")
    lines = [line for run in trained for line in steps_of(run)]
    figures = {
        **reward,
        "control": compared(controls, "reward")["difference"],
        "reward_parts": {part: compared(trained, part) for part in report.REWARD_PARTS if part != "reward"},
        "per_seed": [compared([run], "reward")["difference"] for run in trained],
        "per_seed_control": [compared([run], "reward")["difference"] for run in controls],
        "training_reward": [[line["memory/reward"] for line in steps_of(run)] for run in trained],
        "training_reward_control": [[line["memory/reward"] for line in steps_of(run)] for run in controls],
        "rollout_log_prob_diff_max": max(line["training/rollout_log_prob_diff_max"] for line in lines),
        "steps": len(steps_of(trained[0])),
        "seeds": list(seeds),
        "held_out_rollouts_per_seed": len(pairs(trained[0], "reward")),
        "seconds": [json.loads((run / "seconds.json").read_text()) for run in trained],
        "rollouts_per_second": math.fsum(line["perf/rollouts_per_second"] for line in lines) / len(lines),
    }
    common.write(options.out, figures)
    plot(figures, options.out.with_suffix(".png"))
    logger.info("difference %s, control %s", figures["difference"], figures["control"])


if __name__ == "__main__":
    main()
