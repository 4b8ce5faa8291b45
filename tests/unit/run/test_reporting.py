"""The report of a run's folder, whose traces are written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from memupdate.data.layout import session_rows_path
from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import write_corpus
from memupdate.errors import DataError
from memupdate.evaluation import report
from memupdate.rewards.budgeted import BudgetedParts
from memupdate.rewards.reward import RewardParts
from memupdate.run.reporting import play_references, report_of

COUNTS = ("turns", "malformed_calls", "unknown_calls", "calls_search", "errors_search", "category", "reward_error")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "corpus.json", 2, 1, seed=1)
    preprocess(tmp_path / "corpus.json", tmp_path / "data", dataset="synthetic", adversarial="drop")
    return tmp_path / "data"


def finished_run(data: Path, formula: str = "budgeted", rows: int = 2, ladder_episodes: int = 3) -> Path:
    """A run of session episodes that validated on some rows, and earned 0 before and 0.5 after training."""
    run_dir = data.parent / "run"
    (run_dir / "trace").mkdir(parents=True)
    memory = {"data_dir": str(data), "episode": "session", "seed": 3, "embedder": "hashing"}
    memory |= {"ladder_episodes": ladder_episodes}
    files = {"train_files": str(session_rows_path(data, "train")), "val_files": [str(session_rows_path(data, "test"))]}
    config = {"memory": {**memory, "reward": {"formula": formula}}, "data": files}
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    parts = BudgetedParts if formula == "budgeted" else RewardParts
    infos = pq.read_table(session_rows_path(data, "test"), columns=["extra_info"]).to_pylist()[:rows]
    for step, value in ((0, 0.0), (4, 0.5)):
        reward = {**dict.fromkeys((*parts.__dataclass_fields__, *COUNTS), 0.0), "reward": value}
        lines = [
            {"key": f"v{number}", "row": row["namespace"], "sample_id": row["sample_id"], "reward": reward}
            for number, row in enumerate(info["extra_info"] for info in infos)
        ]
        (run_dir / "trace" / f"validation-{step:06d}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return run_dir


def test_programs_play_the_rows_of_the_trace_and_are_kept(data: Path) -> None:
    run_dir = finished_run(data)
    found = report_of(run_dir)
    assert found.ladder is not None
    constant = found.ladder.rewards()["best constant"]
    assert found.ladder.trained_over_constant.mean == pytest.approx(0.5 - constant)
    saved = json.loads((run_dir / "ladder.json").read_text())
    assert len(saved["rungs"]["oracle"]) == 2 and saved["training_episodes"] == 3
    (data / "manifest.json").unlink()
    for file in data.glob("*.parquet"):
        file.unlink()
    assert report_of(run_dir) == found  # from ladder.json: the data may be gone


def test_a_reward_of_the_other_formulas_has_no_ladder(data: Path) -> None:
    run_dir = finished_run(data, "monotone")
    found = report_of(run_dir)
    assert found.ladder is None and report.render(found).endswith(report.NO_LADDER)
    assert list(found.figures)[:8] == [name for name in report.REWARD_PARTS if name in RewardParts.__dataclass_fields__]
    assert not (run_dir / "ladder.json").exists()


def test_a_run_can_do_without_a_ladder(data: Path) -> None:
    run_dir = finished_run(data, ladder_episodes=0)
    assert report_of(run_dir).ladder is None
    assert not (run_dir / "ladder.json").exists()


def test_a_finished_run_is_played_anew(data: Path) -> None:
    """A run that was continued may have other pairs of rollouts than when it was reported first."""
    run_dir = finished_run(data)
    (run_dir / "ladder.json").write_text("{}")
    played = play_references(run_dir, OmegaConf.load(run_dir / "config.yaml"))
    assert played is not None and len(played.rungs["oracle"]) == 2


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the folder of a run, with config\.yaml and trace/"):
        report_of(tmp_path)
