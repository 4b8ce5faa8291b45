"""Checkpoints: Hugging Face's layout, PEFT's adapters, and no tensor missed in silence (G3, G23, G35, G46)."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from small_tokenizer import small_tokenizer
from tiny_models import prompts, randomise, tiny_base, tiny_memgen
from transformers import AutoConfig, AutoModelForCausalLM

from memgen.weaver import LoraSettings, MemGenConfig, MemGenModel, build_memgen
from memgen.weaver.stream import weave_text
from memupdate.errors import DataError, FieldError


@pytest.mark.parametrize(("weaver", "trigger", "separate"), [("shared", "head", False), ("paper", "paper", True)])
@pytest.mark.parametrize("tied", [False, True])
def test_saved_and_loaded_is_the_same(weaver: str, trigger: str, separate: bool, tied: bool, tmp_path: Path) -> None:
    """G23, G46: AutoModelForCausalLM opens it; every tensor is equal, so are logits and tokens."""
    model = tiny_memgen(weaver, trigger, separate=separate, base={"tie_word_embeddings": tied})
    model.save_pretrained(tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]
    lora = {key for key in load_file(tmp_path / "model.safetensors") if "lora" in key}
    assert lora == {key for key in model.state_dict() if "lora" in key}  # where every loader of Hugging Face finds them
    torch.manual_seed(99)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, MemGenModel) and not loaded.training
    state, other = model.state_dict(), loaded.state_dict()
    assert state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)
    trainable = [{name for name, p in m.named_parameters() if p.requires_grad} for m in (model, loaded)]
    assert trainable[0] == trainable[1]
    rows = [m.double().generate(prompts((5, 9)), max_new_tokens=20, seeds=[1, 2]).rows for m in (model, loaded)]
    assert sum(row.blocks for row in rows[0]) > 1
    for before, after in zip(*rows, strict=True):
        assert before.response_ids == after.response_ids and before.decisions == after.decisions
        # Not bit by bit: the alignment of a tensor in memory decides which kernel multiplies it.
        torch.testing.assert_close(torch.tensor(before.log_probs), torch.tensor(after.log_probs), atol=1e-6, rtol=0)
    config = AutoConfig.from_pretrained(tmp_path)
    assert all(
        getattr(config, name) == getattr(model.config, name) for name in config.own_fields() - config.sub_configs.keys()
    )


def test_adapters_are_peft_adapters(tmp_path: Path) -> None:
    """G46: PEFT itself opens the weaver's adapter on the base model and computes what our layers compute."""
    model = tiny_memgen("paper", "paper")
    model.save_pretrained(tmp_path)
    for name in ("weaver", "trigger"):
        with_peft = PeftModel.from_pretrained(tiny_base(), str(tmp_path / f"{name}_adapter")).eval()
        ids = torch.tensor(prompts((9,)))
        with torch.no_grad():
            expected = with_peft.base_model.model.model(ids).last_hidden_state
            from memgen.base.adapters import AdapterUse, active_adapters

            with active_adapters(model.reasoner.model).use([AdapterUse(name)]):
                found = model.reasoner.model(ids).last_hidden_state
            plain = model.reasoner.model(ids).last_hidden_state
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        assert (plain - expected).abs().max() > 0.01


def test_one_base_is_held_once() -> None:
    """G3: where weaver and trigger share the reasoner's base, its weights exist once."""
    model = tiny_memgen("paper", "paper")
    base = sum(p.numel() for p in tiny_base().parameters())
    mine = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert mine == base
    assert {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad} == {"reasoner"}


def edit(file: Path, change: str) -> None:
    tensors = load_file(file)
    key = sorted(key for key in tensors if "norm" not in key)[0]
    if change == "missing":
        del tensors[key]
    elif change == "extra":
        tensors["model.surprise.weight"] = torch.zeros(2)
    else:
        tensors[key] = torch.cat([tensors[key], tensors[key]])
    save_file(tensors, file, metadata={"format": "pt"})


