"""The stream rules: which ids are reserved, where a block may stand, and how many blocks are allowed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from memgen.weaver.stream.delimiters import DelimiterTable
from memgen.weaver.stream.vocabulary import INFERENCE, PROMPT, ReservedIds
from memupdate.errors import FieldError


@dataclass(frozen=True)
class StreamRules:
    """The rules that determine, from ids alone, where the trigger is asked.

    Attributes:
        reserved: the reserved ids.
        delimiters: the delimiter table.
        max_prompt_aug_num: number of turns, from the first of a conversation, whose prompt may end in a block.
        max_inference_aug_num: maximum number of blocks after delimiters in one response.
    """

    reserved: ReservedIds
    delimiters: DelimiterTable
    max_prompt_aug_num: int = 1
    max_inference_aug_num: int = 5

    def __post_init__(self) -> None:
        for field in ("max_prompt_aug_num", "max_inference_aug_num"):
            if getattr(self, field) < 0:
                raise FieldError(field, getattr(self, field), "an integer of at least 0")
        both = self.delimiters.ids & set(self.reserved.all)
        if both:
            raise FieldError("delimiter_ids", sorted(both), "ids that are not reserved for latents")

    def asked_at_prompt_end(self, turn: int) -> int | None:
        """Returns the first id of the block that may follow the prompt of turn ``turn`` (0-based), or None."""
        return self.reserved.prompt[0] if turn < self.max_prompt_aug_num else None

    def asked_after(self, previous: int | None, token: int, inserted: int) -> int | None:
        """Returns the first id of the block that may follow ``token`` in a response, or None.

        Args:
            previous: the item before ``token``, or None if there is none.
            token: a text id of the response.
            inserted: number of blocks after delimiters that the response already holds.
        """
        if inserted >= self.max_inference_aug_num or not self.delimiters.counts(previous, token):
            return None
        return self.reserved.inference[0]

    def most_latents(self) -> int:
        """Returns the maximum number of latents in one response."""
        prompt = len(self.reserved.prompt) if self.max_prompt_aug_num else 0
        return prompt + self.max_inference_aug_num * len(self.reserved.inference)


class IdTables:
    """The stream rules as tensors over the vocabulary, for plans of whole batches.

    Attributes:
        kind_V: kind of the block to which an id belongs; ``TEXT`` for ids that are not reserved.
        offset_V: index of a reserved id in its block, else 0.
        length_V: length of the block of a reserved id, else 0.
        next_V: the id that must follow an id inside a block; 0 for the last id of a block and for text.
        delimiter_V, separator_V, digit_V: membership in the sets of the delimiter table.
    """

    def __init__(self, rules: StreamRules, vocab_size: int, device: torch.device) -> None:
        self.kind_V, self.offset_V, self.length_V, self.next_V = (
            torch.zeros(vocab_size, dtype=torch.long, device=device) for _ in range(4)
        )
        for kind in (PROMPT, INFERENCE):
            block = rules.reserved.block(kind)
            ids = torch.tensor(block, device=device)
            self.kind_V[ids] = kind
            self.offset_V[ids] = torch.arange(len(block), device=device)
            self.length_V[ids] = len(block)
            self.next_V[ids[:-1]] = ids[1:]
        self.delimiter_V, self.separator_V, self.digit_V = (
            self._member(ids, vocab_size, device)
            for ids in (rules.delimiters.ids, rules.delimiters.separator_ids, rules.delimiters.digit_ids)
        )

    @staticmethod
    def _member(ids: frozenset[int], vocab_size: int, device: torch.device) -> torch.Tensor:
        member_V = torch.zeros(vocab_size, dtype=torch.bool, device=device)
        member_V[torch.tensor(sorted(ids), dtype=torch.long, device=device)] = True
        return member_V
