"""What `memupdate run --dry-run` refuses that would otherwise fail only in a Ray actor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from memupdate.errors import FieldError
from memupdate.files import CONFIGS
from memupdate.platform.rollout.check import check_rollout
from memupdate.run.preflight import check_memory_section, check_tools, validate

Configs = Callable[..., DictConfig]
ENTRY_POINTS = """\
[memupdate.scorers]
keyword = keyword_scorer:KeywordScorer
notascorer = diary_dataset:load_diary

[memupdate.embedders]
letters = letters_embedder:LettersEmbedder
notanembedder = diary_dataset:load_diary

[memupdate.rollouts]
gone = nomodule:Replica
notanengine = diary_dataset:load_diary
"""


@pytest.fixture(autouse=True)
def installed(install: Callable[[str], None]) -> None:
    install(ENTRY_POINTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ehco", r"rollout\.name: got 'ehco'; allowed: one of sglang_cpu, torch, .*vllm, sglang, trtllm"),
        ("gone", r"entry 'gone' of memupdate\.rollouts: got 'nomodule:Replica'"),
        ("notanengine", r"entry 'notanengine' of memupdate\.rollouts.*a subclass of SnapshotReplica"),
    ],
)
def test_a_rollout_engine_that_does_not_exist(configs: Configs, name: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        validate(configs("local", f"actor_rollout_ref.rollout.name={name}"))


@pytest.mark.parametrize("name", ["torch", "sglang", "vllm"])
def test_a_rollout_engine_that_exists(configs: Configs, name: str) -> None:
    check_rollout(configs("local", f"actor_rollout_ref.rollout.name={name}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("memory.embedder=bigram", r"^memory\.embedder: got 'bigram'; allowed: one of hashing"),
        ("memory.embedder=hashing:many", r"^memory\.embedder: got 'hashing:many'"),
        ("memory.embedder=notanembedder", r"entry 'notanembedder' of memupdate\.embedders.*a class with from_name"),
        ("memory.reward.scorer=notascorer", r"^entry 'notascorer' of memupdate\.scorers.*a class with from_options"),
        ("memory.reward.scorer={name: keyword, without: 0.25}", r"^memory\.reward\.scorer\.without: got 0\.25"),
        ("memory.reward.scorer={name: keyword, otherwise: 2}", r"^memory\.reward\.scorer\.otherwise: got 2"),
        ("memory.reward.scorer={name: judge, model: m, cach: c}", r"^memory\.reward\.scorer\.cach: got 'c'"),
        ("memory.reward.scorer={name: f1, model: m, dtype: int8}", r"^memory\.reward\.scorer\.dtype: got 'int8'"),
        ("memory.reward.scorer=likelihood", r"^memory\.reward\.scorer\.model: got ''"),
        ("memory.reward.scorer=rouge", r"^memory\.reward\.scorer\.name: got 'rouge'"),
    ],
)
def test_a_scorer_or_an_embedder_that_cannot_be_made(configs: Configs, override: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        check_memory_section(configs("local", override))


@pytest.mark.parametrize("value", ["-1", "some", "2.5"])
def test_a_ladder_of_no_number_of_episodes(configs: Configs, value: str) -> None:
    with pytest.raises(FieldError, match=rf"^memory\.ladder_episodes: got '?{value}'?; allowed: .*0"):
        check_memory_section(configs("local", f"memory.ladder_episodes={value}"))


@pytest.mark.parametrize(
    "override",
    [
        "memory.embedder=letters",
        "memory.embedder=owner/model-that-nobody-has",
        "memory.reward.scorer={name: keyword, otherwise: 0.2}",
        "memory.reward.scorer={name: likelihood, model: owner/model-that-nobody-has}",
        "memory.reward.scorer={name: f1, model: owner/model-that-nobody-has}",
    ],
)
def test_no_model_is_loaded(configs: Configs, override: str) -> None:
    check_memory_section(configs("local", override))


def test_the_judge_writes_no_cache(configs: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    cache = tmp_path / "deep" / "replies.jsonl"
    check_memory_section(configs("local", f"memory.reward.scorer={{name: judge, model: m, cache: '{cache}'}}"))
    assert not cache.parent.exists()


def test_a_judge_that_could_not_answer(configs: Configs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    cache = tmp_path / "replies.jsonl"
    judge = f"memory.reward.scorer={{name: judge, model: m, cache: '{cache}'"
    with pytest.raises(FieldError, match=r"^OPENAI_API_KEY: got ''; allowed: a key"):
        check_memory_section(configs("local", judge + "}"))
    with pytest.raises(FieldError, match=r"^memory\.reward\.scorer\.cache: got .*; allowed: a file of replies"):
        check_memory_section(configs("local", judge + ", offline: true}"))
    with pytest.raises(FieldError, match=r"^memory\.reward\.scorer\.model: got ''; allowed: the name of a model"):
        check_memory_section(configs("local", "memory.reward.scorer=judge"))
    cache.write_text("")
    check_memory_section(configs("local", judge + "}"))


def tool_file(tmp_path: Path, tools: object) -> Path:
    path = tmp_path / "tools.yaml"
    OmegaConf.save(OmegaConf.create({"tools": tools}), path)
    return path


def shipped_tools() -> Any:
    return OmegaConf.to_container(OmegaConf.load(CONFIGS / "tool_config" / "memory_tools.yaml"))


def test_a_tool_file_is_checked_as_the_tools_check_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tools = shipped_tools()["tools"]
    assert "search_memory" in check_tools(tool_file(tmp_path, tools))
    assert capsys.readouterr().out == ""
    function = tools[0]["tool_schema"]["function"]
    function["name"] = "saerch_memory"
    with pytest.raises(FieldError, match=r"tool_schema\.function\.name: got 'saerch_memory'; allowed: search_memory"):
        check_tools(tool_file(tmp_path, tools))
    function["name"] = "search_memory"
    with pytest.raises(FieldError, match=r"tools\[0\]\.config: got 3; allowed: a mapping"):
        check_tools(tool_file(tmp_path, [{**tools[0], "config": 3}]))
    function["parameters"]["properties"]["depth"] = {"type": "integer", "description": "d"}
    with pytest.raises(FieldError, match=r"search_memory\.properties: got 'depth'"):
        check_tools(tool_file(tmp_path, tools))


@pytest.mark.parametrize(
    ("tools", "message"),
    [(3, r"tools\.yaml: tools: got 3; allowed: a list"), (["count"], r"tools\.yaml: tools\[0\]: got 'count'")],
)
def test_a_tool_file_of_another_shape(tmp_path: Path, tools: object, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        check_tools(tool_file(tmp_path, tools))
