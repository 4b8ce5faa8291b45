"""The MemGen model: a frozen reasoner, a weaver and a trigger, as one Hugging Face causal language model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.generation.utils import GenerateDecoderOnlyOutput

from memgen.base.adapters import add_adapter, is_adapter_key
from memgen.base.decoder import Decoder
from memgen.base.packed import ATTENTION
from memgen.base.prompts import find_prompts, turn_of, unpack
from memgen.base.sampling import SamplingSettings
from memgen.methods import OnIds
from memgen.weaver.checkpoint_files import Adapter
from memgen.weaver.config import COMPONENTS, MemGenConfig
from memgen.weaver.gate import gate_logits
from memgen.weaver.generated import GeneratedBatch
from memgen.weaver.generation import Generation
from memgen.weaver.kinds import TRIGGERS, WEAVERS
from memgen.weaver.lanes import Lanes
from memgen.weaver.output import MemGenOutput
from memgen.weaver.plain_generation import default_settings, generate_plain
from memgen.weaver.pretrained import MemGenPreTrainedModel
from memgen.weaver.prompts import check_stream_prompts
from memgen.weaver.sampler import Sampler
from memgen.weaver.stream import StreamPlan
from memgen.weaver.stream.rules import IdTables
from memgen.weaver.teacher_forcing import agreed_steps, stream_hidden
from memgen.weaver.triggers import MemGenTrigger
from memgen.weaver.weavers import MemGenWeaver
from memupdate.errors import FieldError


class MemGenForCausalLM(MemGenPreTrainedModel, GenerationMixin):
    """A Hugging Face model over streams of text and latents.

    :meth:`forward` is teacher-forced and differentiable. :meth:`generate` is not differentiable. Only the weaver and
    the trigger can be trained; :meth:`train_only` selects which of them.
    """

    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(
        self,
        config: MemGenConfig,
        reasoner: PreTrainedModel | None = None,
        weaver_decoder: Decoder | None = None,
        trigger_decoder: Decoder | None = None,
    ) -> None:
        """Builds the model.

        Args:
            config: configuration of the model.
            reasoner: the causal LM to use as the reasoner. If None, an untrained one is built from the config.
            weaver_decoder: the weaver's separate decoder, if the config has ``weaver_config``. If None, an untrained
                one is built from it.
            trigger_decoder: the trigger's separate decoder, likewise for ``trigger_config``.
        """
        super().__init__(config)
        self.reasoner = reasoner or AutoModelForCausalLM.from_config(config.text_config)
        if config.weaver_config is not None:
            weaver_decoder = weaver_decoder or AutoModel.from_config(config.weaver_config)
        if config.trigger_config is not None:
            trigger_decoder = trigger_decoder or AutoModel.from_config(config.trigger_config)
        decoder = self.reasoner.model
        self.weaver = WEAVERS[config.weaver](len(config.prompt_ids), len(config.inference_ids), decoder, weaver_decoder)
        self.trigger = TRIGGERS[config.trigger](decoder, trigger_decoder)
        for name, _, adapted in self.adapters():
            add_adapter(adapted, name, config.lora(name))
        for base in {self.reasoner.model, self.weaver.decoder, self.trigger.decoder}:
            base.config._attn_implementation = ATTENTION
        self.rules = config.rules()
        self.checkpointing = False
        self._tables: IdTables | None = None
        if self.reasoner.device.type != "meta":
            # All parts are already initialised. Without this mark, Hugging Face would initialise given weights again.
            for module in self.modules():
                module._is_hf_initialized = True  # type: ignore[assignment]
        self.post_init()  # type: ignore[no-untyped-call]
        self.generation_config = default_settings(self.reasoner)
        self.train_only(*config.trainable)

    # -- what is trained

    def train_only(self, *components: str) -> None:
        """Makes the given components trainable and freezes everything else. The reasoner is always frozen.

        Args:
            components: any of ``weaver`` and ``trigger``, or none.

        Raises:
            FieldError: a component has another name.
        """
        unknown = set(components) - set(COMPONENTS)
        if unknown:
            raise FieldError("components", sorted(unknown), ", ".join(COMPONENTS))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(self.component_of(name) in components)

    @staticmethod
    def component_of(name: str) -> str | None:
        """Returns the component to which a parameter belongs, or None if the parameter is a base weight."""
        if is_adapter_key(name):
            return name.rsplit("_", 1)[-1]
        owner = name.split(".", 1)[0]
        return owner if owner in COMPONENTS and ".own_decoder." not in name else None

    def parameter_digest(self, component: str | None) -> str:
        """Returns a hash of a component's parameters, or of all base weights if ``component`` is None."""
        digest = hashlib.sha256()
        for name, parameter in sorted(self.named_parameters()):
            if self.component_of(name) == component:
                digest.update(name.encode())
                digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Enables gradient checkpointing with this project's own loop. Hugging Face's loop would drop the caches.

        Raises:
            FieldError: ``use_reentrant`` is set.
        """
        if (gradient_checkpointing_kwargs or {}).get("use_reentrant"):
            raise FieldError("use_reentrant", True, "False: a reentrant recompute loses the gradients of the caches")
        self.checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Disables gradient checkpointing."""
        self.checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether gradient checkpointing is enabled."""
        return self.checkpointing

    def get_input_embeddings(self) -> nn.Module:
        """Returns the reasoner's input embeddings."""
        embeddings: nn.Module = self.reasoner.get_input_embeddings()
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        """Returns the reasoner's language-model head."""
        head: nn.Module = self.reasoner.get_output_embeddings()
        return head

    # -- teacher forcing

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        prompt_lengths: torch.Tensor | None = None,
        turns: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> MemGenOutput:
        """Computes the logits of the policy over whole streams.

        Args:
            input_ids: streams (B, L), padded on either side; or one packed sequence (1, N), without a mask, whose
                positions start again at 0 with every row.
            attention_mask: 1 for real items (B, L).
            position_ids: position ids of a packed sequence, which separate its rows. Otherwise they are ignored and the
                positions are computed from the mask.
            prompt_lengths: number of items in each prompt (B,). If None, ``generation_prefix_ids`` finds the prompts.
            turns: 0-based turn of each row in its conversation (B,). If None, ``generation_prefix_ids`` finds it; a
                config without a prefix means turn 0.
            labels: the ids to predict, in the shape of ``input_ids`` and not shifted. -100 marks ids without a loss.
                Latents never have a loss.
            use_cache: ignored. Callers of Hugging Face models pass it; this model returns no cache.
            return_dict: ignored. The output is always a ModelOutput.

        Returns:
            ``logits``, aligned with ``input_ids`` and gated, and ``loss``, the mean cross-entropy, if labels are given.
            Divide the logits by ``config.temperature`` to get the policy.

        Raises:
            FieldError: a stream is malformed or longer than the context. Or the mode is not ``never`` and neither
                ``prompt_lengths`` nor the config's ``generation_prefix_ids`` is given.
        """
        packed = attention_mask is None and input_ids.shape[0] == 1 and position_ids is not None
        if packed:
            assert position_ids is not None
            ids_BL, mask_BL = unpack(input_ids, position_ids)
        else:
            ids_BL = input_ids
            mask_BL = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        plan = self._plan(ids_BL, mask_BL.bool(), prompt_lengths, turns)
        checkpointing = self.checkpointing and self.training
        hidden_BLD = self._hidden(plan, checkpointing)
        trigger_BL = hidden_BLD.new_zeros(ids_BL.shape)
        if self.config.mode == "learned":
            trigger_BL = self.trigger.stream_logits(plan, hidden_BLD, checkpointing)
            # The trigger is in the graph even if it is asked nowhere: the backward pass must run the same layers on
            # every rank.
            hidden_BLD = hidden_BLD + (trigger_BL.sum() * 0.0).to(hidden_BLD.dtype)
        fields = (hidden_BLD, trigger_BL, plan.asked_BL, plan.forced_BL)
        if packed:
            fields = tuple(field[plan.mask_BL][None] for field in fields)  # type: ignore[assignment]
        hidden, trigger, asked, forced = fields
        logits = self.reasoner.lm_head(hidden)
        # Gated in place: the output must not be a view, or FSDP2 loses track of it when a trainer divides it in place.
        gate_logits(
            logits.view(-1, logits.shape[-1]),
            trigger.reshape(-1),
            asked.reshape(-1),
            forced.reshape(-1),
            self.rules.reserved,
            self.config.mode,
            self.config.temperature,
        )
        loss = None if labels is None else self._loss(logits, input_ids, labels)
        return MemGenOutput(loss=loss, logits=logits)  # type: ignore[arg-type]  # of any dtype

    def _plan(
        self,
        ids_BL: torch.Tensor,
        mask_BL: torch.Tensor,
        prompt_lengths: torch.Tensor | None,
        turns: torch.Tensor | None,
    ) -> StreamPlan:
        longest = int(mask_BL.sum(1).max())
        if longest > self.config.max_position_embeddings:
            raise FieldError(
                "input_ids", f"a stream of {longest} items", f"at most {self.config.max_position_embeddings} items"
            )
        prefix = self.config.generation_prefix_ids
        if prefix:
            found, found_turns = find_prompts(ids_BL, mask_BL, prefix)
            prompt_lengths = found if prompt_lengths is None else prompt_lengths
            turns = found_turns if turns is None else turns
        elif prompt_lengths is None:
            if self.config.mode != "never":
                raise FieldError("prompt_lengths", None, "each row's, or a config with generation_prefix_ids")
            prompt_lengths = mask_BL.sum(1) + 1
        if self._tables is None or self._tables.kind_V.device != ids_BL.device:
            self._tables = IdTables(self.rules, self.config.vocab_size, ids_BL.device)
        return StreamPlan(self.rules, self._tables, ids_BL, mask_BL, prompt_lengths, turns)

    def _hidden(self, plan: StreamPlan, checkpointing: bool) -> torch.Tensor:
        steps = plan.steps
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self.weaver.parameters()):
            steps = max(steps, 1)  # a batch without blocks must also have gradients; all of them are zero
        return stream_hidden(self.reasoner.model, self.weaver, plan, agreed_steps(self, steps), checkpointing)

    def _loss(self, logits_BLV: torch.Tensor, ids_BL: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
        reserved = torch.tensor(self.rules.reserved.all, device=ids_BL.device)
        labels_BL = labels_BL.masked_fill(torch.isin(ids_BL, reserved), -100)
        return F.cross_entropy(logits_BLV[:, :-1].flatten(0, 1).float(), labels_BL[:, 1:].flatten(), ignore_index=-100)

    # -- generation

    @overload  # type: ignore[override]  # it returns streams for prompts that are lists
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: SamplingSettings | None = None,
        stop_ids: Iterable[int] = (),
        turns: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
        on_ids: OnIds | None = None,
    ) -> GeneratedBatch: ...

    @overload
    def generate(
        self, prompts: torch.Tensor | None = None, **hugging_face: Any
    ) -> torch.Tensor | GenerateDecoderOnlyOutput: ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]] | torch.Tensor | None = None,
        *,
        max_new_tokens: int | None = None,
        sampling: SamplingSettings | None = None,
        stop_ids: Iterable[int] = (),
        turns: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
        on_ids: OnIds | None = None,
        **hugging_face: Any,
    ) -> GeneratedBatch | torch.Tensor | GenerateDecoderOnlyOutput:
        """Generates a response to each prompt. The response to one prompt does not depend on the other prompts.

        For a tensor of prompts (positional, or as ``input_ids`` or ``inputs``) it takes and returns what other models
        of Hugging Face do, see :func:`memgen.weaver.plain_generation.generate_plain`. The rest is about lists of ids.

        Args:
            prompts: text ids of each row.
            max_new_tokens: maximum number of text ids per response; latents do not count.
            sampling: how ids are sampled. None means ``config.temperature`` without filters.
            stop_ids: ids that end a response.
            turns: 0-based turn of each row in its conversation. If None, ``generation_prefix_ids`` finds it.
            seeds: random seed of each row. If None, seeds are drawn from PyTorch's global random state.
            on_ids: function that is called with a row's index and the new ids of its response.
            hugging_face: arguments of Hugging Face's ``generate``, only with a tensor of prompts.

        Returns:
            The streams, log-probs and decisions of the rows, and the number of computed positions.

        Raises:
            FieldError: there are no prompts, a prompt is empty, it holds a reserved id or an id outside the vocabulary,
                the number of turns or seeds differs from the number of prompts, the response does not fit into the
                context, ``max_new_tokens`` is below 1, or an argument is not supported.
        """
        if prompts is None or isinstance(prompts, torch.Tensor):
            ours = {
                "sampling": sampling,
                "stop_ids": stop_ids or None,
                "turns": turns,
                "seeds": seeds,
                "on_ids": on_ids,
            }
            plain = hugging_face | {name: value for name, value in ours.items() if value is not None}
            if max_new_tokens is not None:
                plain["max_new_tokens"] = max_new_tokens
            if prompts is not None:
                plain["input_ids" if "input_ids" not in plain else "inputs"] = prompts
            return generate_plain(self.generate, self.generation_config, set(self.rules.reserved.all), plain)
        if hugging_face:
            raise FieldError("generate", sorted(hugging_face), "none of these for prompts that are lists of ids")
        if max_new_tokens is None:
            raise FieldError("max_new_tokens", None, "an integer of at least 1")
        check_stream_prompts(prompts, max_new_tokens, self.config)
        if turns is None:
            turns = [turn_of(prompt, self.config.generation_prefix_ids) for prompt in prompts]
        if seeds is None:
            seeds = torch.randint(2**62, (len(prompts),)).tolist()
        for field, given in (("turns", turns), ("seeds", seeds)):
            if len(given) != len(prompts):
                raise FieldError(field, len(given), f"one for each of the {len(prompts)} prompts")
        mode = self.config.mode
        generation = Generation(
            lanes=self.lanes(weaves=mode != "never", decides=mode == "learned"),
            rules=self.rules,
            mode=mode,
            sampler=Sampler(
                sampling or SamplingSettings(temperature=float(self.config.temperature)), self.rules.reserved, mode
            ),
            max_new_tokens=max_new_tokens,
            stop_ids=frozenset(stop_ids),
            on_ids=on_ids,
        )
        was_training = self.training
        self.eval()  # type: ignore[no-untyped-call]
        try:
            return generation.run(prompts, turns, [torch.Generator().manual_seed(seed) for seed in seeds])
        finally:
            self.train(was_training)

    def lanes(self, weaves: bool, decides: bool) -> Lanes:
        """Returns new lanes of this model for one batch, see :class:`memgen.weaver.lanes.Lanes`.

        Args:
            weaves: whether blocks can be woven.
            decides: whether the trigger is asked.
        """
        decoder, head = self.reasoner.model, self.reasoner.lm_head
        return Lanes(decoder, head, self.weaver, self.trigger, self.rules, weaves, decides)

    # -- checkpoints

    def adapters(self) -> list[Adapter]:
        """Returns the adapters of the weaver and the trigger."""
        parts: tuple[tuple[str, MemGenWeaver | MemGenTrigger], ...] = (
            ("weaver", self.weaver),
            ("trigger", self.trigger),
        )
        return [
            Adapter(
                part.adapter, "reasoner.model." if part.own_decoder is None else f"{name}.own_decoder.", part.decoder
            )
            for name, part in parts
            if part.adapter is not None
        ]


# The public name. The class is named differently because verl and other tools recognise a causal LM by its class name.
MemGenModel = MemGenForCausalLM

AutoModelForCausalLM.register(MemGenConfig, MemGenForCausalLM)
