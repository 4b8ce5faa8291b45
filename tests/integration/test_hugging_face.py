"""A MemGen model in the hands of Hugging Face's own tools: what they save, load, resume and generate."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from hugging_face_models import COMMIT, Made, assert_same_tensors, hub_cache, make
from huggingface_hub import CommitOperationAdd, HfApi
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    TextIteratorStreamer,
    TextStreamer,
    pipeline,
)
from transformers.generation import LogitsProcessorList, MaxLengthCriteria, StoppingCriteriaList

from memgen.weaver import MemGenModel
from memupdate.errors import DataError, FieldError

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("hugging-face"))


@pytest.fixture(scope="module")
def saved(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its tokenizer."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    made.model().save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def losses(trainer: Any) -> dict[int, float]:
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


# -- Trainer


@pytest.fixture(scope="module")
def trained(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Six steps without interruption, on the weaver's dropout too."""
    trainer = made.trainer(made.model(), tmp_path_factory.mktemp("trainer"))
    trainer.train()
    return trainer


def test_a_trainers_checkpoint_opens_with_the_trained_tensors(trained: Any, made: Made) -> None:
    folder = Path(trained.args.output_dir)
    loaded = AutoModelForCausalLM.from_pretrained(folder / "checkpoint-6")
    assert_same_tensors(loaded, trained.model)
    before = made.model().state_dict()
    changed = {key for key, tensor in loaded.state_dict().items() if not torch.equal(tensor, before[key])}
    assert any("lora_B" in key for key in changed) and not [key for key in changed if key.endswith("proj.weight")]


@pytest.mark.parametrize("sharded", [False, True])
def test_a_trainer_resumes_exactly(sharded: bool, trained: Any, made: Made, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-3"
    shutil.copytree(Path(trained.args.output_dir) / checkpoint.name, checkpoint)
    if sharded:
        model = MemGenModel.from_pretrained(checkpoint)
        (checkpoint / "model.safetensors").unlink()
        model.save_pretrained(checkpoint, max_shard_size="60KB")
        assert len(list(checkpoint.glob("model-*.safetensors"))) > 2
        assert_same_tensors(MemGenModel.from_pretrained(checkpoint), model)
    resumed = made.trainer(made.model(), tmp_path)
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed) == losses(trained)
    assert len(losses(resumed)) == 6
    assert_same_tensors(resumed.model, trained.model)


def test_a_trainer_loads_its_best_model(made: Made, tmp_path: Path) -> None:
    trainer = made.trainer(
        made.model(),
        tmp_path,
        max_steps=3,
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        learning_rate=3.0,  # the first step makes it worse, the others better
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=True,
    )
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    assert best.name == "checkpoint-1"
    assert_same_tensors(trainer.model, MemGenModel.from_pretrained(best))
    worst = MemGenModel.from_pretrained(tmp_path / "checkpoint-3").state_dict()
    different = [key for key, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, worst[key])]
    assert any("lora_A" in key for key in different)


def test_gradient_checkpointing_changes_no_loss(made: Made, trained: Any, tmp_path: Path) -> None:
    trainer = made.trainer(made.model(), tmp_path, max_steps=2, save_strategy="no", gradient_checkpointing=True)
    trainer.train()
    for step, loss in losses(trainer).items():
        assert loss == pytest.approx(losses(trained)[step], abs=1e-5)
    with pytest.raises(FieldError, match="use_reentrant"):
        made.model().gradient_checkpointing_enable({"use_reentrant": True})


def test_trls_trainer_is_refused_with_the_reason(made: Made, tmp_path: Path) -> None:
    """TRL computes logits from hidden states by itself. Without the gate this would be another policy's loss."""
    # In a folder of its own, because verl's workers do not start beside this TRL.
    lock = ROOT / "docker" / "requirements-trl.txt"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--no-deps"]
    subprocess.run([*pip, "--target", str(tmp_path / "trl"), "-r", str(lock)], check=True, timeout=DEADLINE_S)
    paths = os.pathsep.join([str(tmp_path / "trl"), str(Path(__file__).parent), str(ROOT)])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "trl_trainer.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"SFTTrainer .* transformers\.Trainer", done.stdout), done.stdout[-3000:]
    # The other half of the reason: with the model's own logits the policy is the gated one.
    assert not hasattr(made.model()(torch.tensor([made.rows[0]["input_ids"]])), "last_hidden_state")


