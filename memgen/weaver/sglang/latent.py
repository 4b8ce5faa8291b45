"""The ``shared`` weaver and the gate of the ``head`` trigger inside an SGLang model.

If a prefill holds reserved ids, it weaves their blocks one after the other. In the pass for a block, the block's
positions are its queries, and LoRA is applied only to them. The pass yields the latents, and the next pass overwrites
the same cache slots. A prefill with at most n new blocks per request takes n + 1 passes over its new positions.
Decoding is that of the base model plus a few operations of fixed shape for the gate.

The server opens the gate of the prompt block in every prefill, and the other gate after every delimiter. The client
closes the gates that must not be taken with SGLang's ``logit_bias``.

Shapes: N new positions of all requests, R requests, D hidden size, V vocabulary size.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from memgen.base.sampling import MASKED
from memgen.weaver.sglang.requests import check_launch
from memupdate.errors import FieldError

PREFIX = "memgen."
logger = logging.getLogger(__name__)


class LatentMemory:
    """A mixin for SGLang's causal LM classes of Qwen and Llama. It must come before that class in the bases."""

    model: Any
    config: Any
    lm_head: Any
    logits_processor: Any
    latent: dict[str, torch.Tensor]

    def __init__(self, *args: Any, **named: Any) -> None:
        """Builds SGLang's model, with its arguments. The scheduler checks every request from now on.

        Raises:
            FieldError: the model cannot be served with these launch settings.
        """
        # Imported here: the rest of the class is tested where SGLang cannot be imported.
        from sglang.srt.plugins.hook_registry import HookRegistry
        from sglang.srt.server_args import get_global_server_args

        from memgen.weaver.sglang.guard import register

        check_launch(get_global_server_args())
        super().__init__(*args, **named)
        if register():
            logger.warning(
                "SGLang did not load the plug-in memgen.weaver.sglang.guard: install this package again. Malformed "
                "requests are found in the scheduler only, and parallel samples are not limited."
            )
            HookRegistry.apply_hooks()

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Loads the base tensors and the latent tensors. SGLang calls it again for every weight update.

        Raises:
            FieldError: a latent tensor is missing or extra.
        """
        base, latent = [], {}
        for name, tensor in weights:
            if name.startswith(PREFIX):
                latent[name.removeprefix(PREFIX)] = tensor.clone()
            else:
                base.append((name, tensor))
        super().load_weights(base)  # type: ignore[misc]
        if not hasattr(self, "query_V"):
            self._set_up()
        expected = set(self._expected())
        missing, extra = (sorted(one) for one in (expected - latent.keys(), latent.keys() - expected))
        if missing or extra:
            wrong = f"missing {', '.join(missing[:5])}" if missing else f"extra {', '.join(extra[:5])}"
            raise FieldError("model.safetensors", wrong, f"the {len(expected)} tensors of MemGen")
        like = next(self.model.parameters())
        self.latent = {name: tensor.to(like) for name, tensor in latent.items()}

    def _set_up(self) -> None:
        settings, device = self.config.memgen, next(self.model.parameters()).device
        prompt, inference = settings["prompt_ids"], settings["inference_ids"]
        self.prompt_first, self.inference_first = prompt[0], inference[0]
        self.reserved = torch.tensor(prompt + inference, device=device)
        vocabulary = self.config.vocab_size
        # For a reserved id, its row in `queries`; -1 for text.
        self.query_V = torch.full((vocabulary,), -1, device=device)
        self.query_V[self.reserved] = torch.arange(len(self.reserved), device=device)
        self.first_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self.first_V[[self.prompt_first, self.inference_first]] = True
        self.delimiter_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self.delimiter_V[torch.tensor(settings["delimiter_ids"], dtype=torch.long, device=device)] = True
        # 1 for the positions to which the adapter is applied in this pass, (N, 1); None if the pass has no queries.
        self.adapted_N1: torch.Tensor | None = None
        for index, layer in enumerate(self.model.layers):
            layer.self_attn.qkv_proj.register_forward_hook(self._adapter_hook(index, layer.self_attn))

    def _expected(self) -> list[str]:
        adapters = [
            f"{index}.{side}.{part}" for index in range(len(self.model.layers)) for side in "qv" for part in "AB"
        ]
        return ["queries", "projection.weight", "projection.bias", "trigger.weight", "trigger.bias", *adapters]

    def _adapter_hook(self, index: int, attention: Any) -> Any:
        def add(_: nn.Module, arguments: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, Any]) -> Any:
            if self.adapted_N1 is None:
                return None
            (projected, bias), x = output, arguments[0]
            update = torch.zeros_like(projected)
            update[:, : attention.q_size] = self._low_rank(x, f"{index}.q")
            update[:, attention.q_size + attention.kv_size :] = self._low_rank(x, f"{index}.v")
            return projected + update * self.adapted_N1, bias

        return add

    def _low_rank(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ self.latent[f"{name}.A"].T @ self.latent[f"{name}.B"].T

    @torch.no_grad()
    def forward(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        forward_batch: Any,
        input_embeds: torch.Tensor | None = None,
        get_embedding: bool = False,
        pp_proxy_tensors: Any = None,
    ) -> Any:
        """Runs the model and returns gated logits. The arguments are those of SGLang's models.

        Raises:
            RuntimeError: a cached prefix ends inside a block of latents. The checks of requests exclude this.
        """
        prefill = forward_batch.forward_mode.is_extend()
        if prefill and bool((self.query_V[input_ids] >= 0).any()):
            input_embeds = self._woven(input_ids, positions, forward_batch)
        hidden_ND = self.model(input_ids, positions, forward_batch, input_embeds)
        output = self.logits_processor(input_ids, hidden_ND, self.lm_head, forward_batch)
        last = torch.cumsum(forward_batch.extend_seq_lens, 0) - 1 if prefill else slice(None)
        self._gate(output.next_token_logits, input_ids[last], hidden_ND[last], forward_batch.sampling_info, prefill)
        return output

    def _woven(self, input_ids: torch.Tensor, positions: torch.Tensor, forward_batch: Any) -> torch.Tensor:
        """Returns the input embeddings of a prefill in which the latents of every block are filled in."""
        query_N = self.query_V[input_ids]
        is_latent_N = query_N >= 0
        block_N = torch.full_like(query_N, -1)
        blocks, offset = 0, 0
        for length in forward_batch.extend_seq_lens_cpu:
            new = slice(offset, offset + length)
            starts = self.first_V[input_ids[new]]
            if length and bool(is_latent_N[offset]) and not bool(starts[0]):
                raise RuntimeError("a cached prefix ends inside a block of latents")
            block_N[new] = torch.where(is_latent_N[new], torch.cumsum(starts.long(), 0) - 1, -1)
            blocks = max(blocks, int(starts.sum()))
            offset += length
        x_ND = self.model.get_input_embeddings()(input_ids)
        x_ND = torch.where(is_latent_N[:, None], self.latent["queries"][query_N.clamp(min=0)], x_ND)
        for block in range(blocks):
            rows_N1 = (block_N == block)[:, None]
            self.adapted_N1 = rows_N1.to(x_ND.dtype)
            try:
                hidden_ND = self.model(input_ids, positions, forward_batch, x_ND.clone())
            finally:
                self.adapted_N1 = None
            latents_ND = hidden_ND @ self.latent["projection.weight"].T + self.latent["projection.bias"]
            x_ND = torch.where(rows_N1, latents_ND, x_ND)
        return x_ND

    def _gate(
        self, logits_RV: torch.Tensor, ids_R: torch.Tensor, hidden_RD: torch.Tensor, sampling: Any, prefill: bool
    ) -> None:
        """Applies :mod:`memgen.weaver.gate` in place, with both gates open.

        No shape and no branch depends on data, as CUDA graphs require.
        """
        trigger_R = (hidden_RD @ self.latent["trigger.weight"] + self.latent["trigger.bias"]).float()
        logits_RV[:, self.reserved] = MASKED
        rows_RV = logits_RV.float()
        if sampling is None:
            norm_R = torch.logsumexp(rows_RV, -1)
        else:
            temperature_R1 = sampling.temperatures.view(-1, 1).float()
            scaled_R = temperature_R1[:, 0] * torch.logsumexp(rows_RV / temperature_R1, -1)
            # SGLang represents greedy decoding as top_k 1 at temperature 1.
            norm_R = torch.where(sampling.top_ks <= 1, rows_RV.amax(-1), scaled_R)
        is_text_R = self.query_V[ids_R] < 0
        asked_R = is_text_R & (self.delimiter_V[ids_R] | prefill)
        rows_RV = torch.where(asked_R[:, None], rows_RV - norm_R[:, None], rows_RV)
        rows_RV[:, self.inference_first] = torch.where(is_text_R & self.delimiter_V[ids_R], trigger_R, MASKED)
        if prefill:
            rows_RV[:, self.prompt_first] = torch.where(is_text_R, trigger_R, MASKED)
        logits_RV.copy_(rows_RV)
