"""Banks of a chained run in a preprocessed folder: rollouts of a group start from the agent's own bank."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from chained_corpus import Scripted, keep_everything, write_corpus

from memupdate.broker import MemoryBroker
from memupdate.chain.command import chain
from memupdate.chain.data import read_chain_data
from memupdate.chain.settings import ChainSettings
from memupdate.data.check_preprocessed import check_preprocessed
from memupdate.data.preprocess import preprocess
from memupdate.errors import FieldError
from memupdate.rewards.scorers import ScorerConfig

HELD_OUT = ["conv-a", "conv-b"]


def rewrite(shown: str, turn: int) -> str:
    """Keeps everything, and forgets the first memory in the third session, so that ids do not count from m1."""
    if turn == 0 and "Session 3" in shown:
        return '<tool_call>{"name": "delete_memory", "arguments": {"memory_id": "m1"}}</tool_call>'
    return keep_everything(shown, turn)


@pytest.fixture(scope="module")
def run_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    data = read_chain_data(data_dir, "test", None, None)
    chain(data, Scripted(rewrite), output, ChainSettings(), ScorerConfig("overlap"))
    return output


@pytest.fixture
def chained_dir(run_dir: Path, tmp_path: Path) -> Path:
    preprocess(write_corpus(tmp_path), tmp_path / "rows", test=HELD_OUT, banks=run_dir)
    return tmp_path / "rows"


def contents(path: Path) -> list[str]:
    return [json.loads(line)["content"] for line in path.read_text().splitlines()]


def test_rollouts_start_from_the_agent_s_own_bank(run_dir: Path, chained_dir: Path, data_dir: Path) -> None:
    async def opened(directory: Path, key: str) -> tuple[list[str], list[str]]:
        broker = MemoryBroker(str(directory / "memories"))
        await broker.open("r0", key)
        await broker.open("r1", key)
        first = [one["content"] for one in await broker.list_memories("r0")]
        return first, [one["content"] for one in await broker.list_memories("r1")]

    for key in ("conv-a@D2:1", "conv-a@D4:1", "conv-b@D4:1"):
        own = contents(run_dir / "banks" / f"{key}.jsonl")
        assert asyncio.run(opened(chained_dir, key)) == (own, own)
        assert asyncio.run(opened(data_dir, key))[0] != own
    # No bank of the run: the conversation's own memories before the turn, and all of them.
    assert asyncio.run(opened(chained_dir, "conv-c@D2:1"))[0] == ["Cnn has a poodle."]
    assert asyncio.run(opened(chained_dir, "conv-a@D1:1"))[0] == []
    assert len(asyncio.run(opened(chained_dir, "conv-a"))[0]) == 3


def test_the_folder_says_which_run_and_is_checked(run_dir: Path, chained_dir: Path) -> None:
    manifest = json.loads((chained_dir / "manifest.json").read_text())
    digest = hashlib.sha256((run_dir / "report.json").read_bytes()).hexdigest()
    assert manifest["banks"] == {"report": digest, "banks": {"conv-a": 3, "conv-b": 3}}
    report = check_preprocessed(chained_dir)
    assert report.schema_errors == []
    # The chain keeps three turns a session, and in the third it only forgets one.
    assert [report.banks[f"conv-a@D{session}:1"] for session in (2, 3, 4)] == [3, 6, 5]
    assert json.loads((chained_dir / "banks" / "conv-a@D4:1.jsonl").read_text().splitlines()[0])["id"] == "m2"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda banks: (banks / "conv-a@D3:1.jsonl").unlink(), "expected the banks that the manifest states"),
        (lambda banks: (banks / "conv-a@D3:1.jsonl").write_text("{"), r"conv-a@D3:1.jsonl:1: expected a memory"),
        (lambda banks: shutil.copy(banks / "conv-a@D3:1.jsonl", banks / "conv-a@D3:2.jsonl"), "a part of a session"),
        (
            lambda banks: shutil.copy(banks / "conv-a@D3:1.jsonl", banks / "conv-a.jsonl"),
            "'@' and a turn",
        ),
        (lambda banks: (banks / "conv-a@D3:1.jsonl").write_text(2 * '{"id": "m1", "content": "x"}\n'), "each id once"),
    ],
)
def test_a_damaged_bank_is_found(chained_dir: Path, damage: object, named: str) -> None:
    assert callable(damage)
    damage(chained_dir / "banks")
    errors = check_preprocessed(chained_dir).schema_errors
    assert len(errors) == 1
    assert re.search(named, errors[0])


def test_a_run_of_other_sessions_is_refused(run_dir: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    with pytest.raises(FieldError, match=r"banks: .*same sessions and session_characters; conv-a@D2:3"):
        preprocess(corpus, tmp_path / "cut", test=HELD_OUT, banks=run_dir, session_characters=60)
    shutil.copytree(run_dir, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "report.json").unlink()
    with pytest.raises(FieldError, match=r"banks: .*a finished chained run"):
        preprocess(corpus, tmp_path / "cut", test=HELD_OUT, banks=tmp_path / "unfinished")
    corpus.write_text(corpus.read_text() + " ")
    with pytest.raises(FieldError, match=r"banks: .*on the same input"):
        preprocess(corpus, tmp_path / "cut", test=HELD_OUT, banks=run_dir)
    assert not (tmp_path / "cut").exists()
