"""Generation for a batch of rows of any lengths: append-only caches, no padding, no row waits for another.

One tick feeds what every row has to feed (its prompt, the id it drew, the latents it wove) and draws for the rows that
can go on. A row that is done leaves, and its place is taken by the last row.
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
    """A row that generates."""

    index: int
    result: Generated
    generator: torch.Generator
    # First id of the block that may follow what is being fed, or None.
    asked: int | None
    inserted: int = 0  # blocks after delimiters


class Generation:
    """One batch. Its rows must have been checked: text ids only, none empty, and room for the response."""

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
        """Sets a batch up.

        Args:
            lanes: the model's, without caches.
            rules: where the trigger is asked.
            mode: learned, always or never.
            sampler: how ids are drawn.
            max_new_tokens: text ids per response; latents do not count.
            stop_ids: ids that end a response.
            on_ids: told of every id as it comes.
        """
        self.lanes, self.rules, self.mode, self.sampler = lanes, rules, mode, sampler
        self.max_new_tokens, self.stop_ids, self.on_ids = max_new_tokens, stop_ids, on_ids

    @torch.inference_mode()
    def run(
        self, prompts: Sequence[Sequence[int]], turns: Sequence[int], generators: Sequence[torch.Generator]
    ) -> GeneratedBatch:
        """Generates a response to every prompt.

        Args:
            prompts: text ids.
            turns: each row's turn in its conversation.
            generators: each row's random state, on the CPU.

        Returns:
            The responses.
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
        """Feeds every row once and draws for those that can go on; returns the places of the rows that are done."""
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
        """Adds a drawn id to the row and says what comes next; True when the row is done."""
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
