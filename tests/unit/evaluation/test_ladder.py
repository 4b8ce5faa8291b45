"""The ladder from programs over the policy to the oracle, with every figure computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ladder_rows import program_rows, references, reward, rollout

from memupdate.errors import DataError
from memupdate.evaluation import references as files
from memupdate.evaluation import report
from memupdate.evaluation.ladder import RUNGS, climb, errors_per_call, render, rows_of

STUDENT = 12.706205  # Student's t for one degree of freedom

# Row r1 of conversation c1 is rolled out twice, row r2 of c2 once.
BEFORE = [
    rollout("a", "r1", "c1", 0.0, malformed_calls=2, qa_after=0.2),
    rollout("b", "r1", "c1", 0.1, calls_search=1, errors_search=1, qa_after=0.4),
    rollout("c", "r2", "c2", 0.0, calls_manage=1, unknown_calls=1, qa_after=0.5),
]
AFTER = [
    rollout("a", "r1", "c1", 0.2, calls_manage=3, characters_after=1000, growth=1),
    rollout("b", "r1", "c1", 0.4, calls_manage=5, errors_manage=1, characters_after=3000, growth=2),
    rollout("c", "r2", "c2", 0.5, calls_search=1, malformed_calls=1, characters_after=500, qa_hidden_after=0.6),
]
PROGRAMS = references(
    program_rows({"r1": ("c1", 0.0), "r2": ("c2", 0.0), "r3": ("c3", 0.0)}),
    program_rows({"r1": ("c1", 0.1), "r2": ("c2", 0.3), "r3": ("c3", 9.0)}, growth=3),
    program_rows({"r1": ("c1", 0.7), "r2": ("c2", 0.9), "r3": ("c3", 9.0)}),
)


def test_each_rung_is_the_mean_over_conversations_on_the_same_rollouts() -> None:
    """By hand, c1 then c2: before 0.05 and 0; after 0.3 and 0.5; constant 0.1 and 0.3; oracle 0.7 and 0.9.

    Row r3 was played and never rolled out, so it counts nowhere.
    """
    ladder = climb([(list(zip(BEFORE, AFTER, strict=True)), PROGRAMS)])
    assert tuple(rung.name for rung in ladder.rungs) == RUNGS
    assert ladder.rewards() == pytest.approx(
        {"do nothing": 0.0, "best constant": 0.2, "warm start": 0.025, "trained": 0.4, "oracle": 0.8}
    )
    assert ladder.rollouts == 3
    trained = ladder.rungs[3]
    assert trained.figures["characters_after"].mean == pytest.approx((2000 + 500) / 2)
    assert trained.figures["growth"].mean == pytest.approx((1.5 + 0) / 2)
    assert trained.figures["qa_hidden_after"].mean == pytest.approx(0.3)
    assert ladder.rungs[2].figures["qa_after"].mean == pytest.approx((0.3 + 0.5) / 2)
    assert trained.malformed_calls is not None and trained.malformed_calls.mean == pytest.approx(0.5)
    assert ladder.rungs[1].programs == ("keep everything",)
    assert ladder.rungs[1].malformed_calls is None and ladder.rungs[1].errors_per_call is None


def test_the_trained_policy_is_paired_with_the_program_row_by_row() -> None:
    """By hand: 0.2 - 0.1 and 0.4 - 0.1 in c1, 0.5 - 0.3 in c2, so 0.2 in both, and the interval is one point.

    Unpaired, the constant's conversations differ by 0.2 and the trained policy's too.
    """
    ladder = climb([(list(zip(BEFORE, AFTER, strict=True)), PROGRAMS)])
    over = ladder.trained_over_constant
    assert (over.mean, over.low, over.high) == pytest.approx((0.2, 0.2, 0.2))
    assert ladder.rungs[1].figures["reward"].low == pytest.approx(0.2 - STUDENT * 0.1)
    assert ladder.share_of_gap == pytest.approx(0.2 / 0.6)
    saved = ladder.to_json()
    assert saved["share_of_gap_of"] == pytest.approx({"trained": 0.4, "constant": 0.2, "oracle": 0.8})
    json.dumps(saved)


def test_errors_per_call_divides_all_errors_by_all_calls() -> None:
    """By hand, before: calls 2 + 1 + (1 + 1), errors 2 + 1 + 1. After: calls 3 + 5 + (1 + 1), errors 0 + 1 + 1.

    The mean of the rollouts' own ratios would be (1 + 1 + 1/2) / 3 and (0 + 1/5 + 1/2) / 3.
    """
    assert errors_per_call(BEFORE) == pytest.approx(4 / 5)
    assert errors_per_call(AFTER) == pytest.approx(2 / 10)
    assert errors_per_call([rollout("a", "r", "c", 0.0, ignored_calls=3)]) is None


def test_seeds_are_a_level_of_their_own() -> None:
    """Two seeds whose programs differ. By hand: over constant 0.1 and 0.5 in both conversations, error 0.2."""
    runs = []
    for low, high, name in ((0.2, 0.3, "one"), (0.0, 0.5, "other")):
        played = references(
            program_rows({"r1": ("c1", 0.0), "r2": ("c2", 0.0)}),
            program_rows({"r1": ("c1", low), "r2": ("c2", low)}),
            program_rows({"r1": ("c1", 1.1), "r2": ("c2", 1.1)}),
        )
        played = files.References({**played.programs, files.CONSTANT: name}, 200, {}, played.rungs)
        rows = [rollout("a", "r1", "c1", high), rollout("b", "r2", "c2", high)]
        runs.append(([(row, row) for row in rows], played))
    ladder = climb(runs)
    over = ladder.trained_over_constant
    assert (over.mean, over.low, over.high) == pytest.approx((0.3, 0.3 - STUDENT * 0.2, 0.3 + STUDENT * 0.2), abs=1e-6)
    assert (over.clusters, over.seeds) == (2, 2)
    assert ladder.share_of_gap == pytest.approx((0.4 - 0.1) / (1.1 - 0.1))
    assert ladder.rungs[1].programs == ("one", "other")


@pytest.mark.parametrize("oracle", [0.4, 0.3])
def test_an_oracle_that_earns_no_more_than_the_program_gives_no_share(oracle: float) -> None:
    played = references(*(program_rows({"r1": ("c1", value)}) for value in (0.0, 0.4, oracle)))
    row = rollout("a", "r1", "c1", 0.5)
    ladder = climb([([(row, row)], played)])
    assert ladder.share_of_gap is None
    line = f"share of the gap: none, because the oracle ({oracle:.4f}) earns no more than the program (0.4000)"
    assert line in render(ladder)


def test_the_table_names_the_program_and_has_no_calls_for_programs() -> None:
    text = render(climb([(list(zip(BEFORE, AFTER, strict=True)), PROGRAMS)]))
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["trained"].split()[-6:] == ["0.000", "0.300", "1250", "0.750", "0.500", "0.200"]
    assert lines["best constant: keep everything"].split()[-2:] == ["-", "-"]
    assert "share of the gap  0.333 = (0.4000 - 0.2000) / (0.8000 - 0.2000)" in text


def test_rollouts_need_a_row_that_programs_played() -> None:
    row = rollout("a", "r9", "c1", 0.5)
    with pytest.raises(DataError, match="'do nothing': expected a program to have played the row 'r9'"):
        climb([([(row, row)], PROGRAMS)])
    old = {key: value for key, value in row.items() if key != "row"}
    with pytest.raises(DataError, match="rollout a: expected `row`"):
        rows_of([(old, old)])


def test_references_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert files.read(tmp_path) is None
    files.write(PROGRAMS, tmp_path)
    assert files.read(tmp_path) == PROGRAMS
    (tmp_path / files.FILE).write_text('{"rungs": 3}')
    with pytest.raises(DataError, match=r"ladder\.json: expected what programs earn"):
        files.read(tmp_path)
    saved = {"programs": {}, "training_episodes": 1, "training_rewards": {}, "rungs": {"oracle": {}}}
    (tmp_path / files.FILE).write_text(json.dumps(saved))
    with pytest.raises(DataError, match=r"rungs: expected do nothing, best constant, oracle, got oracle"):
        files.read(tmp_path)


def write_traces(run_dir: Path, *steps: list[dict[str, object]]) -> None:
    (run_dir / "trace").mkdir()
    for step, rows in enumerate(steps):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (run_dir / "trace" / f"validation-{step:06d}.jsonl").write_text(text)


def test_a_report_has_the_ladder_and_the_parts_of_its_own_reward(tmp_path: Path) -> None:
    write_traces(tmp_path, BEFORE, AFTER)
    found = report.compare(tmp_path, PROGRAMS)
    assert "efficiency" not in found.figures
    assert list(found.figures)[:2] == ["reward", "delta"]
    assert found.figures["characters_after"].after.mean == pytest.approx(1250)
    report.write(found, tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["trained_over_constant"]["mean"] == pytest.approx(0.2)
    assert [rung["rung"] for rung in saved["ladder"]] == list(RUNGS)
    assert saved["ladder"][3]["errors_per_call"] == pytest.approx(0.2)
    text = (tmp_path / "report.txt").read_text()
    assert "0 session (n=3)" in text and "share of the gap  0.333" in text
    line = next(line for line in text.splitlines() if line.startswith("characters_after"))
    assert line.split()[1:3] == ["2", "0.0000"] and "1250.0" in line  # columns that numbers of this size do not join


def test_a_report_without_programs_says_why(tmp_path: Path) -> None:
    write_traces(tmp_path, BEFORE, AFTER)
    found = report.compare(tmp_path)
    assert found.to_json()["ladder"] is None and "trained_over_constant" not in found.to_json()
    assert report.render(found).endswith(
        "no ladder: it needs the reward formula `budgeted`, and memory.ladder_episodes above 0"
    )


def test_the_report_knows_the_parts_of_every_reward() -> None:
    """evaluation is below rewards and cannot ask it; without this, a new part would be missing in the table."""
    from memupdate.rewards.budgeted import BudgetedParts
    from memupdate.rewards.reward import RewardParts

    parts = {*RewardParts.__dataclass_fields__, *BudgetedParts.__dataclass_fields__}
    assert set(report.REWARD_PARTS) == parts
    assert set(reward(0.0)) >= set(BudgetedParts.__dataclass_fields__)
