"""The figures of the learning benchmark, from traces written by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from ladder_rows import program_rows, references
from ladder_rows import reward as parts

from memupdate.errors import FieldError
from memupdate.evaluation.comparison import Pairing, pair_ends
from memupdate.evaluation.references import References
from memupdate.policy import PolicySettings
from memupdate.run.job import Job

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import learning_curve

Rollouts = dict[str, tuple[str, float]]  # key -> conversation and reward


def validations(run_dir: Path, *steps: Rollouts, failed: str = "") -> Pairing:
    """Writes the validations of a run, in which the last step's rollout ``failed`` was not scored."""
    (run_dir / "trace").mkdir(parents=True)
    for step, rollouts in enumerate(steps):
        rows = [
            {
                "key": key,
                "row": f"row-{key}",
                "sample_id": conversation,
                "reward": parts(
                    reward,
                    # Each rollout of the last step makes one call more than before, and one of them fails.
                    **{"calls_manage": 1.0 + step, "errors_manage": float(key == "a")},
                    reward_error=float(step == len(steps) - 1 and key == failed),
                ),
            }
            for key, (conversation, reward) in rollouts.items()
        ]
        (run_dir / "trace" / f"validation-{step:06d}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return pair_ends(run_dir)[1]


def test_seeds_are_a_level_and_failures_are_counted(tmp_path: Path) -> None:
    """Two seeds, whose changes differ by 0.4; no conversation differs from another. A failed rollout would count -0.1.

    By hand: the seeds' mean changes are 0.1 and 0.5, their error 0.2, Student's t for one degree of freedom 12.706205.
    """
    before = {"a": ("c1", 0.2), "b": ("c2", 0.2), "c": ("c2", 0.2)}
    trained = [
        validations(tmp_path / "0", before, {"a": ("c1", 0.3), "b": ("c2", 0.3), "c": ("c2", -0.1)}, failed="c"),
        validations(tmp_path / "1", before, {"a": ("c1", 0.7), "b": ("c2", 0.7), "c": ("c2", 0.7)}),
    ]
    controls = [validations(tmp_path / f"control-{seed}", before, before) for seed in range(2)]
    figures = learning_curve.evaluations(trained, controls)
    half = 12.706205 * 0.2
    expected = {"mean": 0.3, "low": 0.3 - half, "high": 0.3 + half}
    assert {name: figures["difference"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert {name: figures["trained_over_control"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (figures["difference"]["clusters"], figures["difference"]["seeds"]) == (2, 2)
    assert figures["trained_over_control"]["pairs"] == 5
    assert (figures["control"]["mean"], figures["control"]["high"]) == (0, 0)
    assert [(run["pairs"], run["failed"]["after"], run["unpaired"]["before"]) for run in figures["held_out"]] == [
        (2, 1, 1),
        (3, 0, 0),
    ]
    assert [run["pairs"] for run in figures["held_out_control"]] == [3, 3]
    assert [one["seeds"] for one in figures["per_seed"]] == [1, 1]
    assert math.isclose(figures["per_seed"][0]["high"], 0.1)  # its two conversations agree


def test_each_seed_has_a_warm_start_that_its_control_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def made(job: Job, data_dir: Path) -> Path:
        return tmp_path / f"policy-of-{job.policy.seed}" / "model"

    def train(job: Job, run_dir: Path, overrides: list[str]) -> None:
        values = dict(override.split("=", 1) for override in overrides)
        model = Path(values["actor_rollout_ref.model.path"]).parent.name
        started.append((model, values["memory.seed"], values.get("actor_rollout_ref.actor.optim.lr"), job.policy))
        run_dir.mkdir(parents=True)

    monkeypatch.setattr(learning_curve, "prepare_policy", made)
    monkeypatch.setattr(learning_curve.pipeline, "train", train)
    policy = PolicySettings(steps=7)
    job = Job("local", None, tmp_path / "runs")
    trained, controls = learning_curve.train_seeds(job, policy, tmp_path / "data", range(2))
    own = [PolicySettings(steps=7, seed=seed) for seed in range(2)]
    assert started == [
        ("policy-of-0", "0", None, own[0]),
        ("policy-of-0", "0", "0.0", own[0]),
        ("policy-of-1", "1", None, own[1]),
        ("policy-of-1", "1", "0.0", own[1]),
    ]
    assert len({*trained, *controls}) == 4


def programs(rollouts: Rollouts, constant: float, oracle: float) -> References:
    """A constant program and an oracle that earn the same on every row."""
    return references(
        *(
            program_rows({f"row-{key}": (sample, value) for key, (sample, _) in rollouts.items()})
            for value in (0.0, constant, oracle)
        )
    )


def test_the_ladder_is_measured_over_seeds_and_errors_over_all_calls(tmp_path: Path) -> None:
    """Two seeds. By hand: over the constant 0.3 - 0.1 and 0.7 - 0.1, mean 0.4, error 0.2; oracle 0.9, so 0.4 / 0.8.

    Calls before: 4 of which 2 failed; after: 8 of which 2 failed; the control's like the policy's after.
    """
    before = {"a": ("c1", 0.0), "b": ("c2", 0.0)}
    afters = [{"a": ("c1", value), "b": ("c2", value)} for value in (0.3, 0.7)]
    trained = [validations(tmp_path / str(seed), before, after) for seed, after in enumerate(afters)]
    controls = [validations(tmp_path / f"control-{seed}", before, before) for seed in range(2)]
    played = [(run.pairs, programs(before, 0.1, 0.9)) for run in trained]
    figures = learning_curve.ladder(played, controls)
    half = 12.706205 * 0.2
    expected = {"mean": 0.4, "low": 0.4 - half, "high": 0.4 + half}
    assert {name: figures["trained_over_constant"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (figures["trained_over_constant"]["clusters"], figures["trained_over_constant"]["seeds"]) == (2, 2)
    assert figures["share_of_gap"] == pytest.approx(0.5)
    assert figures["share_of_gap_of"] == pytest.approx({"trained": 0.5, "constant": 0.1, "oracle": 0.9})
    assert figures["errors_per_call"] == pytest.approx({"before": 2 / 4, "after": 2 / 8, "control_after": 2 / 8})
    means = {rung["rung"]: rung["reward"]["mean"] for rung in figures["ladder"]}
    assert means == pytest.approx(
        {"do nothing": 0.0, "best constant": 0.1, "warm start": 0.0, "trained": 0.5, "oracle": 0.9}
    )
    assert list(learning_curve.evaluations(trained, controls)["reward_parts"])[:2] == ["delta", "delta_shown"]


def test_a_run_without_a_ladder_is_no_run_of_this_benchmark(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("memory: {reward: {formula: product}}")
    with pytest.raises(FieldError, match=r"memory\.reward\.formula: .* allowed: budgeted"):
        learning_curve.programs_of(tmp_path)


def test_a_single_conversation_is_drawn_without_an_interval(tmp_path: Path) -> None:
    before = {"a": ("c1", 0.2)}
    run = validations(tmp_path / "run", before, {"a": ("c1", 0.4)})
    figures = learning_curve.evaluations([run], [run])
    assert (figures["difference"]["low"], figures["difference"]["clusters"]) == (None, 1)
    figures |= learning_curve.ladder([(run.pairs, programs(before, 0.1, 0.9))], [run])
    curves = {"training_reward": [[0.1, 0.2]], "training_reward_control": [[0.1, 0.1]]}
    learning_curve.plot({**figures, **curves}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
