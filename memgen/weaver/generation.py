"""Generates responses for a batch of rows of any lengths, without padding. No row waits for another.

Each tick is one forward pass. Every row feeds its prompt, its last sampled id, its woven latents, or the queries of a
block. Then one id is sampled for every row that fed the reasoner. A finished row leaves the batch, and the last row
takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memgen.methods import OnIds
from memgen.weaver.generated import INSERTED, NOT_ASKED, SKIPPED, Generated, GeneratedBatch
from memgen.weaver.lanes import LaneRow, Lanes
from memgen.weaver.sampler import Sampler
from memgen.weaver.stream import INFERENCE, PROMPT, StreamRules


@dataclass(kw_only=True)
class _Row(LaneRow):
    """A row in generation."""

    index: int
    result: Generated
    generator: torch.Generator
    # First id of the block that may follow the items being fed, or None.
    asked: int | None
    inserted: int = 0  # blocks after delimiters so far


class Generation:
    """The generation of one batch. The prompts must have passed ``check_stream_prompts``."""

    def __init__(
        self,
        lanes: Lanes,
        rules: StreamRules,
        mode: str,
        sampler: Sampler,
        max_new_tokens: int,
        stop_ids: frozenset[int],
        on_ids: OnIds | None = None,
    ) -> None:
        """Sets up the generation.

        Args:
            lanes: new lanes of the model, without caches.
            rules: the stream rules.
            mode: ``learned``, ``always`` or ``never``.
            sampler: the sampler of ids.
            max_new_tokens: maximum number of text ids per response; latents do not count.
            stop_ids: ids that end a response.
            on_ids: function that is called with a row's index and the new ids of its response.
        """
        self.lanes, self.rules, self.mode, self.sampler = lanes, rules, mode, sampler
        self.max_new_tokens, self.stop_ids, self.on_ids = max_new_tokens, stop_ids, on_ids

    @torch.inference_mode()
    def run(
        self, prompts: Sequence[Sequence[int]], turns: Sequence[int], generators: Sequence[torch.Generator]
    ) -> GeneratedBatch:
        """Generates a response to every prompt.

        Args:
            prompts: text ids of each row.
            turns: 0-based turn of each row in its conversation.
            generators: random state of each row, on the CPU.

        Returns:
            The responses, in the order of the prompts.
        """
        rows = [
            _Row(
                index=index,
                result=Generated(list(prompt)),
                generator=generator,
                asked=self.rules.asked_at_prompt_end(turn),
                feed_ids=list(prompt),
                unheard_ids=list(prompt),
            )
            for index, (prompt, turn, generator) in enumerate(zip(prompts, turns, generators, strict=True))
        ]
        results = [row.result for row in rows]
        longest = max(map(len, prompts))
        self.lanes.reserve(len(rows), longest + self.max_new_tokens + self.rules.most_latents())
        while rows:
            rows = self.lanes.leave(rows, self._tick(rows))
        return GeneratedBatch(results, self.lanes.positions)

    def _tick(self, rows: list[_Row]) -> set[int]:
        """Runs one pass, samples an id for every row that fed the reasoner, and returns the places of finished rows."""
        deciding = [place for place, row in enumerate(rows) if row.feeds and row.asked is not None]
        feeding, last_RD, trigger_R = self.lanes.advance(rows, deciding)
        if not feeding:
            return set()
        asked_R = torch.tensor([rows[place].asked or 0 for place in feeding], device=last_RD.device)
        ids_R, log_prob_R = self.sampler.draw(
            self.lanes.head(last_RD), trigger_R, asked_R, [rows[place].generator for place in feeding]
        )
        done = set()
        for place, token, log_prob in zip(feeding, ids_R.tolist(), log_prob_R.tolist(), strict=True):
            if self._take_id(rows[place], token, log_prob):
                done.add(place)
        return done

    def _take_id(self, row: _Row, token: int, log_prob: float) -> bool:
        """Adds a sampled id to the row and sets what the row feeds next. Returns True if the row is finished."""
        result = row.result
        place = self.rules.reserved.places.get(token)
        asked = row.asked is not None and self.mode != "never"
        result.decisions.append(NOT_ASKED if not asked else SKIPPED if place is None else INSERTED)
        result.response_ids.append(token)
        result.log_probs.append(log_prob)
        row.feed_ids, row.feed_latents, row.asked = [], None, None
        if place is not None:
            kind = place[0]
            assert kind in (PROMPT, INFERENCE)
            rest = self.rules.reserved.block(kind)[1:]
            result.response_ids += rest
            result.log_probs += [0.0] * len(rest)
            result.decisions += [NOT_ASKED] * len(rest)
            row.weaving = kind
            row.inserted += kind == INFERENCE
            self._tell(row, [token, *rest])
            return False
        previous = (result.response_ids[-2:-1] or result.prompt_ids[-1:])[0]
        row.asked = self.rules.asked_after(previous, token, row.inserted)
        row.feed_ids = [token]
        row.unheard_ids.append(token)
        result.text_ids.append(token)
        self._tell(row, [token])
        if token in self.stop_ids:
            result.finish_reason = "stop"
        return token in self.stop_ids or len(result.text_ids) >= self.max_new_tokens

    def _tell(self, row: _Row, ids: list[int]) -> None:
        if self.on_ids is not None:
            self.on_ids(row.index, ids)
