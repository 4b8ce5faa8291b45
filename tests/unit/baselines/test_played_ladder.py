"""Programs played on the rows of a run: what they earn is what the run's own reward pays for the same edits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from memupdate.baselines.ladder import play_ladder
from memupdate.broker.service import MemoryBroker
from memupdate.data.layout import rows_path, session_rows_path
from memupdate.data.preprocess import preprocess
from memupdate.data.questions import read_questions
from memupdate.data.synthetic import write_corpus
from memupdate.errors import DataError, FieldError
from memupdate.evaluation.references import CONSTANT, NOTHING, ORACLE, References
from memupdate.memory import HashingEmbedder
from memupdate.memory.operation import Operation
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.hidden import HiddenQuestions
from memupdate.rewards.rules import BudgetedRule
from memupdate.rewards.scorers import make_scorer

SEED = 7
CONFIG = RewardConfig()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    write_corpus(folder / "corpus.json", 3, 2, seed=1)
    preprocess(folder / "corpus.json", folder / "data", dataset="synthetic", adversarial="drop", limit_questions=8)
    return folder / "data"


def infos(data: Path, episode: str, split: str = "test") -> dict[str, dict]:
    path = session_rows_path(data, split) if episode == "session" else rows_path(data, split)
    rows = pq.read_table(path, columns=["extra_info"]).to_pylist()
    return {row["extra_info"]["namespace"]: row["extra_info"] for row in rows}


def play(data: Path, episode: str, held_out: set[str], config: RewardConfig = CONFIG) -> References:
    path = session_rows_path if episode == "session" else rows_path
    return play_ladder(
        data,
        episode=episode,
        train_files=[path(data, "train")],
        val_files=[path(data, "test")],
        held_out=held_out,
        embedder=HashingEmbedder(),
        scorer=make_scorer(config.scorer),
        config=config,
        seed=SEED,
        training_episodes=5,
    )


async def paid(data: Path, info: dict, notes: list[str]) -> dict[str, float]:
    """What a run's reward pays in a validation for a trajectory that writes these notes."""
    rule = BudgetedRule(CONFIG, data, SEED)
    broker = MemoryBroker(data / "memories", HashingEmbedder())
    await broker.open("rollout", info["bank"])
    outcomes = await broker.run("rollout", [Operation("create", {"content": note}) for note in notes])
    assert len(outcomes) == len(notes)
    score = await rule.read(broker, "rollout", info, step=15)
    await broker.stop()
    return score(make_scorer(CONFIG.scorer)).to_dict()


@pytest.mark.parametrize("episode", ["session", "question"])
def test_programs_earn_what_the_run_s_reward_pays(data: Path, episode: str) -> None:
    rows = infos(data, episode)
    played = play(data, episode, set(list(rows)[:3]))
    assert played.programs[ORACLE].startswith("oracle") and played.training_episodes == 5
    for name in list(rows)[:3]:
        info = rows[name]
        asked = HiddenQuestions(data, CONFIG.hidden_questions, SEED).draw(info, step=15)
        if episode == "question":
            asked = [next(q for q in read_questions(data, info["sample_id"]) if q.index == info["qa_index"]), *asked]
        notes = [f"{question.question} {question.answer}" for question in asked]
        for rung, texts in ((NOTHING, []), (ORACLE, notes)):
            row = played.rungs[rung][name]
            expected = asyncio.run(paid(data, info, texts))
            assert {part: row["reward"][part] for part in expected} == pytest.approx(expected)
            assert row["sample_id"] == info["sample_id"]
            grown = row["reward"]["memory_count_after"] - row["reward"]["memory_count_before"]
            assert grown == len(texts)
        assert played.rungs[NOTHING][name]["reward"]["reward"] == 0
        assert played.rungs[ORACLE][name]["reward"]["category"] == info["category"]


def test_only_the_rows_of_the_validation_are_played(data: Path) -> None:
    rows = list(infos(data, "session"))
    played = play(data, "session", set(rows[1:3]))
    assert all(set(rung) == set(rows[1:3]) for rung in played.rungs.values())
    with pytest.raises(
        DataError, match=r"test-session\.parquet: expected a row 'gone', on which the run validated \(1"
    ):
        play(data, "session", {rows[0], "gone"})


def test_the_constant_program_is_the_best_on_the_training_rows(data: Path) -> None:
    played = play(data, "session", {next(iter(infos(data, "session")))})
    best = max(played.training_rewards.values())
    assert played.training_rewards[played.programs[CONSTANT]] == best
    assert played.training_rewards["do nothing"] == 0 and best >= 0
    assert len(played.training_rewards) > 12


def test_doing_nothing_is_the_best_where_every_other_program_loses(data: Path) -> None:
    """At this price, whatever a program writes costs more than an answer is worth."""
    dear = RewardConfig(storage_price=1000.0, refund=0.0)
    played = play(data, "session", {next(iter(infos(data, "session")))}, dear)
    assert played.programs[CONSTANT] == "do nothing"


def test_other_rewards_have_no_ladder(data: Path) -> None:
    with pytest.raises(FieldError, match=r"reward\.formula: got 'monotone'; allowed: budgeted"):
        play(data, "question", set(), RewardConfig(formula="monotone"))
