"""The published MemGen generation loop, written from its description, as a baseline for the project's loop.

At an insertion, it drops the reasoner's cache and computes the whole batch again. Rows that insert nothing are padded
on the left. The weaver reads the whole prefix at each insertion, and the trigger at each decision. Finished rows are
computed until the end.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from transformers import DynamicCache

from memgen.base.adapters import AdapterUse, active_adapters
from memgen.weaver import MemGenModel
from memgen.weaver.stream import INFERENCE, PROMPT


class PublishedLoop:
    """Greedy generation of a batch with the weights of a ``paper`` model. Prompts are padded on the left.

    Attributes:
        positions: the number of positions computed by reasoner, weaver and trigger.
    """

    def __init__(self, model: MemGenModel) -> None:
        self.model = model
        self.positions: Counter[str] = Counter()

    def _read(self, role: str, decoder: Any, x_BLD: torch.Tensor, mask_BL: torch.Tensor, **cache: Any) -> torch.Tensor:
        """Runs Hugging Face's forward pass of a decoder with the role's adapter. Returns the last hidden states."""
        self.positions[role] += x_BLD.shape[0] * x_BLD.shape[1]
        position_BL = (mask_BL.long().cumsum(1) - 1).clamp(min=0)[:, -x_BLD.shape[1] :]
        uses = [] if role == "reasoner" else [AdapterUse(role)]
        with active_adapters(decoder).use(uses):
            hidden: torch.Tensor = decoder(
                inputs_embeds=x_BLD,
                attention_mask=mask_BL.long(),
                position_ids=position_BL,
                use_cache=bool(cache),
                **cache,
            ).last_hidden_state
        return hidden

    def _latents(self, kind: int, x_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        weaver = self.model.weaver
        queries_BKH = weaver.queries(kind).expand(len(x_BLD), -1, -1)
        mask_BL = F.pad(mask_BL, (0, queries_BKH.shape[1]), value=True)
        x_BLH = torch.cat([weaver.context(x_BLD), queries_BKH], 1)
        hidden = self._read("weaver", weaver.decoder, x_BLH, mask_BL)
        return weaver.latents(hidden[:, -queries_BKH.shape[1] :])

    def _wants(self, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        trigger = self.model.trigger
        hidden = self._read("trigger", trigger.decoder, trigger.decoder.embed_tokens(ids_BL), mask_BL)
        return trigger.logit(hidden[:, -1]) > 0

    @torch.inference_mode()
    def generate(self, prompts: list[list[int]], max_new_tokens: int) -> tuple[list[list[int]], list[int]]:
        """Generates for all prompts. Returns the text ids and the number of blocks of each row."""
        model, rules = self.model, self.model.rules
        embed = model.reasoner.model.embed_tokens
        width = max(map(len, prompts))
        ids_BL = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
        text_mask_BL = torch.tensor([[False] * (width - len(prompt)) + [True] * len(prompt) for prompt in prompts])
        x_BLD, mask_BL = embed(ids_BL), text_mask_BL
        blocks = [0] * len(prompts)
        inserted = [0] * len(prompts)
        insert_B = self._wants(ids_BL, text_mask_BL)
        kind = PROMPT
        cache = DynamicCache(config=model.reasoner.config)
        while True:
            if bool(insert_B.any()):
                x_BLD, mask_BL = self._insert(kind, insert_B, x_BLD, mask_BL)
                for row in insert_B.nonzero().squeeze(1).tolist():
                    blocks[row] += 1
                    inserted[row] += kind == INFERENCE
                cache = DynamicCache(config=model.reasoner.config)
            kind = INFERENCE
            new = x_BLD[:, cache.get_seq_length() :]
            hidden = self._read("reasoner", model.reasoner.model, new, mask_BL, past_key_values=cache)
            logits = model.reasoner.lm_head(hidden[:, -1])
            logits[:, list(rules.reserved.all)] = -torch.inf
            token_B1 = logits.argmax(-1, keepdim=True)
            ids_BL = torch.cat([ids_BL, token_B1], 1)
            text_mask_BL, mask_BL = F.pad(text_mask_BL, (0, 1), value=True), F.pad(mask_BL, (0, 1), value=True)
            x_BLD = torch.cat([x_BLD, embed(token_B1)], 1)
            if ids_BL.shape[1] - width == max_new_tokens:
                return [row[width:] for row in ids_BL.tolist()], blocks
            asked = [
                row
                for row, token in enumerate(token_B1.squeeze(1).tolist())
                if rules.asked_after(None, token, inserted[row]) is not None
            ]
            insert_B = torch.zeros(len(prompts), dtype=torch.bool)
            if asked:
                insert_B[asked] = self._wants(ids_BL[asked], text_mask_BL[asked])

    def _insert(
        self, kind: int, insert_B: torch.Tensor, x_BLD: torch.Tensor, mask_BL: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends latents to the rows that insert, and pads the other rows on the left. Returns embeddings and mask."""
        latents_RKD = self._latents(kind, x_BLD[insert_B], mask_BL[insert_B])
        count = latents_RKD.shape[1]
        x_out, mask_out = F.pad(x_BLD, (0, 0, count, 0)), F.pad(mask_BL, (count, 0), value=False)
        x_out[insert_B] = torch.cat([x_BLD[insert_B], latents_RKD], 1)
        mask_out[insert_B] = F.pad(mask_BL[insert_B], (0, count), value=True)
        return x_out, mask_out
