"""What a run checks before it starts, and when it may use again what an earlier run made."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig
from transformers import AutoTokenizer

from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import synthetic_corpus, write_corpus
from memupdate.errors import DataError, FieldError
from memupdate.files import CONFIGS
from memupdate.policy import make_policy
from memupdate.policy.settings import PolicySettings
from memupdate.policy.template import render
from memupdate.run.keys import source_digest
from memupdate.run.preflight import check_data, check_memory_section
from memupdate.run.profiles import compose_profile
from memupdate.run.prompt_checks import check_prompts
from memupdate.run.warm_start import policy_key, warm_start
from memupdate.tools.schemas import tool_schemas

ASSISTANT = "<|im_start|>assistant\n"  # after it, the policy begins


def config_of(data: Path, *overrides: str) -> DictConfig:
    given = ["memory.run_dir=r", f"memory.data_dir={data}", "actor_rollout_ref.model.path=m"]
    return compose_profile("local", [*given, *overrides])


def test_preprocessed_rows_with_schema_errors_stop_the_run(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.json", 2, 1, seed=1)
    preprocess(tmp_path / "corpus.json", tmp_path / "data", adversarial="drop")
    config = config_of(tmp_path / "data", "memory.episode=question")
    check_data(config)
    memories = next((tmp_path / "data" / "memories").glob("*.jsonl"))
    memories.write_text("".join(memories.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=memories.stem):
        check_data(config)


def test_session_episodes_need_rows_with_sessions(tmp_path: Path) -> None:
    """Questions without evidence give question episodes and no session episodes; only a run on those is refused."""
    corpus = list(synthetic_corpus(2, 1, seed=1))
    for conversation in corpus:
        for question in conversation["qa"]:
            question["evidence"] = []
    (tmp_path / "corpus.json").write_text(json.dumps(corpus))
    data = tmp_path / "data"
    preprocess(tmp_path / "corpus.json", data, adversarial="drop")
    check_data(config_of(data, "memory.episode=question"))
    with pytest.raises(
        FieldError, match=r"^memory\.episode: got 'session'; allowed: question .*train-session\.parquet"
    ):
        check_data(config_of(data, "memory.episode=session"))
    mine = ["data.train_files=mine.parquet", "data.val_files=mine.parquet"]
    check_data(config_of(data, "memory.episode=session", *mine))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated conversations with questions of all categories, abstention among them."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "corpus.json", 2, 1, seed=1)
    preprocess(folder / "corpus.json", folder / "data", dataset="synthetic")
    return folder / "data"


@pytest.mark.parametrize("episode", ["question", "session"])
@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("{}", r"^memory\.reward\.scorer: got 'span'; allowed: a scorer that scores abstention .*--adversarial drop"),
        ("{hidden_questions: 300}", r"^memory\.reward\.hidden_questions: got 300; allowed: at most \d+"),
        ("{read_characters: 9}", r"^memory\.reward\.read_characters: got 9; allowed: at least \d\d, the mean memory"),
    ],
)
def test_a_reward_that_does_not_fit_the_data_is_refused_before_the_run(
    data: Path, tmp_path: Path, episode: str, reward: str, message: str
) -> None:
    if "read" in reward:  # what is wrong besides comes first
        preprocess(data.parent / "corpus.json", tmp_path / "data", dataset="synthetic", adversarial="drop")
        data = tmp_path / "data"
    overrides = [f"memory.reward.{one}" for one in reward.strip("{}").replace(": ", "=").split(",") if one]
    with pytest.raises(FieldError, match=message):
        check_data(config_of(data, f"memory.episode={episode}", *overrides))
    check_data(config_of(data, f"memory.episode={episode}", "memory.reward.scorer={name: f1, model: m}"))
    question = "memory.episode=question"
    check_data(config_of(data, question, "memory.reward.formula=monotone", "memory.reward.scorer=overlap", *overrides))


def test_prompts_that_do_not_fit_are_refused_before_the_run(tmp_path: Path) -> None:
    """The limit is found by rendering each prompt with the tools of the run, one by one."""
    write_corpus(tmp_path / "corpus.json", 2, 1, seed=1)
    data, model = tmp_path / "data", tmp_path / "model"
    preprocess(tmp_path / "corpus.json", data, dataset="synthetic", adversarial="drop", limit_questions=3)
    make_policy(model, data)
    config = config_of(data, f"actor_rollout_ref.model.path={model}", "memory.episode=session")
    tokenizer = AutoTokenizer.from_pretrained(model)
    longest = max(
        len(tokenizer(render(prompt, tool_schemas()) + ASSISTANT, add_special_tokens=False).input_ids)
        for split in ("train", "test")
        for prompt in pq.read_table(data / f"{split}-session.parquet").column("prompt").to_pylist()
    )
    config.data.max_prompt_length = longest
    check_prompts(config)
    config.data.max_prompt_length = longest - 1
    with pytest.raises(FieldError, match=rf"^data\.max_prompt_length: got {longest - 1}; allowed: {longest} or more"):
        check_prompts(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("memory.reward.formula=monotone", r"formula: got 'monotone'; allowed: budgeted; monotone scores a shown"),
        ("memory.reward.hidden_questions=0", r"hidden_questions: got 0; allowed: 1 or more"),
        ("memory.reward.read_memories=0.5", r"read_memories: got 0\.5; allowed: .*1"),
    ],
)
def test_a_session_episode_needs_a_reward_that_can_score_it(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(FieldError, match=rf"^memory\.reward\.{message}"):
        check_memory_section(config_of(tmp_path, "memory.episode=session", override))


def test_a_folder_of_the_last_format_is_to_be_preprocessed_again(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2, "options": {"seed": 42}}))
    config = config_of(tmp_path, "memory.episode=question")
    with pytest.raises(DataError, match=r"expected 3: another version wrote this directory, so preprocess its input"):
        check_data(config)


def test_a_change_of_code_makes_another_cache_key(tmp_path: Path) -> None:
    """Otherwise a policy made by older code would be trained on unseen."""
    for room in ("one", "two"):
        (tmp_path / room / "inner").mkdir(parents=True)
        (tmp_path / room / "a.py").write_text("x = 1\n")
        (tmp_path / room / "inner" / "b.py").write_text("y = 1\n")
    first, other = source_digest("one", root=tmp_path), source_digest("one", "two", root=tmp_path)
    assert first != other
    assert first == source_digest("one", root=tmp_path)
    (tmp_path / "two" / "a.py").write_text("x = 2\n")
    assert source_digest("one", root=tmp_path) == first
    (tmp_path / "one" / "inner" / "b.py").write_text("y = 2\n")
    assert source_digest("one", root=tmp_path) != first


def test_a_change_of_the_warm_starts_config_makes_another_policy(tmp_path: Path) -> None:
    key = policy_key(tmp_path, PolicySettings())
    changed = tmp_path / "warm_start.yaml"
    original = (CONFIGS / "warm_start.yaml").read_text()
    changed.write_text(original)
    assert policy_key(tmp_path, PolicySettings(), changed) == key
    changed.write_text(original.replace("clip_grad: 1.0", "clip_grad: 0.5"))
    assert policy_key(tmp_path, PolicySettings(), changed) != key


def test_a_batch_that_the_warm_starts_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"policy\.batch_size.*a multiple of 2"):
        warm_start(tmp_path, PolicySettings(batch_size=7))
    assert not any(tmp_path.iterdir())
