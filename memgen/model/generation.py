"""Generation for a batch of rows of any lengths: append-only caches, no padding, no row waits for another.

Every row feeds positions to a cache: its prompt, the id it drew, the latents it wove. One tick runs what every row has
to feed; a row that weaves or asks the trigger has spans for those as well, in the same pass where they share the
reasoner's base model. A row that is done leaves, and its place is taken by the last row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from memgen.model import trigger as trigger_module
from memgen.model import weaver as weaver_module
from memgen.model.decoder import Decoder
from memgen.model.generated import INSERTED, NOT_ASKED, SKIPPED, Generated, GeneratedBatch, OnIds
from memgen.model.packed import PackedDecoder, Span
from memgen.model.sampling import Sampler, SamplingSettings
from memgen.model.trigger import MemGenTrigger
from memgen.model.weaver import MemGenWeaver
from memgen.stream import INFERENCE, PROMPT, StreamRules


@dataclass
class _Row:
    """A row at work."""

    index: int
    result: Generated
    generator: torch.Generator
    # First id of the block that may follow what is being fed, or None.
    asked: int | None
    # What to feed to the reasoner in this tick: text ids or latents. Neither while a block is woven.
    feed_ids: list[int]
    feed_latents: torch.Tensor | None = None
    weaving: int | None = None  # kind of the block being woven
    inserted: int = 0  # blocks after delimiters
    reasoner_length: int = 0  # positions in each cache
    weaver_length: int = 0
    trigger_length: int = 0
    unread_latents: torch.Tensor | None = None  # of the stream's end, what the weaver has not read (paper)
    unread_ids: list[int] = field(default_factory=list)
    unheard_ids: list[int] = field(default_factory=list)  # text that the trigger has not read (paper)


class Generation:
    """One batch. Its rows must have been checked: text ids only, none empty, and room for the response."""

    def __init__(
        self,
        reasoner: Decoder,
        head: nn.Linear,
        weaver: MemGenWeaver,
        trigger: MemGenTrigger,
        rules: StreamRules,
        mode: str,
        sampling: SamplingSettings,
        max_new_tokens: int,
        stop_ids: frozenset[int],
        on_ids: OnIds | None = None,
    ) -> None:
        """Sets a batch up.

        Args:
            reasoner: the reasoner's decoder.
            head: its language-model head.
            weaver: the weaver.
            trigger: the trigger.
            rules: where the trigger is asked.
            mode: learned, always or never.
            sampling: how ids are drawn.
            max_new_tokens: text ids per response; latents do not count.
            stop_ids: ids that end a response.
            on_ids: told of every id as it comes.
        """
        self.reasoner, self.head, self.weaver, self.trigger = reasoner, head, weaver, trigger
        self.rules, self.mode = rules, mode
        self.sampler = Sampler(sampling, rules.reserved, mode)
        self.max_new_tokens, self.stop_ids, self.on_ids = max_new_tokens, stop_ids, on_ids
        self.weaver_has_cache = weaver.kind == "paper" and mode != "never"
        self.trigger_has_cache = trigger.kind == "paper" and mode == "learned"
        self.positions = {"reasoner": 0, "weaver": 0, "trigger": 0}

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
        self._reserve(rows)
        while rows:
            rows = self._leave(rows, self._tick(rows))
        return GeneratedBatch(results, self.positions)

    def _reserve(self, rows: list[_Row]) -> None:
        """One packed decoder for each base model; its lanes are the roles it plays."""
        block = max(len(self.rules.reserved.prompt), len(self.rules.reserved.inference))
        longest = max(len(row.feed_ids) for row in rows)
        # A block's queries may stand behind the last position.
        capacity = longest + self.max_new_tokens + self.rules.most_latents() + block
        roles = [("reasoner", self.reasoner)]
        if self.weaver_has_cache:
            roles.append(("weaver", self.weaver.decoder))
        if self.trigger_has_cache:
            roles.append(("trigger", self.trigger.decoder))
        lanes: dict[Decoder, list[str]] = {}
        for role, decoder in roles:
            lanes.setdefault(decoder, []).append(role)
        self.decoders = {
            decoder: PackedDecoder(decoder, len(names), len(rows), capacity) for decoder, names in lanes.items()
        }
        self.lane = {role: (decoder, names.index(role)) for decoder, names in lanes.items() for role in names}

    def _tick(self, rows: list[_Row]) -> set[int]:
        """Feeds every row once and draws for those that can go on; returns the places of the rows that are done."""
        feeding = [place for place, row in enumerate(rows) if row.weaving is None]
        weaving = [place for place, row in enumerate(rows) if row.weaving is not None]
        deciding = [place for place in feeding if self.trigger_has_cache and rows[place].asked is not None]
        spans: list[tuple[str, Span]] = []
        spans += self._feed_spans(rows, feeding)
        spans += [self._weave_span(rows[place], place) for place in weaving]
        spans += [self._trigger_span(rows[place], place) for place in deciding]
        hidden = self._pass(spans)
        last = hidden[: len(feeding)]
        for place, woven in zip(weaving, hidden[len(feeding) :], strict=False):
            self._take_latents(rows[place], woven)
        if not feeding:
            return set()
        last_RD = torch.stack([states[-1] for states in last])
        trigger_R = last_RD.new_zeros(len(feeding), dtype=torch.float32)
        if self.trigger_has_cache and deciding:
            states = torch.stack([states[-1] for states in hidden[len(feeding) + len(weaving) :]])
            where = torch.tensor([feeding.index(place) for place in deciding], device=last_RD.device)
            trigger_R[where] = self.trigger.logit(states).float()
        elif self.mode == "learned" and self.trigger.kind == "head":
            trigger_R = self.trigger.logit(last_RD).float()
        asked_R = torch.tensor([rows[place].asked or 0 for place in feeding], device=last_RD.device)
        ids_R, log_prob_R = self.sampler.draw(
            self.head(last_RD), trigger_R, asked_R, [rows[place].generator for place in feeding]
        )
        done = set()
        for place, token, log_prob in zip(feeding, ids_R.tolist(), log_prob_R.tolist(), strict=True):
            if self._take_id(rows[place], token, log_prob):
                done.add(place)
        return done

    def _feed_spans(self, rows: list[_Row], feeding: list[int]) -> list[tuple[str, Span]]:
        """What the reasoner reads: ids are looked up together."""
        ids = [token for place in feeding for token in rows[place].feed_ids]
        looked_up = self._embed(ids)
        spans, offset = [], 0
        for place in feeding:
            row = rows[place]
            if row.feed_latents is not None:
                x_ND = row.feed_latents
            else:
                x_ND = looked_up[offset : offset + len(row.feed_ids)]
                offset += len(row.feed_ids)
            spans.append(("reasoner", Span(self.lane["reasoner"][1], place, row.reasoner_length, x_ND)))
            row.reasoner_length += len(x_ND)
            self.positions["reasoner"] += len(x_ND)
            if self.weaver_has_cache:
                row.unread_latents = row.feed_latents if row.feed_latents is not None else row.unread_latents
                row.unread_ids += row.feed_ids
        return spans

    def _weave_span(self, row: _Row, place: int) -> tuple[str, Span]:
        """The queries of a block, behind what the weaver has not read yet."""
        assert row.weaving is not None
        queries_KH = self.weaver.queries(row.weaving)
        if not self.weaver_has_cache:
            self.positions["weaver"] += len(queries_KH)
            span = Span(self.lane["reasoner"][1], place, row.reasoner_length, queries_KH, weaver_module.ADAPTER)
            return "reasoner", span
        unread = self._embed(row.unread_ids)
        if row.unread_latents is not None:
            unread = torch.cat([row.unread_latents, unread])
        x_NH = torch.cat([self.weaver.context(unread), queries_KH])
        span = Span(self.lane["weaver"][1], place, row.weaver_length, x_NH, weaver_module.ADAPTER)
        self.positions["weaver"] += len(x_NH)
        # The queries' slots are overwritten by what comes next.
        row.weaver_length += len(unread)
        row.unread_ids, row.unread_latents = [], None
        return "weaver", span

    def _trigger_span(self, row: _Row, place: int) -> tuple[str, Span]:
        """The text that the trigger has not read yet."""
        x_NH = self.trigger.decoder.embed_tokens(self._ids(row.unheard_ids))
        span = Span(self.lane["trigger"][1], place, row.trigger_length, x_NH, trigger_module.ADAPTER)
        row.trigger_length += len(x_NH)
        self.positions["trigger"] += len(x_NH)
        row.unheard_ids = []
        return "trigger", span

    def _pass(self, spans: list[tuple[str, Span]]) -> list[torch.Tensor]:
        """Runs the spans, one pass for each base model; last hidden states in the spans' order."""
        hidden: list[torch.Tensor] = [torch.empty(0)] * len(spans)
        for decoder, packed in self.decoders.items():
            mine = [index for index, (role, _) in enumerate(spans) if self.lane[role][0] is decoder]
            if mine:
                for index, states in zip(mine, packed.run([spans[index][1] for index in mine]), strict=True):
                    hidden[index] = states
        return hidden

    def _take_latents(self, row: _Row, woven_NH: torch.Tensor) -> None:
        """The latents are what the row feeds next; its stream has them already, as ids."""
        assert row.weaving is not None
        block = self.rules.reserved.block(row.weaving)
        row.feed_latents = self.weaver.latents(woven_NH[-len(block) :])
        row.feed_ids, row.asked, row.weaving = [], None, None

    def _take_id(self, row: _Row, token: int, log_prob: float) -> bool:
        """Adds a drawn id to the row and says what comes next; True when the row is done."""
        result = row.result
        place = self.rules.reserved.places.get(token)
        asked = row.asked is not None and self.mode != "never"
        result.decisions.append(NOT_ASKED if not asked else SKIPPED if place is None else INSERTED)
        result.response_ids.append(token)
        result.log_probs.append(log_prob)
        row.feed_ids, row.feed_latents = [], None
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
        if self.trigger_has_cache:
            row.unheard_ids.append(token)
        result.text_ids.append(token)
        self._tell(row, [token])
        if token in self.stop_ids:
            result.finish_reason = "stop"
        return token in self.stop_ids or len(result.text_ids) >= self.max_new_tokens

    def _tell(self, row: _Row, ids: list[int]) -> None:
        if self.on_ids is not None:
            self.on_ids(row.index, ids)

    def _leave(self, rows: list[_Row], done: set[int]) -> list[_Row]:
        """Takes finished rows out; the last rows move into their places, so that the caches stay dense."""
        for place in sorted(done, reverse=True):
            moved = rows.pop()
            if place < len(rows):
                rows[place] = moved
                for packed in self.decoders.values():
                    packed.move(len(rows), place)
        return rows

    def _ids(self, ids: list[int]) -> torch.Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self.head.weight.device)

    def _embed(self, ids: list[int]) -> torch.Tensor:
        embedded: torch.Tensor = self.reasoner.embed_tokens(self._ids(ids))
        return embedded
