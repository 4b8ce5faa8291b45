"""Serves a MemGen model on the project's torch rollout server. It supports every weaver and trigger.

It follows the same protocol as the SGLang classes. The ids of a request are a stream that may hold blocks. The server
reads the stream in parts (text, the queries of a block, the latents of the block), then generates one id after another
with the same caches as generation. A gate is open wherever its kind of block could stand. The client
(:class:`memgen.weaver.LatentClient`) closes or forces gates with ``logit_bias``. A request ends when the first id of a
block is sampled. The client then appends the block and sends the next request.

Shapes: R rows, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from memgen.weaver.gate import gate_logits
from memgen.weaver.lanes import LaneRow
from memgen.weaver.modeling import MemGenModel
from memgen.weaver.stream import Part, StreamRules, split_blocks
from memupdate.errors import FieldError


class LatentServedModel:
    """The wrapper of the model for the server, a :class:`memupdate.platform.rollout.decoding.ServedModel`.

    Attributes:
        end_ids: the first ids of the two kinds of block, which end any request.
    """

    def __init__(self, model: MemGenModel) -> None:
        self._model = model
        reserved = model.rules.reserved
        self.end_ids = frozenset({reserved.prompt[0], reserved.inference[0]})

    def check(self, prompt_ids: Sequence[int], max_new_tokens: int) -> None:
        """Checks that the ids of a request are a stream of the model and that the response fits into the context.

        Raises:
            FieldError: the stream is malformed, holds an id outside the vocabulary, or leaves too little room in the
                context.
        """
        config = self._model.config
        wrong = [token for token in prompt_ids if not 0 <= token < config.vocab_size]
        if wrong:
            raise FieldError("prompt_ids", wrong[0], f"ids from 0 to {config.vocab_size - 1}")
        if len(prompt_ids) + max_new_tokens > config.max_position_embeddings:
            raise FieldError(
                "prompt_ids",
                f"{len(prompt_ids)} items, with max_new_tokens {max_new_tokens}",
                f"together at most {config.max_position_embeddings}, the context",
            )
        split_blocks(self._model.rules, prompt_ids)

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> LatentDecoding:
        """Starts decoding a batch of streams."""
        return LatentDecoding(self._model, prompts, max_new_tokens)


@dataclass(kw_only=True)
class _Row(LaneRow):
    """A row of a served batch."""

    index: int
    # The parts of the stream after the one that is being fed.
    parts: list[Part]
    # The last two ids of the stream.
    ending: tuple[int | None, int]
    # First ids of the blocks that may follow the stream.
    gates: tuple[int, ...] = ()

    def go_on(self) -> bool:
        """Moves on to the next part of the stream. Returns False if there is none."""
        self.feed_ids, self.feed_latents = [], None
        if not self.parts:
            return False
        part = self.parts.pop(0)
        if isinstance(part, int):
            self.weaving = part
        else:
            self.feed_ids = part
        return True


class LatentDecoding:
    """The decoding of one batch of streams."""

    def __init__(self, model: MemGenModel, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        self._rules: StreamRules = model.rules
        self._lanes = model.lanes(weaves=True, decides=True)
        self._lanes.reserve(len(prompts), max(map(len, prompts)) + max_new_tokens)
        self._rows = [self._row(index, prompt) for index, prompt in enumerate(prompts)]

    def _row(self, index: int, prompt: Sequence[int]) -> _Row:
        parts = split_blocks(self._rules, prompt)
        row = _Row(
            index=index,
            feed_ids=[],
            parts=parts,
            ending=(prompt[-2] if len(prompt) > 1 else None, prompt[-1]),
            unheard_ids=[token for part in parts if not isinstance(part, int) for token in part],
        )
        if prompt[-1] not in self._rules.reserved.places:
            # This may be the end of the prompt or a delimiter of the response. Only the client knows which.
            row.gates = (self._rules.reserved.prompt[0], *self._gate_after(row.ending))
        row.go_on()
        return row

    def _gate_after(self, ending: tuple[int | None, int]) -> tuple[int, ...]:
        """Returns the gate after a delimiter, or nothing if there is no delimiter. The client counts the blocks."""
        return self._rules.reserved.inference[:1] if self._rules.delimiters.counts(*ending) else ()

    def start(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Reads the streams and returns the policy of the next id of each.

        Returns:
            Function from temperatures (R,) to gated logits (R, V).
        """
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        while len(found) < len(self._rows):
            last = [place for place, row in enumerate(self._rows) if row.feeds and not row.parts and row.gates]
            fed = self._lanes.advance(self._rows, last)
            for place, last_D, trigger in zip(fed.places, fed.last_RD, fed.trigger_R, strict=True):
                if not self._rows[place].go_on():
                    found[place] = last_D, trigger
        states = [found[place] for place in range(len(self._rows))]
        return self._policy(
            torch.stack([last_D for last_D, _ in states]), torch.stack([z for _, z in states]), self._rows
        )

    def step(self, rows: Sequence[int], token_ids: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Reads one text id for each of the requests ``rows``. All other requests have ended.

        Returns:
            Function from temperatures (R,) to gated logits (R, V), in the order of ``rows``.
        """
        drawn = dict(zip(rows, token_ids, strict=True))
        ended = {place for place, row in enumerate(self._rows) if row.index not in drawn}
        self._rows = self._lanes.leave(self._rows, ended)
        for row in self._rows:
            token = drawn[row.index]
            row.ending = (row.ending[1], token)
            row.gates = self._gate_after(row.ending)
            row.feed_ids = [token]
            row.unheard_ids.append(token)
        asked = [place for place, row in enumerate(self._rows) if row.gates]
        fed = self._lanes.advance(self._rows, asked)
        place_of = {row.index: place for place, row in enumerate(self._rows)}
        order = [place_of[index] for index in rows]
        return self._policy(fed.last_RD[order], fed.trigger_R[order], [self._rows[place] for place in order])

    def _policy(
        self, last_RD: torch.Tensor, trigger_R: torch.Tensor, rows: Sequence[_Row]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Returns a function from temperatures (R,) to gated logits (R, V)."""
        logits_RV = self._lanes.head(last_RD)
        # Two gates can be open in one row. The row is gated once for each, and the maximum keeps both open.
        asked = [torch.tensor([row.gates[side] if row.gates else 0 for row in rows]) for side in (0, -1)]
        if torch.equal(*asked):
            asked.pop()

        def policy(temperatures_R: torch.Tensor) -> torch.Tensor:
            gated_RV = torch.empty_like(logits_RV)
            for temperature in set(temperatures_R.tolist()):
                mine = (temperatures_R == temperature).nonzero().squeeze(1)
                sides = [self._gated(logits_RV[mine], trigger_R[mine], side[mine], temperature) for side in asked]
                gated_RV[mine] = torch.stack(sides).amax(0)
            return gated_RV

        return policy

    def _gated(
        self, logits_RV: torch.Tensor, trigger_R: torch.Tensor, asked_R: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        none_R = torch.zeros_like(asked_R)
        return gate_logits(logits_RV, trigger_R, asked_R, none_R, self._rules.reserved, "learned", temperature)
