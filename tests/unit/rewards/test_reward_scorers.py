"""The registry, and the overlap scorer.

Rows U29.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from memupdate.errors import FieldError
from memupdate.rewards import SCORERS, RewardConfig, ScorerConfig, make_scorer
from memupdate.rewards.contract import ScoreItem, score_items
from memupdate.rewards.overlap import OverlapScorer

overlap = OverlapScorer().score


@pytest.mark.parametrize(
    ("answer", "retrieved", "expected"),
    [
        ("Porto", ["Ana moved to Porto."], 1),
        ("the PORTO!", ["ana moved to porto"], 1),
        ("An adoption agency", ["Caroline researched adoption agencies"], 0.5),  # words are not stemmed
        ("pottery, painting and camping", ["Melanie likes camping", "They did pottery"], 2 / 3),
        ("8 May, 2023", ["Caroline went (8 May, 2023)"], 1),
        ("very very big", ["a big dog"], 0.5),  # distinct tokens: very, big
        ("Porto", [], 0),
        ("Porto", ["Portofino"], 0),
        ("self-care", ["They value self care"], 0),  # the official normalisation joins what a hyphen joins
    ],
)
def test_u29_overlap_by_hand(answer: str, retrieved: list[str], expected: float) -> None:
    assert overlap("q", answer, retrieved) == pytest.approx(expected)


words = st.text(alphabet="bcdxyz", min_size=1, max_size=6)


@given(st.lists(words, min_size=1, max_size=6), st.lists(words, max_size=6), st.sampled_from(["the", "A", "an", "And"]))
def test_u29_case_punctuation_and_articles_do_not_count(answer: list[str], context: list[str], article: str) -> None:
    plain = overlap("q", " ".join(answer), [" ".join(context)])
    dressed = overlap(
        "q", f"{article} " + ", ".join(answer).upper() + "!", ["'" + "; ".join(context).title() + f"' {article}"]
    )
    assert dressed == plain
    assert plain == pytest.approx(sum(word in context for word in set(answer)) / len(set(answer)))


@pytest.mark.parametrize(("answer", "category"), [("", None), ("?!", 4), ("the", 1), ("Porto", 5)])
def test_overlap_without_anything_to_measure(answer: str, category: int | None) -> None:
    assert overlap("q", answer, ["Porto"], category) == 0.5


def test_make_scorer_reads_names_mappings_and_hydra_nodes() -> None:
    node = OmegaConf.create({"reward": {"scorer": {"name": "overlap"}, "top_k": 7}}).reward
    for config in (
        "overlap",
        {"name": "overlap"},
        ScorerConfig("overlap"),
        node.scorer,
        RewardConfig.from_mapping(node).scorer,
    ):
        assert make_scorer(config).name == "overlap"
    assert RewardConfig.from_mapping(node).top_k == 7


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ("rouge", "reward.scorer.name"),
        ({"name": None}, "reward.scorer.name"),
        ({"name": "overlap", "model": "x"}, "reward.scorer.model"),
        ({"name": "likelihood"}, "reward.scorer.model"),
        ({"name": "likelihood", "model": "x", "dtype": "int8"}, "reward.scorer.dtype"),
        ({"name": "likelihood", "model": "x", "batch_size": 0}, "reward.scorer.batch_size"),
        ({"name": "likelihood", "model": "x", "temperature": 1}, "reward.scorer.temperature"),
        ({"name": "f1", "model": "x", "backend": "vllm"}, "reward.scorer.backend"),
        ({"name": "f1", "model": "x", "max_new_tokens": 1.5}, "reward.scorer.max_new_tokens"),
        ({"name": "f1", "model": "x", "backend": "openai"}, "reward.scorer.cache"),
        ({"name": "judge", "cache": "x"}, "reward.scorer.model"),
        ({"name": "judge", "model": "x"}, "reward.scorer.cache"),
        ({"name": "judge", "model": "x", "cache": "x", "offline": "yes"}, "reward.scorer.offline"),
        ({"name": "judge", "model": "x", "cache": "x", "base_url": "host:80"}, "reward.scorer.base_url"),
        ({"name": "judge", "model": "x", "cache": "x", "deadline_s": 0}, "reward.scorer.deadline_s"),
        ({"name": "judge", "model": "x", "cache": "x", "api_key": "k"}, "reward.scorer.api_key"),
    ],
)
def test_wrong_scorer_options_name_their_field(config: object, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        make_scorer(config)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_the_table_lists_its_scorers() -> None:
    assert list(SCORERS) == ["span", "overlap", "f1", "likelihood", "judge"]
    with pytest.raises(FieldError) as caught:
        make_scorer("rouge")
    assert caught.value.allowed == "one of span, overlap, f1, likelihood, judge"
    assert all(SCORERS.load(name).__module__ == SCORERS[name].split(":")[0] for name in SCORERS)


def test_rewards_import_neither_models_nor_the_training_stack() -> None:
    code = (
        "import sys, memupdate.rewards, memupdate.rewards.language_model, memupdate.rewards.likelihood;"
        "heavy = {'torch', 'transformers', 'openai', 'verl', 'ray', 'sglang'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_export_is_an_attribute_error() -> None:
    import memupdate.rewards

    assert "MemoryRewardManager" in memupdate.rewards.__all__
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = memupdate.rewards.NoSuchName


class Returning:
    """A scorer that returns what it is told to."""

    name = "returning"

    def __init__(self, value: object) -> None:
        self.value = value

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        return self.value  # type: ignore[return-value]


@pytest.mark.parametrize("value", [None, "0.5", 7.0, math.nan])
def test_a_score_that_is_not_a_number_from_0_to_1_is_a_field_error(value: object) -> None:
    with pytest.raises(FieldError, match=r"score of scorer returning: got .*; allowed: a number in \[0, 1\]"):
        score_items(Returning(value), [ScoreItem("q", "a", ())])


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5)])
def test_a_score_may_be_any_kind_of_number(value: float) -> None:
    assert score_items(Returning(value), [ScoreItem("q", "a", ())]) == [value]