# -- where a model is loaded from


def test_a_hubs_cache_and_a_subfolder_hold_the_adapters(saved: Path, made: Made, tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(saved, files / "inner")
    hub_cache(saved, tmp_path / "cache", "someone/latent")
    hub_cache(files, tmp_path / "cache", "someone/nested", branch="trained")
    wanted = made.model()
    cached: dict[str, Any] = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    nested = {"revision": "trained", "subfolder": "inner"}
    for model in (
        MemGenModel.from_pretrained("someone/latent", **cached),
        AutoModelForCausalLM.from_pretrained("someone/latent", revision=COMMIT, **cached),
        AutoModelForCausalLM.from_pretrained("someone/nested", **nested, **cached),
        MemGenModel.from_pretrained(files, subfolder="inner"),
    ):
        assert_same_tensors(model, wanted)
    missing = tmp_path / "cache" / "models--someone--latent" / "snapshots" / COMMIT / "weaver_adapter"
    (missing / "adapter_model.safetensors").unlink()
    with pytest.raises(DataError, match="adapter_model"):
        MemGenModel.from_pretrained("someone/latent", **cached)


ELSEWHERE = """
import sys
import torch
from transformers import AutoModelForCausalLM
try:
    AutoModelForCausalLM.from_pretrained("someone/latent", trust_remote_code=False)
except ValueError as error:
    assert "trust_remote_code" in str(error), error
else:
    raise SystemExit("it opened without the user's consent")
ours = {name: sys.modules.get(name) for name in ("memgen.weaver.config",)}
sys.modules["memgen.weaver.config"] = None
try:
    AutoModelForCausalLM.from_pretrained("someone/latent", trust_remote_code=True)
except ImportError as error:
    assert "pip install 'memupdate[train]'" in str(error), error
else:
    raise SystemExit("it opened without memgen")
del sys.modules["memgen.weaver.config"]
model = AutoModelForCausalLM.from_pretrained("someone/latent", trust_remote_code=True)
print(type(model).__module__, model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=6).tolist())
import memgen
assert type(model) is memgen.MemGenModel
model.save_pretrained(sys.argv[1])
"""
WITH_IMPORT = """
import sys
import memgen
assert "torch" not in sys.modules
from memgen import MemGenModel
from transformers import AutoConfig, AutoModelForCausalLM
assert AutoConfig.from_pretrained("someone/latent").model_type == "memgen"
assert type(AutoModelForCausalLM.from_pretrained("someone/latent")) is MemGenModel
"""


@pytest.mark.parametrize("program", [ELSEWHERE, WITH_IMPORT])
def test_another_process_opens_it(program: str, saved: Path, made: Made, tmp_path: Path) -> None:
    hub_cache(saved, tmp_path / "home" / "hub", "someone/latent")
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "again")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    if program is ELSEWHERE:
        ids = made.model().generate(torch.tensor([[5, 6, 7]]), max_new_tokens=6).tolist()
        assert done.stdout.split(" ", 1) == ["memgen.weaver.modeling", f"{ids}\n"]
        again = json.loads((tmp_path / "again" / "config.json").read_text())
        assert again["auto_map"]["AutoConfig"] == "modeling_memgen.MemGenConfig"
        assert not [file for file in (tmp_path / "again").glob("*.py") if file.name != "modeling_memgen.py"]


