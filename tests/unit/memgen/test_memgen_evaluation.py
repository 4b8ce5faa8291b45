"""G33: evaluation scores every answer and summarises them with an interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memgen.example import copy_task, write_base, write_lines
from memgen.methods import method_of
from memgen.runner import MemGenRunner
from memgen.settings import Settings, new_settings
from memgen.weaver.settings import MemGenSettings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = new_settings()
    settings.model.reasoner = str(write_base(tmp_path / "base"))
    settings.model.prompt_latents, settings.model.inference_latents = 2, 3
    settings.dataset.test_file = str(tmp_path / "test.jsonl")
    settings.run.mode, settings.run.threads, settings.run.output_dir = "evaluate", 1, str(tmp_path / "run")
    settings.run.generation.max_new_tokens, settings.dataset.max_length = 6, 256
    return settings


def evaluated(settings: Settings, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[float]]:
    """The summary, as it was returned and written, and the score of each example."""
    assert settings.dataset.test_file is not None and isinstance(settings.model, MemGenSettings)
    write_lines(Path(settings.dataset.test_file), rows)
    summary = MemGenRunner(settings).evaluate()
    folder = Path(str(settings.run.output_dir)) / f"evaluation-{settings.model.mode}"
    assert json.loads((folder / "summary.json").read_text()) == summary
    return summary, [json.loads(line)["score"] for line in (folder / "examples.jsonl").read_text().splitlines()]


def test_g33_scores_and_their_interval(settings: Settings) -> None:
    """The references of two of four examples are what the model says. At the exact upper bound of a proportion, two
    or fewer of four have the probability 2.5 %. The lower bound is as far from 0 as the upper from 1."""
    rows = copy_task(4, seed=9)
    for row, said in zip(rows, MemGenRunner(settings).generate([row["prompt"] for row in rows]), strict=True):
        assert said["answer"].strip()
        row["completion"] = said["answer"]
    rows[1]["completion"] = rows[3]["completion"] = "something else"
    summary, scores = evaluated(settings, rows)
    assert scores == [1.0, 0.0, 1.0, 0.0]
    assert summary["score"] == 0.5
    high = summary["score_high"]
    assert (1 - high) ** 4 + 4 * high * (1 - high) ** 3 + 6 * high**2 * (1 - high) ** 2 == pytest.approx(0.025)
    assert 0.5 < high < 1 and summary["score_low"] == pytest.approx(1 - high)
    assert summary["score_interval"] == "95% over 4 examples: exact binomial (Clopper-Pearson)"


def test_g33_the_reward_is_the_one_that_is_set(settings: Settings) -> None:
    """Without a box the math reward gives nothing, whatever the words."""
    [row] = copy_task(1)
    [said] = MemGenRunner(settings).generate([row["prompt"]])
    settings.dataset.reward = "math"
    summary, scores = evaluated(settings, [{**row, "completion": said["answer"]}])
    assert (scores, summary["score"]) == ([0.0], 0.0)


def test_the_invocation_rate_is_of_the_times_asked_over_all_answers(settings: Settings) -> None:
    """Not the mean of the answers' rates, which is 0.35 here; and what an evaluation reports is this number."""
    counts = [{"blocks": 1, "asked": 2, "latents": 3.0}, {"blocks": 1, "asked": 5, "latents": 6.0}]
    found = method_of("memgen").summary(counts)
    assert found == {"invocation_rate": pytest.approx(2 / 7), "latents": 4.5}
    assert method_of("memgen").summary([{"blocks": 0, "asked": 0, "latents": 0.0}])["invocation_rate"] == 0
    assert isinstance(settings.model, MemGenSettings)
    for mode, rate in (("always", 1.0), ("never", 0.0)):
        settings.model.mode = mode
        summary, _ = evaluated(settings, copy_task(2))
        assert summary["invocation_rate"] == rate


def test_every_example_has_a_seed_of_its_own_whatever_the_batches(settings: Settings) -> None:
    """The same question four times: four answers, and the same four in batches of one, three and four."""
    runner = MemGenRunner(settings)
    settings.run.generation.temperature = 1.0
    [row] = copy_task(1)
    found = []
    for size in (1, 3, 4):
        settings.run.generation.batch_size = size
        found.append([said["answer"] for said in runner.generate([row["prompt"]] * 4)])
    assert len(set(found[0])) == 4
    assert found[0] == found[1] == found[2]
