"""A latent method of another package: nothing shared knows MemGen."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from memgen.base.server import ServerAnswer
from memgen.example import copy_task, write_base, write_lines
from memgen.methods import METHODS, Rollout, method_of, method_of_checkpoint
from memgen.runner import MemGenRunner
from memgen.settings import Settings, read_settings
from memupdate.errors import FieldError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "extending"))
from installed_method import install

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    yield
    sys.modules.pop("soft_prompt", None)


@pytest.fixture
def settings(installed: None, tmp_path: Path) -> Settings:
    sections = {
        "model": {"method": "soft_prompt", "reasoner": str(write_base(tmp_path / "base", "llama")), "length": 3},
        "dataset": {"test_file": str(write_lines(tmp_path / "test.jsonl", copy_task(3))), "max_length": 200},
        "run": {"mode": "evaluate", "threads": 1, "generation": {"max_new_tokens": 5, "batch_size": 2}},
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(sections))
    return read_settings(tmp_path / "settings.yaml", ["run.output_dir", str(tmp_path / "run")])


def test_a_method_brings_its_own_settings(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    assert (settings.run.stage, settings.run.grpo.lr) == ("prompt", {"prompt": 1e-5})
    for option, field in (
        ("model.weaver=paper", "model.weaver"),
        ("model.length=0", "model.length"),
        ("run.stage=weaver", "run.stage"),
        ("run.method=grpo", "run.method"),
        ("run.grpo.lr.weaver=0.1", "run.grpo.lr.weaver"),
        ("run.grpo.invocation_penalty=0.1", "run.grpo.invocation_penalty"),
    ):
        with pytest.raises(FieldError) as caught:
            read_settings(path, ["run.output_dir=out", "run.mode=train", "dataset.train_file=x", option])
        assert caught.value.field == field
    with pytest.raises(FieldError, match=r"model\.method: got 'soft'; allowed: one of memgen, soft_prompt"):
        read_settings(path, ["model.method=soft"])
    with pytest.raises(FieldError, match=r"near: model\.length"):
        read_settings(path, ["model.lenght=4"])


def test_a_method_is_built_evaluated_and_read_again(settings: Settings, tmp_path: Path) -> None:
    """Through the runner. The loss is that of a plain forward pass with the vectors in front."""
    summary = MemGenRunner(settings).evaluate()
    lines = (tmp_path / "run" / "evaluation-soft_prompt" / "examples.jsonl").read_text().splitlines()
    assert [json.loads(line)["latents"] for line in lines] == [0, 0, 0]
    assert summary["examples"] == 3 and summary["latents"] == 0 and summary["tokens"] <= 5
    model, tokenizer = MemGenRunner(settings).load()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["prompt"]
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert type(method_of_checkpoint(tmp_path / "saved")) is METHODS.load("soft_prompt")
    settings.model.load_model_path = str(tmp_path / "saved")
    assert MemGenRunner(settings).evaluate()["loss"] == pytest.approx(summary["loss"], abs=1e-6)
    trained, _ = MemGenRunner(settings).load()
    with torch.no_grad():
        trained.get_parameter("prompt").zero_()
    trained.save_pretrained(tmp_path / "saved")
    assert abs(MemGenRunner(settings).evaluate()["loss"] - summary["loss"]) > 1e-3
    settings.model.method = "memgen"
    with pytest.raises(FieldError, match=r"model\.method"):
        MemGenRunner(settings).load()


def test_state_between_turns_is_kept_as_safetensors(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that keeps tensors finds them again in the next run; one that keeps none refuses the setting."""
    method = METHODS.load("soft_prompt")
    kept: list[dict[str, torch.Tensor]] = []
    settings.run.generation.state = str(tmp_path / "memory.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(method, "state", lambda self, model: {"seen": torch.tensor([len(kept) + 1])})
        patch.setattr(method, "set_state", lambda self, model, state: kept.append(dict(state)))
        MemGenRunner(settings).generate(["red"])
        assert kept == []
        MemGenRunner(settings).generate(["blue"])
    assert [state["seen"].tolist() for state in kept] == [[1]]
    assert load_file(tmp_path / "memory.safetensors")["seen"].tolist() == [2]
    with pytest.raises(FieldError, match=r"run\.generation\.state: .*keeps nothing between turns"):
        read_settings(tmp_path / "settings.yaml", ["run.output_dir", "out", "run.generation.state", "x"])


async def answer(ids: list[int], sampling: dict[str, Any], start: int) -> ServerAnswer:
    assert (ids, sampling["stop_token_ids"], sampling["max_new_tokens"], start) == ([3, 4], [9], 5, -1)
    return ServerAnswer([7, 9], [-0.5, -0.25], 0, stopped=True)


def test_a_rollout_is_one_request_and_every_id_an_action(settings: Settings) -> None:
    method = method_of("soft_prompt")
    options = {"stage": "prompt", "max_new_tokens": 5, "temperature": 1.0, "stop_ids": {9}}
    found = asyncio.run(method.roll_out(None, [3, 4], answer, **options))
    counts = {"tokens": 2, "latents": 0}
    assert found == Rollout([7, 9], [7, 9], [-0.5, -0.25], "stop", counts, actions=[1, 1])
    assert method.penalty_weight(settings.run) == 0 and method.served_model(None) is None
    model, _ = MemGenRunner(settings).load()
    with pytest.raises(FieldError, match="a method that SGLang can serve"):
        method.export_for_sglang(model, Path("unused"))


PARTS = ("weaver", "trigger", "invocation", "MemGenConfig", "MemGenModel")
ROOMS = ("base", "data", "tasks", "settings", "training", "serving")
FILES = ("cli", "runner", "loading", "evaluation", "run_folder", "sections", "state")


def code_words(path: Path) -> Iterator[str]:
    """Names and texts of a file's code, docstrings left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        for key in ("id", "attr", "arg", "name", "module"):
            if isinstance(getattr(node, key, None), str):
                yield getattr(node, key)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and not isinstance(node, ast.Expr):
                yield child.value


def test_shared_rooms_name_no_part_of_memgen() -> None:
    """Only the table of methods says where MemGen is."""
    shared = [path for room in ROOMS for path in (ROOT / "memgen" / room).rglob("*.py")]
    shared += [ROOT / "memgen" / f"{name}.py" for name in FILES]
    assert len(shared) > 30
    found = [(path.name, word) for path in shared for word in code_words(path) if any(part in word for part in PARTS)]
    assert found == []
    in_the_contract = {
        word for word in code_words(ROOT / "memgen" / "methods.py") if any(part in word for part in PARTS)
    }
    assert in_the_contract == {"memgen.weaver.method:MemGenMethod"}