# -- publishing


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub that keeps the files of the commits that it gets."""
    state: dict[str, Any] = {"commits": [], "files": {}, "card": False}

    def create_commit(self: HfApi, repo_id: str, operations: Any, **kwargs: Any) -> Any:
        assert all(isinstance(one, CommitOperationAdd) for one in operations)
        for one in operations:
            with one.as_file() as file:
                state["files"][one.path_in_repo] = file.read()
        state["commits"].append((repo_id, kwargs.get("commit_message")))
        return type("Commit", (), {"commit_url": f"hub/{repo_id}/commit/1", "pr_url": None, "oid": COMMIT})()

    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: type("Url", (), {"repo_id": repo_id})())
    monkeypatch.setattr(HfApi, "file_exists", lambda self, repo_id, name, **_: state["card"])
    return state


@pytest.mark.parametrize("way", ["save_pretrained", "push_to_hub"])
def test_a_model_is_published_whole_in_one_commit(way: str, hub: dict, made: Made, tmp_path: Path) -> None:
    model = made.model()
    if way == "push_to_hub":
        assert model.push_to_hub("someone/latent", commit_message="First") == "hub/someone/latent/commit/1"
    else:
        (tmp_path / "local").mkdir()
        (tmp_path / "local" / "notes.txt").write_text("the user's own")
        model.save_pretrained(tmp_path / "local", push_to_hub=True, repo_id="someone/latent", commit_message="First")
    assert hub["commits"] == [("someone/latent", "First")]
    for name, content in hub["files"].items():
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_bytes(content)
    assert_same_tensors(MemGenModel.from_pretrained(tmp_path / "hub"), model)
    assert "README.md" in hub["files"] and "notes.txt" not in hub["files"]
    hub["files"].clear()
    hub["card"] = True
    model.push_to_hub("someone/latent")
    assert "README.md" not in hub["files"] and "modeling_memgen.py" in hub["files"]  # its author's card stays


def test_the_model_card_says_what_it_is(made: Made, tmp_path: Path) -> None:
    model = made.model()
    model.config.text_config._name_or_path = "someone/base"
    model.save_pretrained(tmp_path)
    _, front, text = (tmp_path / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "base_model": "someone/base",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["memgen", "latent-memory"],
    }
    assert "MemGenModel.from_pretrained" in text and "trust_remote_code=True" in text and "`weaver_adapter`" in text
    (tmp_path / "README.md").write_text("mine")
    MemGenModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    made.model().save_pretrained(tmp_path / "local")  # its base is a folder of this machine
    assert str(made.base) not in (tmp_path / "local" / "README.md").read_text()


# -- generation


def test_without_latents_it_generates_what_the_base_generates(made: Made) -> None:
    """The oracle is Hugging Face's own generation."""
    base = AutoModelForCausalLM.from_pretrained(made.base).eval()
    model = made.model(mode="never").eval()
    made.tokenizer.padding_side = "left"
    inputs = made.tokenizer(["Say it back: red", "blue"], return_tensors="pt", padding=True)
    for changes in (
        {"max_new_tokens": 9},
        {"max_length": 20},
        {"max_new_tokens": 5, "num_return_sequences": 1, "use_cache": False},
        {"generation_config": GenerationConfig(max_new_tokens=7, num_beams=1)},
        {},
    ):
        wanted = base.generate(**inputs, **changes)
        width = wanted.shape[1]
        for found in (
            model.generate(**inputs, **changes),
            model.generate(inputs.input_ids, attention_mask=inputs.attention_mask, **changes),
            model.generate(inputs=inputs.input_ids, attention_mask=inputs.attention_mask, **changes),
        ):
            # The base may name a reserved id, which is never the text of this model.
            assert torch.equal(found[:, :width], wanted)
    stop = int(wanted[0, -3])
    wanted = base.generate(**inputs, max_new_tokens=20, eos_token_id=stop, return_dict_in_generate=True)
    found = model.generate(**inputs, max_new_tokens=20, eos_token_id=stop, return_dict_in_generate=True)
    assert torch.equal(found.sequences, wanted.sequences)


