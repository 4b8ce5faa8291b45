"""The plan of a batch of streams: what every position is, where it stands, and when it is computed.

Shapes: B rows, L columns.
"""

from __future__ import annotations

import torch

from memgen.weaver.stream.rules import IdTables, StreamRules
from memgen.weaver.stream.vocabulary import INFERENCE, PROMPT, TEXT
from memupdate.errors import FieldError


class StreamPlan:
    """What follows from ids, mask and prompt lengths alone; padding may stand on either side.

    Attributes:
        ids_BL, mask_BL: the streams; True marks real items.
        kind_BL: ``TEXT``, ``PROMPT`` or ``INFERENCE``; padding is ``TEXT``.
        offset_BL: index of a latent in its block.
        is_text_BL: real text items.
        position_BL: real items before this one; padding never counts.
        text_position_BL: real text items before this one (the trigger's positions).
        starts_BL: first items of blocks.
        step_BL: blocks begun up to and with this item. Items of step s are computed together, after the weave of block
            s - 1 has filled its latents.
        blocks_B: blocks of each row.
        asked_BL: where the trigger is asked what follows: the first id of the block that may be inserted, else 0.
        forced_BL: inside a block, the only id that may follow, else 0.
    """

    def __init__(
        self,
        rules: StreamRules,
        tables: IdTables,
        ids_BL: torch.Tensor,
        mask_BL: torch.Tensor,
        prompt_length_B: torch.Tensor,
        turn_B: torch.Tensor | None = None,
    ) -> None:
        """Plans a batch.

        Args:
            rules: the rules of the streams.
            tables: the same rules over the vocabulary, on the ids' device.
            ids_BL: token ids.
            mask_BL: 1 or True for real items.
            prompt_length_B: items of each row's prompt. Longer than the row means that nothing is asked in it.
            turn_B: index of the turn that the row is, 0 when not given.

        Raises:
            FieldError: a malformed stream: a cut block, a reserved id that stands alone or where no block may stand.
        """
        mask_BL = mask_BL.bool()
        self.ids_BL, self.mask_BL = ids_BL, mask_BL
        self.kind_BL = tables.kind_V[ids_BL] * mask_BL
        self.offset_BL = tables.offset_V[ids_BL]
        self.is_text_BL = mask_BL & (self.kind_BL == TEXT)
        self.position_BL = (mask_BL.long().cumsum(1) - 1).clamp(min=0)
        self.text_position_BL = (self.is_text_BL.long().cumsum(1) - 1).clamp(min=0)
        self.starts_BL = (self.kind_BL > 0) & (self.offset_BL == 0)
        self.step_BL = self.starts_BL.long().cumsum(1)
        self.blocks_B = self.step_BL[:, -1]
        self.forced_BL = tables.next_V[ids_BL] * mask_BL
        self.asked_BL = self._asked(rules, tables, prompt_length_B, turn_B)
        self._check(rules)

    @property
    def steps(self) -> int:
        """Weaves that the batch needs: the most blocks that a row holds."""
        return int(self.blocks_B.max())

    def _asked(
        self, rules: StreamRules, tables: IdTables, prompt_length_B: torch.Tensor, turn_B: torch.Tensor | None
    ) -> torch.Tensor:
        end_BL = self.is_text_BL & (self.position_BL == prompt_length_B[:, None] - 1)
        if turn_B is None:
            turn_B = torch.zeros_like(prompt_length_B)
        end_BL &= (turn_B < rules.max_prompt_aug_num)[:, None]
        in_response_BL = self.is_text_BL & (self.position_BL >= prompt_length_B[:, None])
        inserted_BL = (self.starts_BL & (self.kind_BL == INFERENCE)).long().cumsum(1)
        previous_BL = self.ids_BL.roll(1, dims=1)
        in_number_BL = tables.separator_V[self.ids_BL] & tables.digit_V[previous_BL]
        after_BL = in_response_BL & tables.delimiter_V[self.ids_BL] & ~in_number_BL
        after_BL &= inserted_BL < rules.max_inference_aug_num
        asked_BL = torch.zeros_like(self.ids_BL)
        asked_BL[end_BL] = rules.reserved.prompt[0]
        asked_BL[after_BL] = rules.reserved.inference[0]
        return asked_BL

    def _check(self, rules: StreamRules) -> None:
        """A block starts where the trigger was asked for it, and goes on as its ids say."""
        expected_BL = torch.where(self.forced_BL > 0, self.forced_BL, self.asked_BL)
        before_BL = torch.nn.functional.pad(expected_BL, (1, 0))[:, :-1]
        forced_before_BL = torch.nn.functional.pad(self.forced_BL, (1, 0))[:, :-1]
        wrong_BL = (self.kind_BL > 0) & (self.ids_BL != before_BL)
        wrong_BL |= self.mask_BL & (forced_before_BL > 0) & (self.ids_BL != forced_before_BL)
        cut_BL = (self.forced_BL > 0) & ~torch.nn.functional.pad(self.mask_BL, (0, 1))[:, 1:]
        bad = (wrong_BL | cut_BL).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            near = self.ids_BL[row, max(0, column - 2) : column + 3].tolist()
            raise FieldError(
                f"input_ids[{row}, {column}]",
                near,
                "whole blocks: at the end of the prompt (one, in the first "
                f"{rules.max_prompt_aug_num} turns) {list(rules.reserved.block(PROMPT))}, after a delimiter of the "
                f"response (at most {rules.max_inference_aug_num}) {list(rules.reserved.block(INFERENCE))}",
            )
