"""The plan of a batch of streams: the kind of every item, its position, and the step that computes it.

Shapes: B rows, L columns.
"""

from __future__ import annotations

import torch

from memgen.weaver.stream.rules import IdTables, StreamRules
from memgen.weaver.stream.vocabulary import INFERENCE, PROMPT, TEXT
from memupdate.errors import FieldError


class StreamPlan:
    """Everything that follows from ids, mask, prompt lengths and turns of the streams. Padding may be on either side.

    Attributes:
        ids_BL, mask_BL: ids of the streams, and True for real items.
        kind_BL: ``TEXT``, ``PROMPT`` or ``INFERENCE``; padding is ``TEXT``.
        offset_BL: index of a latent in its block.
        is_text_BL: True for real text items.
        position_BL: position id: the number of real items before this one.
        text_position_BL: number of real text items before this one. These are the trigger's position ids.
        starts_BL: True for the first item of a block.
        step_BL: number of blocks that start at or before this item. The items of step s are computed together, after
            the latents of block s - 1 have been woven.
        blocks_B: number of blocks in each row.
        asked_BL: where the trigger is asked, the first id of the block that may follow; else 0.
        forced_BL: inside a block, the only id that may follow; else 0.
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
            rules: the stream rules.
            tables: the same rules as tensors, on the device of the ids.
            ids_BL: token ids.
            mask_BL: 1 or True for real items.
            prompt_length_B: number of items in each prompt. If it exceeds the row, the trigger is asked nowhere in it.
            turn_B: 0-based index of each row's turn. None means 0.

        Raises:
            FieldError: a stream is malformed: a block is incomplete, or stands where none is allowed.
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
        """Number of weaves that the batch needs: the largest number of blocks in a row."""
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
        """Checks that blocks start only where the trigger is asked, and that every block is complete."""
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
