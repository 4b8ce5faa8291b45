"""The oracle: MemGen by its published semantics, without a cache, a plan or a gate.

One row at a time; at every insertion the weaver reads the whole prefix anew, at every question the trigger reads the
whole text anew, by Hugging Face's own forward. Adapters are plain matrices added to a copy of the weights; the shared
weaver's, which change some rows only, are hooks. Nothing here is imported from the code under test but the model's
parameters.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from memgen.weaver import MemGenModel


def merged(decoder: nn.Module, adapter: str | None) -> nn.Module:
    """A copy of a decoder as plain Hugging Face layers, with an adapter merged into its weights."""
    plain = copy.deepcopy(decoder)
    plain.config._attn_implementation = "eager"
    for module in plain.modules():
        for name, child in list(module.named_children()):
            if hasattr(child, "settings") and isinstance(child, nn.Linear):
                linear = nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                linear.weight, linear.bias = child.weight, child.bias
                if adapter in child.settings:
                    shape = child.settings[adapter]
                    down, up = getattr(child, f"lora_A_{adapter}"), getattr(child, f"lora_B_{adapter}")
                    linear = _Merged(linear, down, up, shape.alpha / shape.rank)
                setattr(module, name, linear)
    return plain.eval()


class _Merged(nn.Module):
    """A linear layer with a full-rank update, on all rows or on the last few."""

    def __init__(self, linear: nn.Linear, down: nn.Parameter, up: nn.Parameter, scale: float) -> None:
        super().__init__()
        self.linear, self.down, self.up, self.scale = linear, down, up, scale
        self.last_rows: int | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed = F.linear(x, self.up @ self.down * self.scale)
        if self.last_rows is not None:
            changed = torch.cat([torch.zeros_like(changed[:, : -self.last_rows]), changed[:, -self.last_rows :]], 1)
        return self.linear(x) + changed


class Naive:
    """The published algorithm with a model's weights."""

    def __init__(self, model: MemGenModel) -> None:
        self.model, self.config = model, model.config
        self.reasoner = merged(model.reasoner.model, None)
        self.weaver = merged(model.weaver.decoder, "weaver")
        self.trigger = merged(model.trigger.decoder, "trigger")

    def hidden(self, decoder: nn.Module, x_ND: torch.Tensor) -> torch.Tensor:
        return decoder(inputs_embeds=x_ND[None], use_cache=False).last_hidden_state[0]

    def latents(self, kind: str, x_ND: torch.Tensor) -> torch.Tensor:
        """K latents for a prefix of input embeddings."""
        weaver = self.model.weaver
        queries, norm, scale = (getattr(weaver, f"{kind}_{part}") for part in ("queries", "norm", "scale"))
        centred = queries - queries.mean(-1, keepdim=True)
        spread = (centred.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
        block = (centred / spread * norm.weight + norm.bias) * scale
        if self.config.weaver == "paper":
            projected = x_ND @ weaver.reasoner_to_weaver.weight.T + weaver.reasoner_to_weaver.bias
            found = self.hidden(self.weaver, torch.cat([projected, block]))
        else:
            for module in self.weaver.modules():
                if isinstance(module, _Merged):
                    module.last_rows = len(block)
            found = self.hidden(self.weaver, torch.cat([x_ND, block]))
        return found[-len(block) :] @ weaver.weaver_to_reasoner.weight.T + weaver.weaver_to_reasoner.bias

    def insert_log_odds(self, text: list[int], state_D: torch.Tensor) -> torch.Tensor:
        """z: from the trigger's own model over the text, or from the reasoner's state."""
        head = self.model.trigger.output_layer
        if self.config.trigger == "paper":
            state_D = self.hidden(self.trigger, self.trigger.embed_tokens(torch.tensor(text)))[-1]
        else:
            state_D = state_D.detach()
        skip, insert = head.weight @ state_D + head.bias
        return insert - skip

    def response(
        self, prompt: list[int], stream: list[int] | None, max_new_tokens: int, stop: int | None = None
    ) -> tuple[list[int], list[torch.Tensor]]:
        """Follows a recorded response, or decodes greedily where there is none.

        Returns:
            The response with its blocks, and the log-prob of each item (of the decision, of the token, or of both).
        """
        config, embed = self.config, self.reasoner.embed_tokens
        reserved = list(config.prompt_ids) + list(config.inference_ids)
        inputs, text = embed(torch.tensor(prompt)), list(prompt)
        out: list[int] = []
        log_probs: list[torch.Tensor] = []
        inserted, new = 0, 0
        last_is_text = True
        while stream is None or len(out) < len(stream):
            states = self.hidden(self.reasoner, inputs)
            logits = F.linear(states[-1], self.model.reasoner.lm_head.weight)
            allowed = torch.ones(len(logits), dtype=torch.bool)
            allowed[reserved] = False
            token_log_probs = logits.masked_fill(~allowed, -torch.inf).div(config.temperature).log_softmax(-1)
            block: list[int] | None = None
            if config.mode != "never" and last_is_text:
                if not out and config.max_prompt_aug_num > 0:
                    block = list(config.prompt_ids)
                elif out and out[-1] in config.delimiter_ids and inserted < config.max_inference_aug_num:
                    block = list(config.inference_ids)
            insert = False
            decision = torch.zeros(())
            if block is not None:
                z = torch.tensor(torch.inf)
                if config.mode == "learned":
                    z = self.insert_log_odds(text, states[-1]) / config.temperature
                insert = bool(z > 0) if stream is None else stream[len(out)] == block[0]
                decision = F.logsigmoid(z if insert else -z)
            if insert:
                assert block is not None
                kind = "prompt" if block[0] == config.prompt_ids[0] else "inference"
                inputs = torch.cat([inputs, self.latents(kind, inputs)])
                out += block
                log_probs += [decision] + [torch.zeros(())] * (len(block) - 1)
                inserted += kind == "inference"
                last_is_text = False
                continue
            token = int(token_log_probs.argmax()) if stream is None else stream[len(out)]
            out.append(token)
            text.append(token)
            log_probs.append(decision + token_log_probs[token])
            inputs = torch.cat([inputs, embed(torch.tensor([token]))])
            last_is_text = True
            new += 1
            if stream is None and (token == stop or new >= max_new_tokens):
                break
        return out, log_probs


def named_gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
