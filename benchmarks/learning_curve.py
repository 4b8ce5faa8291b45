"""Measures what GRPO teaches the policy of the local profile: several seeds, controls with learning rate 0, programs.

    python benchmarks/learning_curve.py [--quick] [--out FILE] [--seeds 3]

A seed determines the warm-started policy, the order of the data and all rollouts. The training run and the control of a
seed start from the same policy. All policies answer the same held-out conversations, with two sampled rollouts per
question before and after. Intervals are 95 %, with conversations and seeds as levels of their own (see
``memupdate/evaluation/intervals.py``). ``per_seed`` has the changes of single runs, over conversations only. Rollouts
that failed, or have no counterpart, are left out and counted.

The ladder is that of a run's report, over seeds: doing nothing, the best constant program, the warm start, the trained
policy and the oracle, on the same rows and the same hidden questions. Each seed chooses its constant program on its own
training episodes. Writes a JSON file and a plot next to it.
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
from matplotlib.axes import Axes

from memupdate.errors import FieldError
from memupdate.evaluation import report
from memupdate.evaluation.comparison import Pairing, compare_changes, compare_pairs, pair_ends
from memupdate.evaluation.ladder import CONSTANT, NOTHING, ORACLE, TRAINED, WARM_START, Run, climb, errors_per_call
from memupdate.evaluation.references import References
from memupdate.policy import PolicySettings
from memupdate.run import pipeline
from memupdate.run.job import Job
from memupdate.run.reporting import references_of
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


def programs_of(run_dir: Path) -> References:
    """Returns what programs earn on the held-out rows of a run.

    Raises:
        FieldError: the run's reward is not one that programs are played against.
    """
    references = references_of(run_dir)
    if references is None:
        raise FieldError("memory.reward.formula", str(run_dir / "config.yaml"), "budgeted, which has a ladder")
    return references


def ladder(trained: Sequence[Run], controls: Sequence[Pairing]) -> dict[str, Any]:
    """Returns the ladder over seeds, and the errors per call of policies and controls, over the calls of all seeds.

    Args:
        trained: for each seed, the pairs of the training run, and what programs earn on their rows.
        controls: the pairs of the control of each seed.
    """
    climbed = climb(trained).to_json()
    before, after = ([pair[side] for pairs, _ in trained for pair in pairs] for side in (0, 1))
    control_after = [new for run in controls for _, new in run.pairs]
    sides = {"before": before, "after": after, "control_after": control_after}
    return {
        **{name: climbed[name] for name in ("trained_over_constant", "share_of_gap", "share_of_gap_of", "ladder")},
        "errors_per_call": {side: errors_per_call(rows) for side, rows in sides.items()},
    }


def evaluations(trained: Sequence[Pairing], controls: Sequence[Pairing]) -> dict[str, Any]:
    """Returns the figures of the held-out rollouts, without those of programs.

    Args:
        trained: the paired rollouts of the training run of each seed.
        controls: those of the controls, in the same order of seeds.
    """
    count, over_control = compare_changes([run.pairs for run in trained], [run.pairs for run in controls], "reward")
    return {
        **compared(trained, "reward"),
        "control": compared(controls, "reward")["difference"],
        "trained_over_control": {"pairs": count, **asdict(over_control)},
        "reward_parts": {part: compared(trained, part) for part in report.parts_of(trained[0].pairs[0][0])[1:]},
        "per_seed": [compared([run], "reward")["difference"] for run in trained],
        "per_seed_control": [compared([run], "reward")["difference"] for run in controls],
        "held_out": held_out(trained),
        "held_out_control": held_out(controls),
    }


def steps_of(run_dir: Path) -> list[dict[str, Any]]:
    """Returns the metrics of the training steps."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "memory/reward" in line]


CLAIM = ("trained_over_constant", "share_of_gap")
# The rungs of the plot: the name in the JSON file, the label, and the colour.
RUNGS = (
    (NOTHING, "do\nnothing", "0.55"),
    (CONSTANT, "best\nconstant", "0.55"),
    (WARM_START, "warm\nstart", "tab:cyan"),
    (TRAINED, "trained", "tab:blue"),
    (ORACLE, "oracle", "0.55"),
)


def plot(figures: dict[str, Any], path: Path) -> None:
    """Plots the training reward of each step, for GRPO and for the controls, and the ladder on held-out conversations.

    Args:
        figures: the figures of this benchmark, as in its JSON file.
        path: the path of the image.
    """
    plt.rcParams["font.size"] = 11
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=[5, 4], layout="constrained")
    curves = (
        ("0.55", "control, learning rate 0", figures["training_reward_control"]),
        ("tab:blue", "GRPO", figures["training_reward"]),
    )
    seeds = len(figures["training_reward"])
    for colour, label, runs in curves:
        for curve in runs:
            left.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.3, linewidth=1)
        mean = [math.fsum(values) / len(values) for values in zip(*runs, strict=True)]
        left.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2.5, label=label)
    left.set(xlabel="training step", ylabel="mean reward of the step", title="training conversations")
    left.legend(frameon=False, loc="upper left", title=f"bold: mean of {seeds} seeds", alignment="left")
    plot_ladder(right, {rung["rung"]: rung["reward"] for rung in figures["ladder"]})
    for axes in (left, right):
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_ladder(axes: Axes, rewards: dict[str, dict[str, Any]]) -> None:
    """Plots the reward of each rung with its interval.

    Args:
        axes: where to plot.
        rewards: for each rung, the fields of an interval.
    """
    for place, (name, _, colour) in enumerate(RUNGS):
        reward = rewards[name]
        error = None  # one conversation has no interval
        if reward["low"] is not None:
            error = [[reward["mean"] - reward["low"]], [reward["high"] - reward["mean"]]]
        axes.errorbar(place, reward["mean"], yerr=error, fmt="o", color=colour, capsize=5, markersize=7, linewidth=2)
        axes.annotate(f"{reward['mean']:.3f}", (place, reward["mean"]), (9, 3), textcoords="offset points", size=10)
    trained = rewards[TRAINED]
    levels = f"{trained['clusters']} conversations, {trained['seeds']} seeds"
    axes.set(title=f"held-out: {levels}", ylabel="mean reward\n95 % interval, Student's t")
    axes.set(xlim=(-0.4, len(RUNGS) - 0.2), xticks=range(len(RUNGS)), xticklabels=[label for _, label, _ in RUNGS])


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
    paired, paired_controls = ([pair_ends(run)[1] for run in runs] for runs in (trained, controls))
    played = [(pairing.pairs, programs_of(run)) for pairing, run in zip(paired, trained, strict=True)]
    figures = {
        **evaluations(paired, paired_controls),
        **ladder(played, paired_controls),
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
    logger.info("over the constant program %s, share of the gap %s", *(figures[name] for name in CLAIM))


if __name__ == "__main__":
    main()
