"""What a run checks before it starts, and when it may use again what an earlier run made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import synthetic_corpus, write_corpus
from memupdate.errors import DataError, FieldError
from memupdate.files import CONFIGS
from memupdate.policy.settings import PolicySettings
from memupdate.run.keys import source_digest
from memupdate.run.preflight import check_data
from memupdate.run.profiles import compose_profile
from memupdate.run.warm_start import policy_key, warm_start


def test_preprocessed_rows_with_schema_errors_stop_the_run(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.json", 2, 1, seed=1)
    preprocess(tmp_path / "corpus.json", tmp_path / "data")
    config = OmegaConf.create({"memory": {"data_dir": str(tmp_path / "data"), "episode": "question"}})
    check_data(config)
    memories = next((tmp_path / "data" / "memories").glob("*.jsonl"))
    memories.write_text("".join(memories.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=memories.stem):
        check_data(config)


def test_session_episodes_need_rows_with_sessions(tmp_path: Path) -> None:
    """Questions without evidence give question episodes and no session episodes; only a run on those is refused."""
    corpus = list(synthetic_corpus(3, 1, seed=1))
    for conversation in corpus:
        for question in conversation["qa"]:
            question["evidence"] = []
    (tmp_path / "corpus.json").write_text(json.dumps(corpus))
    data = tmp_path / "data"
    preprocess(tmp_path / "corpus.json", data, train_conversations=2)
    overrides = ["memory.run_dir=r", f"memory.data_dir={data}", "actor_rollout_ref.model.path=m"]
    check_data(compose_profile("local", overrides))
    session = [*overrides, "memory.episode=session"]
    with pytest.raises(
        FieldError, match=r"^memory\.episode: got 'session'; allowed: question .*train-session\.parquet"
    ):
        check_data(compose_profile("local", session))
    mine = ["data.train_files=mine.parquet", "data.val_files=mine.parquet"]
    check_data(compose_profile("local", [*session, *mine]))


def test_a_folder_of_the_last_format_is_to_be_preprocessed_again(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2, "options": {"seed": 42}}))
    config = OmegaConf.create({"memory": {"data_dir": str(tmp_path), "episode": "question"}})
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
