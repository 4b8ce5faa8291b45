"""U4: preprocessed rows load in stock verl's dataset, with no patch.

Rows U1, U4, U40.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from memupdate.data.preprocess import preprocess
from memupdate.data.prompts import SYSTEM_PROMPT
from memupdate.data.synthetic import write_corpus

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}> {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_corpus(folder / "corpus.json", 2, 1)
    preprocess(folder / "corpus.json", folder / "out")
    return folder / "out"


def word_tokenizer():  # type: ignore[no-untyped-def]
    """A tokenizer of whole words with a chat template, made here."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "<eos>": 2, "memories": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>"
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def stock_dataset(file: Path, cache: Path, max_prompt_length: int = 2048):  # type: ignore[no-untyped-def]
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create(
        {
            "cache_dir": str(cache),
            "prompt_key": "prompt",
            "max_prompt_length": max_prompt_length,
            "filter_overlong_prompts": True,
            "filter_overlong_prompts_workers": 1,
            "truncation": "error",
            "return_raw_chat": True,
        }
    )
    return RLHFDataset(str(file), word_tokenizer(), config)


def test_u4_rows_load_in_stock_verl(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import pyarrow.parquet as pq
    from torch.utils.data import DataLoader
    from verl import DataProto
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    for name in ("train", "test", "train-session", "test-session"):
        dataset = stock_dataset(directory / f"{name}.parquet", tmp_path / "cache")
        assert type(dataset) is RLHFDataset
        rows = pq.read_table(directory / f"{name}.parquet").to_pylist()
        assert len(dataset) == len(rows) > 0
        for index, row in enumerate(rows):
            item = dataset[index]
            info = row["extra_info"]
            question = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": info["question"]}]
            assert item["raw_prompt"] == (row["prompt"] if "session" in name else question)
            assert item["index"] == index and item["extra_info"] == info and item["agent_name"] == "memory_agent"
            assert item["tools_kwargs"] == {}
        batch = DataProto.from_single_dict(next(iter(DataLoader(dataset, batch_size=4, collate_fn=collate_fn))))
        assert len(batch) == 4
        assert list(batch.non_tensor_batch["data_source"]) == ["locomo"] * 4
        assert [one["ground_truth"] for one in batch.non_tensor_batch["reward_model"]] == [
            row["extra_info"]["answer"] for row in rows[:4]
        ]


def test_u4_no_prompt_is_filtered_as_too_long_or_broken(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """verl drops rows whose prompt it cannot template; none is dropped, and the filter does work."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    rows = json.loads((directory / "manifest.json").read_text())["splits"]["train"]["rows"]
    assert len(stock_dataset(directory / "train.parquet", tmp_path / "cache", max_prompt_length=200)) == rows
    assert len(stock_dataset(directory / "train.parquet", tmp_path / "cache", max_prompt_length=5)) == 0


def test_u1_u40_command_lines(tmp_path: Path) -> None:
    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"memupdate.data.{module}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    corpus, out = str(tmp_path / "corpus.json"), str(tmp_path / "out")
    assert run("synthetic", "--output", corpus, "--conversations", "2", "--held-out", "1").returncode == 0
    done = run("preprocess_locomo", "--input", corpus, "--output", out, "--train-conversations", "2")
    assert done.returncode == 0 and "train: " in done.stderr and "\r" not in done.stderr
    assert json.loads(run("check", "--preprocessed", out).stdout)["schema_errors"] == []
    assert json.loads(run("check", "--input", corpus).stdout)["conversations"] == 3
    wrong = run("preprocess_locomo", "--input", corpus, "--output", out, "--train-conversations", "3")
    assert wrong.returncode == 2 and "train_conversations: got 3; allowed: 1 to 2" in wrong.stderr
    assert "Traceback" not in wrong.stderr
