"""The configuration of a MemGen model, stored as ``config.json`` in its checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from inspect import get_annotations
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from memgen.base.adapters import LoraSettings
from memgen.base.decoder import check_supported
from memgen.weaver.gate import MODES
from memgen.weaver.kinds import TRIGGERS, WEAVERS
from memgen.weaver.stream import DelimiterTable, ReservedIds, StreamRules
from memupdate.checks import check_choice
from memupdate.errors import FieldError

# The components that can be trained.
COMPONENTS = ("weaver", "trigger")
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Arguments that are not fields of the config: Hugging Face's loaders pass them, or trainers add them to any config.
FROM_HUGGING_FACE = {"model_type", "name_or_path", "attn_implementation", "auto_map", "use_cache", *TOKEN_IDS}
# The file of a checkpoint with which Hugging Face opens it if memgen was not imported, and the names it defines.
REMOTE_CODE = "modeling_memgen.py"
AUTO_MAP = {"AutoConfig": "modeling_memgen.MemGenConfig", "AutoModelForCausalLM": "modeling_memgen.MemGenForCausalLM"}


def tokenizer_digest(tokenizer: Any) -> str:
    """Returns a hash of a tokenizer's vocabulary. A checkpoint uses it to recognise its tokenizer."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]), ensure_ascii=True)
    return hashlib.sha256(vocabulary.encode()).hexdigest()[:16]