def test_training_goes_on_from_a_checkpoint_exactly(tmp_path: Path) -> None:
    """G24: model and optimiser saved after two steps: the next two are those of a run that was not cut."""
    rows = torch.tensor([weave_text(tiny_memgen().rules, *prompts((5, 20)))])

    def steps(model: MemGenModel, optimiser: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            loss = model(rows, prompt_lengths=torch.tensor([5]), labels=rows).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def adam(model: MemGenModel) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    uncut = tiny_memgen(weaver="paper")
    optimiser = adam(uncut)
    steps(uncut, optimiser, 2)
    uncut.save_pretrained(tmp_path)
    kept = copy.deepcopy(optimiser.state_dict())
    steps(uncut, optimiser, 2)
    resumed = AutoModelForCausalLM.from_pretrained(tmp_path)
    optimiser = adam(resumed)
    optimiser.load_state_dict(kept)
    steps(resumed, optimiser, 2)
    for name, parameter in uncut.named_parameters():
        torch.testing.assert_close(resumed.get_parameter(name), parameter, atol=1e-6, rtol=0)
    assert uncut.parameter_digest(None) == resumed.parameter_digest(None)


@pytest.mark.parametrize("file", ["model.safetensors", "weaver_adapter/adapter_model.safetensors"])
@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_checkpoint_that_does_not_fit_is_refused(file: str, change: str, tmp_path: Path) -> None:
    """G23, bad input: a missing key is an error, so is an extra one or another shape; the message names it."""
    tiny_memgen().save_pretrained(tmp_path)
    edit(tmp_path / file, change)
    named = {"missing": "missing", "extra": "surprise", "shape": "shape"}[change]
    with pytest.raises(FieldError, match=named):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_other_misfits_are_refused(tmp_path: Path) -> None:
    """Bad input: no adapter, an adapter of another rank, another hidden size."""
    tiny_memgen().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"weaver_lora": config["weaver_lora"] | {"rank": 8}}))
    with pytest.raises(FieldError, match=r"adapter_config\.json: r"):
        MemGenModel.from_pretrained(tmp_path)
    changed = config["text_config"] | {"hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config | {"text_config": changed}))
    with pytest.raises(FieldError, match="shape"):
        MemGenModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weaver_adapter" / "adapter_config.json").unlink()
    with pytest.raises(DataError, match=r"adapter_config\.json"):
        MemGenModel.from_pretrained(tmp_path)


def test_an_adapter_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    """G23, bad input: another alpha, and other values, in the copy that PEFT opens."""
    tiny_memgen().save_pretrained(tmp_path)
    file = tmp_path / "weaver_adapter" / "adapter_config.json"
    whole = file.read_text()
    file.write_text(json.dumps(json.loads(whole) | {"lora_alpha": 16}))
    with pytest.raises(FieldError, match=r"adapter_config\.json: lora_alpha: got 16; allowed: 8,"):
        MemGenModel.from_pretrained(tmp_path)
    file.write_text(whole)
    weights = tmp_path / "weaver_adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    last = sorted(tensors)[-1]
    tensors[last][0, 0] += 1e-3
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(FieldError, match="other values") as error:
        MemGenModel.from_pretrained(tmp_path)
    assert last in str(error.value)


def test_what_hugging_face_adds_to_a_config_is_accepted(tmp_path: Path) -> None:
    """Trainers set ``use_cache``; loaders add ``auto_map``, with the hub's name. A new save has neither's traces."""
    model = tiny_memgen()
    model.config.use_cache = False
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["use_cache"] is False
    config["auto_map"] = {name: f"someone/latent--{place}" for name, place in config["auto_map"].items()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    MemGenConfig.from_pretrained(tmp_path).save_pretrained(tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert "--" not in str(again["auto_map"]) and "use_cache" not in again
    # verl would copy the source of FSDP's class into its checkpoints, and put a key None into the map.
    assert not hasattr(MemGenModel.from_pretrained(tmp_path).config, "auto_map")


def test_half_precision_survives(tmp_path: Path) -> None:
    """G35."""
    tiny_memgen("paper", "paper").bfloat16().save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


def test_built_around_a_reasoner_and_its_tokenizer(tmp_path: Path) -> None:
    """G41, bad input: reserved tokens get rows of their own, base weights stay, another tokenizer is refused."""
    tokenizer = small_tokenizer()
    base = tiny_base(vocab_size=len(tokenizer))
    before = {key: tensor.clone() for key, tensor in base.state_dict().items()}
    lora = LoraSettings(rank=2, alpha=4, dropout=0.0)
    model = build_memgen(
        base, tokenizer, prompt_latents=2, inference_latents=3, generation_prefix="assistant\n", weaver_lora=lora
    )
    assert model.config.vocab_size == len(tokenizer)
    for key, tensor in before.items():
        assert torch.equal(model.reasoner.state_dict()[key][: len(tensor)], tensor), key
    randomise(model)
    (row,) = model.generate([tokenizer.encode("user\nWhy?assistant\n")], max_new_tokens=10, seeds=[0]).rows
    assert row.text_ids
    model.config.check_tokenizer(tokenizer)
    with pytest.raises(FieldError, match="tokenizer"):
        model.config.check_tokenizer(small_tokenizer(290))
    with pytest.raises(FieldError, match=r"prompts\[0\]"):
        model.generate([tokenizer.encode("hi <|latent_inference_0|>")], max_new_tokens=4)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"wever": "paper"}, "MemGenConfig"),
        ({"weaver": "other"}, "weaver"),
        ({"trigger": "other"}, "trigger"),
        ({"mode": "sometimes"}, "mode"),
        ({"temperature": 0.0}, "temperature"),
        ({"max_inference_aug_num": -1}, "max_inference_aug_num"),
        ({"max_prompt_aug_num": -1}, "max_prompt_aug_num"),
        ({"prompt_ids": []}, "prompt_ids"),
        ({"inference_ids": [160]}, "prompt_ids, inference_ids or delimiter_ids"),
        ({"delimiter_ids": [152]}, "delimiter_ids"),
        ({"trainable": ["reasoner"]}, "trainable"),
        ({"weaver_lora": {"rnk": 3}}, "weaver_lora"),
        ({"weaver_lora": {"rank": 0}}, "rank"),
        ({"trigger_config": tiny_base("qwen2").config}, "trigger_config"),
        ({"weaver_config": tiny_base("qwen2").config}, "weaver_config"),
    ],
)
def test_bad_configs_are_refused_by_name(changes: dict, field: str) -> None:
    """G34, bad input: an unknown key is an error; K = 0, caps below zero, reserved ids among the delimiters."""
    settings = {"prompt_ids": [152], "inference_ids": [153], "delimiter_ids": [2]} | changes
    with pytest.raises(FieldError) as error:
        MemGenConfig(text_config=tiny_base().config, **settings)
    assert error.value.field == field


def test_base_models_that_the_engine_does_not_cover_are_refused() -> None:
    from transformers import GPT2Config, LlamaConfig, Qwen2Config

    sliding = Qwen2Config(use_sliding_window=True, max_window_layers=0, num_hidden_layers=2)
    dynamic = LlamaConfig(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})
    for config, field in (
        (GPT2Config(), "text_config.model_type"),
        (sliding, "text_config.layer_types"),
        (dynamic, "text_config.rope_parameters.rope_type"),
    ):
        with pytest.raises(FieldError) as error:
            MemGenConfig(text_config=config, prompt_ids=[5], inference_ids=[6], delimiter_ids=[7])
        assert error.value.field == field
    with pytest.raises(FieldError, match="target_modules"):
        tiny_memgen(weaver_lora={"target_modules": ["no_such_proj"]})
