"""Writes a MemGen checkpoint for SGLang: the base model together with the tensors of the weaver and the trigger.

One folder holds all tensors. So SGLang's ``update_weights_from_disk`` updates all of them in place, and with
``flush_cache`` it drops every cached latent.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from memgen.base.adapters import adapted_layers
from memgen.weaver.modeling import MemGenModel
from memgen.weaver.shared_weaver import SharedWeaver
from memgen.weaver.stream import INFERENCE, PROMPT
from memgen.weaver.triggers import HeadTrigger
from memupdate.errors import FieldError

# Prefix of the names of the weaver's and the trigger's tensors.
PREFIX = "memgen."
# What the server needs of the model's config: with it, it tells a stream from a malformed request.
SERVED_SETTINGS = ("prompt_ids", "inference_ids", "delimiter_ids", "max_prompt_aug_num", "max_inference_aug_num")
ARCHITECTURES = {
    "qwen2": "MemGenQwen2ForCausalLM",
    "qwen3": "MemGenQwen3ForCausalLM",
    "llama": "MemGenLlamaForCausalLM",
}


def export_for_sglang(model: MemGenModel, folder: str | Path) -> None:
    """Writes ``config.json`` and ``model.safetensors`` for SGLang. The caller must save the tokenizer to the folder.

    Args:
        model: a model with the ``shared`` weaver and the ``head`` trigger, in the dtype that SGLang will serve.
        folder: folder of the files. It is created if it does not exist.

    Raises:
        FieldError: the weaver is not ``shared`` or the trigger is not ``head``, an adapter targets layers other than
            q_proj and v_proj, numbers are exempt from the delimiters (the server sees one id at a time), or
            ``memgen.weaver.sglang`` has no class for the architecture.
    """
    config = model.config
    if not (isinstance(model.weaver, SharedWeaver) and isinstance(model.trigger, HeadTrigger)):
        raise FieldError("weaver, trigger", (config.weaver, config.trigger), "shared, head: what SGLang can serve")
    if config.separator_ids:
        raise FieldError("separator_ids", len(config.separator_ids), "none: in SGLang the gate sees only the last id")
    kind = config.text_config.model_type
    if kind not in ARCHITECTURES:
        raise FieldError("text_config.model_type", kind, ", ".join(ARCHITECTURES))
    targets = set(config.lora("weaver").target_modules)
    if not targets <= {"q_proj", "v_proj"}:
        raise FieldError("weaver_lora.target_modules", sorted(targets), "q_proj and v_proj")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = config.text_config.to_dict() | {
        "architectures": [ARCHITECTURES[kind]],
        "torch_dtype": str(model.dtype).removeprefix("torch."),
        "memgen": {name: getattr(config, name) for name in SERVED_SETTINGS},
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    base = {name: tensor for name, tensor in model.reasoner.state_dict().items() if ".lora_" not in name}
    if config.text_config.tie_word_embeddings:
        base.pop("lm_head.weight", None)
    tensors = base | {PREFIX + name: tensor for name, tensor in latent_tensors(model).items()}
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(copies, folder / "model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def latent_tensors(model: MemGenModel) -> dict[str, torch.Tensor]:
    """Returns the tensors that the server needs in addition to the base model.

    Returns:
        ``queries`` (Kp + Ki, D) with norm and scale applied, the queries of the prompt block first;
        ``projection.weight`` and ``projection.bias``; ``trigger.weight`` (D) and ``trigger.bias`` (1), both as insert
        minus skip; and for each adapted projection ``{layer}.{q|v}.A`` (r, D) and ``{layer}.{q|v}.B`` (out, r). B is
        multiplied by alpha / rank.
    """
    weaver, head = model.weaver, model.trigger.output_layer
    tensors = {
        "queries": torch.cat([weaver.queries(PROMPT), weaver.queries(INFERENCE)]),
        "projection.weight": weaver.weaver_to_reasoner.weight,
        "projection.bias": weaver.weaver_to_reasoner.bias,
        "trigger.weight": head.weight[1] - head.weight[0],
        "trigger.bias": head.bias[1:] - head.bias[:1],
    }
    for path, layer in adapted_layers(model.reasoner.model, weaver.adapter).items():
        _, index, *_, projection = path.split(".")
        down, up = layer.matrices(weaver.adapter)
        settings = layer.settings[weaver.adapter]
        tensors[f"{index}.{projection[0]}.A"] = down
        tensors[f"{index}.{projection[0]}.B"] = up * (settings.alpha / settings.rank)
    return tensors