@strict
class MemGenConfig(PreTrainedConfig):
    """Configuration of a MemGen model.

    Attributes:
        text_config: the reasoner's config. Hugging Face finds the language model of a composite model by this name.
        weaver_config: config of a separate base model for the weaver (``paper`` only), or None if the weaver uses the
            reasoner's base model.
        trigger_config: config of a separate base model for the trigger (``paper`` only), or None.
        weaver: ``paper`` or ``shared``.
        trigger: ``paper`` or ``head``.
        mode: ``learned`` (the trigger decides), ``always`` (a block is inserted wherever the trigger would be asked) or
            ``never`` (no latents, the vanilla model).
        prompt_ids, inference_ids: the reserved ids of the two kinds of block. Their number is the number of latents.
        delimiter_ids, separator_ids, digit_ids: see :class:`memgen.weaver.stream.DelimiterTable`.
        max_prompt_aug_num: number of turns, from the first, whose prompt may end in a block.
        max_inference_aug_num: maximum number of blocks after delimiters in one response.
        generation_prefix_ids: the ids that open an assistant turn. Their last occurrence ends the prompt, and the
            number of occurrences gives the turn. They are needed if ``forward`` gets no prompt lengths.
        temperature: temperature by which a trainer divides logits, and the default of generation.
        weaver_lora, trigger_lora: :class:`memgen.base.adapters.LoraSettings`, as dictionaries.
        trainable: the components, of ``weaver`` and ``trigger``, that are trainable after a model is built or loaded.
            Everything else is frozen.
        tokenizer_digest: hash of the tokenizer's vocabulary, "" if unknown.
    """

    model_type = "memgen"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": AutoConfig,
        "weaver_config": AutoConfig,
        "trigger_config": AutoConfig,
    }

    text_config: Any = None
    weaver_config: Any = None
    trigger_config: Any = None
    weaver: str = "shared"
    trigger: str = "head"
    mode: str = "learned"
    prompt_ids: list[int] | tuple[int, ...] = ()
    inference_ids: list[int] | tuple[int, ...] = ()
    delimiter_ids: list[int] | tuple[int, ...] = ()
    separator_ids: list[int] | tuple[int, ...] = ()
    digit_ids: list[int] | tuple[int, ...] = ()
    max_prompt_aug_num: int = 1
    max_inference_aug_num: int = 5
    generation_prefix_ids: list[int] | tuple[int, ...] = ()
    temperature: float | int = 1.0
    weaver_lora: dict[str, Any] | None = None
    trigger_lora: dict[str, Any] | None = None
    trainable: list[str] | tuple[str, ...] = COMPONENTS
    tokenizer_digest: str = ""
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = {key for key in kwargs if not key.startswith("_")} - FROM_HUGGING_FACE
        if unknown:
            raise FieldError("MemGenConfig", sorted(unknown), f"only {sorted(self.own_fields())}")
        for name in self.sub_configs:
            given = getattr(self, name)
            if isinstance(given, dict):
                given = AutoConfig.for_model(**given)
                setattr(self, name, given)
        for name in get_annotations(type(self)):
            if name.endswith("_ids") or name == "trainable":
                setattr(self, name, list(getattr(self, name)))
        for name in ("weaver_lora", "trigger_lora"):
            settings = asdict(_lora(name, getattr(self, name)))
            setattr(self, name, settings | {"target_modules": list(settings["target_modules"])})
        kwargs.pop("auto_map", None)  # to_dict adds it
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        # When Hugging Face writes config.json, it compares with a config that it creates without arguments.
        if self.text_config is not None:
            self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)
            self._check()

    def to_dict(self) -> dict[str, Any]:
        """Returns the config as a dictionary, with the ``auto_map`` of a checkpoint.

        ``auto_map`` is no attribute: tools that find one copy the source of the model's class into their checkpoints.
        """
        return {**super().to_dict(), "auto_map": dict(AUTO_MAP)}

    @classmethod
    def own_fields(cls) -> set[str]:
        """Returns the names of the fields that Hugging Face's config does not have."""
        return set(get_annotations(cls)) - {"sub_configs"}

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None:
        """Does nothing. Hugging Face would copy our source into checkpoints, but ``auto_map`` names the package."""

    def _check(self) -> None:
        check_choice("weaver", self.weaver, WEAVERS)
        check_choice("trigger", self.trigger, TRIGGERS)
        check_choice("mode", self.mode, MODES)
        if not set(self.trainable) <= set(COMPONENTS):
            raise FieldError("trainable", self.trainable, f"some of {', '.join(COMPONENTS)}")
        if not self.temperature > 0:
            raise FieldError("temperature", self.temperature, "a number above 0 (generation alone can be greedy)")
        if self.weaver_config is not None and not WEAVERS[self.weaver].may_own_decoder:
            allowed = f"None: weaver {self.weaver!r} is the reasoner's own"
            raise FieldError("weaver_config", "a model of its own", allowed)
        if self.trigger_config is not None and not TRIGGERS[self.trigger].may_own_decoder:
            allowed = f"None: trigger {self.trigger!r} reads the reasoner's states"
            raise FieldError("trigger_config", "a model of its own", allowed)
        for name in self.sub_configs:
            if getattr(self, name) is not None:
                check_supported(getattr(self, name), name)
        rules = self.rules()
        largest = max(*rules.reserved.all, *rules.delimiters.ids, 0)
        if largest >= self.vocab_size:
            raise FieldError("prompt_ids, inference_ids or delimiter_ids", largest, f"ids below {self.vocab_size}")
        if self.trigger_config is not None and self.trigger_config.vocab_size < min(rules.reserved.all):
            raise FieldError("trigger_config.vocab_size", self.trigger_config.vocab_size, "the reasoner's vocabulary")

    def rules(self) -> StreamRules:
        """Returns the stream rules of this model."""
        return StreamRules(
            reserved=ReservedIds(tuple(self.prompt_ids), tuple(self.inference_ids)),
            delimiters=DelimiterTable(
                frozenset(self.delimiter_ids), frozenset(self.separator_ids), frozenset(self.digit_ids)
            ),
            max_prompt_aug_num=self.max_prompt_aug_num,
            max_inference_aug_num=self.max_inference_aug_num,
        )

    def lora(self, name: str) -> LoraSettings:
        """Returns the settings of the adapter ``weaver`` or ``trigger``."""
        return _lora(f"{name}_lora", getattr(self, f"{name}_lora"))

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Checks that a tokenizer is the one for which the reserved ids and delimiters were computed.

        Raises:
            FieldError: its vocabulary differs from the checkpoint's.
        """
        given = tokenizer_digest(tokenizer)
        if self.tokenizer_digest and given != self.tokenizer_digest:
            raise FieldError(
                "tokenizer", f"vocabulary {given} of {len(tokenizer)} ids", f"the checkpoint's: {self.tokenizer_digest}"
            )

    @property
    def vocab_size(self) -> int:
        """Vocabulary size of the reasoner."""
        return int(self.text_config.vocab_size)

    @property
    def max_position_embeddings(self) -> int:
        """Smallest context length of the reasoner and of the weaver's and trigger's separate base models."""
        given: Iterable[Any] = (getattr(self, name) for name in self.sub_configs)
        return min(int(config.max_position_embeddings) for config in given if config is not None)


def _lora(field: str, given: dict[str, Any] | None) -> LoraSettings:
    """Returns adapter settings from a dictionary. None gives the defaults."""
    given = given or {}
    unknown = set(given) - set(LoraSettings.__dataclass_fields__)
    if unknown:
        raise FieldError(field, sorted(unknown), f"only {sorted(LoraSettings.__dataclass_fields__)}")
    return LoraSettings(**given)


AutoConfig.register(MemGenConfig.model_type, MemGenConfig)