def test_a_pipeline_and_streamers_give_the_text_of_generate(made: Made) -> None:
    model, tokenizer = made.model(mode="always").eval(), made.tokenizer
    prompt = tokenizer("red, blue", return_tensors="pt")
    greedy = {"max_new_tokens": 16, "do_sample": False}
    ids = model.generate(**prompt, **greedy)[0]
    rows = model.generate(prompt.input_ids.tolist(), max_new_tokens=16, stop_ids=[tokenizer.eos_token_id], seeds=[0])
    assert rows.rows[0].blocks > 1  # latents are inserted, and no reserved id is in the text
    assert not set(ids.tolist()) & set(model.rules.reserved.all)
    text = tokenizer.decode(ids[prompt.input_ids.shape[1] :], skip_special_tokens=True)
    talk = pipeline("text-generation", model=model, tokenizer=tokenizer)
    assert talk("red, blue", return_full_text=False, **greedy) == [{"generated_text": text}]
    both = talk(
        [[{"role": "user", "content": "red"}], [{"role": "user", "content": "green, pink"}]], batch_size=2, **greedy
    )
    alone = talk([{"role": "user", "content": "red"}], **greedy)
    assert both[0] == alone
    assert len(talk("red", num_return_sequences=3, max_new_tokens=4, do_sample=True, temperature=0.9)) == 3
    written: list[str] = []

    class Written(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            written.append(text)

    model.generate(**prompt, **greedy, streamer=Written(tokenizer, skip_prompt=True, skip_special_tokens=True))
    assert "".join(written) == text
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=DEADLINE_S, skip_special_tokens=True)
    thread = threading.Thread(target=model.generate, kwargs={**prompt, **greedy, "streamer": streamer})
    thread.start()
    assert "".join(streamer) == text
    thread.join(DEADLINE_S)
    torch.manual_seed(3)
    first = model.generate(**prompt, max_new_tokens=8, do_sample=True)
    torch.manual_seed(3)
    assert torch.equal(model.generate(**prompt, max_new_tokens=8, do_sample=True), first)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"num_beams": 2}, "num_beams"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"generation_config": GenerationConfig(num_beams=3)}, "num_beams"),
        ({"output_scores": True}, "output_scores"),
        ({"stop_strings": ["x"]}, "stop_strings"),
        ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens"),
        ({"logits_processor": LogitsProcessorList([lambda ids, scores: scores])}, "generate"),
        ({"stopping_criteria": StoppingCriteriaList([MaxLengthCriteria(5)])}, "generate"),
        ({"inputs_embeds": torch.zeros(1, 2, 48)}, "generate"),
        ({"wrong_name": 1}, "generate"),
        ({"max_new_tokens": 100_000}, "max_new_tokens"),
        ({"inputs": torch.ones(1, 2, dtype=torch.long)}, "input_ids"),
    ],
)
def test_what_it_cannot_generate_is_refused(arguments: dict, field: str, generating: MemGenModel) -> None:
    with pytest.raises(FieldError) as error:
        generating.generate(input_ids=torch.tensor([[5, 6]]), **arguments)
    assert error.value.field == field
    with pytest.raises(ValueError, match="max_new_tokens"):  # Hugging Face's own check
        generating.generate(torch.tensor([[5, 6]]), max_new_tokens=0)


@pytest.fixture(scope="module")
def generating(made: Made) -> MemGenModel:
    return made.model()


# -- devices, dtypes and accelerate


def test_accelerate_prepares_and_saves_it(made: Made, tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    model = made.model()
    prepared = accelerator.prepare(model)
    accelerator.unwrap_model(prepared).save_pretrained(
        tmp_path,
        is_main_process=accelerator.is_main_process,
        save_function=accelerator.save,
        state_dict=accelerator.get_state_dict(prepared),
    )
    assert_same_tensors(MemGenModel.from_pretrained(tmp_path), model)
    partial = {key: tensor for key, tensor in model.state_dict().items() if "lora" not in key}
    with pytest.raises(FieldError, match="lora_A_weaver"):
        model.save_pretrained(tmp_path, state_dict=partial)


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_it_loads_onto_one_device(device_map: Any, saved: Path, made: Made) -> None:
    model = AutoModelForCausalLM.from_pretrained(saved, device_map=device_map)
    assert_same_tensors(model, made.model())
    half = model.to(torch.bfloat16)
    assert half.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4).shape == (1, 7)


def test_what_it_cannot_load_is_refused(saved: Path, tmp_path: Path) -> None:
    spread = {"reasoner": "cpu", "weaver": "cpu", "trigger": "disk"}
    with pytest.raises(FieldError, match="device_map"):
        MemGenModel.from_pretrained(saved, device_map=spread, offload_folder=tmp_path)
    with pytest.raises(FieldError, match="variant"):
        MemGenModel.from_pretrained(saved, variant="fp16")
    with pytest.raises(FieldError, match="variant"):
        MemGenModel.from_pretrained(saved).save_pretrained(tmp_path, variant="fp16")
    with pytest.raises(FieldError, match="quantization_config"):
        MemGenModel.from_pretrained(saved, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
