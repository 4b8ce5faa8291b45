"""The caches of a batch and the forward passes that fill them. Generation and serving compute everything here.

A lane is the cache of one role: the reasoner's stream, the weaver's projection of the stream, or the trigger's text.
In one pass every row feeds its lanes once. It feeds prompt ids or sampled ids, woven latents, the weaver's queries, or
text that the trigger has not read yet. Roles that share a base model share the pass.

Shapes: R rows, N positions of a span, K latents of a block, D hidden size of the reasoner, H of weaver or trigger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from memgen.base.decoder import Decoder
from memgen.base.packed import PackedDecoder, Span
from memgen.weaver.stream import StreamRules
from memgen.weaver.triggers import MemGenTrigger
from memgen.weaver.weavers import MemGenWeaver


@dataclass(kw_only=True)
class LaneRow:
    """The state of a row: what it feeds in the next pass, and the length of each of its caches.

    Attributes:
        feed_ids, feed_latents: the text ids or the latents that the reasoner reads in the next pass. While a block is
            being woven, the row feeds neither.
        weaving: kind of the block that is being woven, or None.
        reasoner_length, weaver_length, trigger_length: number of positions in each cache.
        unread_latents, unread_ids: the end of the stream that the weaver has not read yet (``paper`` weaver only). The
            latents come before the ids.
        unheard_ids: the text that the trigger has not read yet (``paper`` trigger only).
    """

    feed_ids: list[int]
    feed_latents: torch.Tensor | None = None
    weaving: int | None = None
    reasoner_length: int = 0
    weaver_length: int = 0
    trigger_length: int = 0
    unread_latents: torch.Tensor | None = None
    unread_ids: list[int] = field(default_factory=list)
    unheard_ids: list[int] = field(default_factory=list)

    @property
    def feeds(self) -> bool:
        """Whether the row feeds the reasoner in the next pass."""
        return self.weaving is None and (bool(self.feed_ids) or self.feed_latents is not None)


Row = TypeVar("Row", bound=LaneRow)


class Fed(NamedTuple):
    """The result of a pass.

    Attributes:
        places: places of the rows that fed the reasoner.
        last_RD: the reasoner's last hidden state of each of these rows, at the last position that it fed.
        trigger_R: trigger logit z of each of these rows. It is meaningless in rows where the trigger was not asked.
    """

    places: list[int]
    last_RD: torch.Tensor
    trigger_R: torch.Tensor


class Lanes:
    """The caches of a batch. Its rows are at the places 0 to R - 1."""

    def __init__(
        self,
        reasoner: Decoder,
        head: nn.Linear,
        weaver: MemGenWeaver,
        trigger: MemGenTrigger,
        rules: StreamRules,
        weaves: bool,
        decides: bool,
    ) -> None:
        """Sets up the lanes. :meth:`reserve` creates the caches.

        Args:
            reasoner: the reasoner's decoder.
            head: the reasoner's language-model head.
            weaver: the weaver.
            trigger: the trigger.
            rules: the stream rules, which hold the reserved ids.
            weaves: whether blocks can be woven.
            decides: whether the trigger is asked.
        """
        self.reasoner, self.head, self.weaver, self.trigger, self.rules = reasoner, head, weaver, trigger, rules
        self.weaver_has_cache = weaver.has_cache and weaves
        self.trigger_has_cache = trigger.has_cache and decides
        self.reads_head = decides and not trigger.has_cache
        self.positions = {"reasoner": 0, "weaver": 0, "trigger": 0}

    def reserve(self, rows: int, capacity: int) -> None:
        """Creates the caches: one packed decoder per base model, with one lane for each role of that model.

        Args:
            rows: number of rows in the batch.
            capacity: maximum number of items in a stream.
        """
        roles = [("reasoner", self.reasoner)]
        if self.weaver_has_cache:
            roles.append(("weaver", self.weaver.decoder))
        if self.trigger_has_cache:
            roles.append(("trigger", self.trigger.decoder))
        names: dict[Decoder, list[str]] = {}
        for role, decoder in roles:
            names.setdefault(decoder, []).append(role)
        # The queries of a block may take slots after the last item of the stream.
        capacity += max(len(self.rules.reserved.prompt), len(self.rules.reserved.inference))
        self._decoders = {
            decoder: PackedDecoder(decoder, len(lanes), rows, capacity) for decoder, lanes in names.items()
        }
        self._lane = {role: (decoder, lanes.index(role)) for decoder, lanes in names.items() for role in lanes}

    def advance(self, rows: Sequence[LaneRow], deciding: Sequence[int]) -> Fed:
        """Runs one pass over everything that the rows feed.

        A row whose block is woven in this pass feeds the block's latents in the next pass.

        Args:
            rows: the rows, by place.
            deciding: places of the rows where the trigger is asked after this pass. These rows must feed the reasoner.

        Returns:
            Hidden states and trigger logits of the rows that fed the reasoner.
        """
        feeding = [place for place, row in enumerate(rows) if row.feeds]
        weaving = [place for place, row in enumerate(rows) if row.weaving is not None]
        hearing = list(deciding) if self.trigger_has_cache else []
        spans = self._feed_spans(rows, feeding)
        spans += [self._weave_span(rows[place], place) for place in weaving]
        spans += [self._trigger_span(rows[place], place) for place in hearing]
        hidden = self._pass(spans)
        for place, woven in zip(weaving, hidden[len(feeding) :], strict=False):
            self._take_latents(rows[place], woven)
        last = [states[-1] for states in hidden[: len(feeding)]]
        last_RD = torch.stack(last) if last else self.head.weight.new_empty(0, self.head.in_features)
        trigger_R = last_RD.new_zeros(len(feeding))
        if self.reads_head:
            trigger_R = self.trigger.logit(last_RD)
        elif hearing:
            heard = torch.stack([states[-1] for states in hidden[len(feeding) + len(weaving) :]])
            where = torch.tensor([feeding.index(place) for place in hearing], device=last_RD.device)
            trigger_R[where] = self.trigger.logit(heard)
        return Fed(feeding, last_RD, trigger_R)

    def leave(self, rows: list[Row], done: set[int]) -> list[Row]:
        """Removes the rows at the places ``done`` and returns the remaining rows.

        The last rows move to the free places, so that the caches stay dense.
        """
        for place in sorted(done, reverse=True):
            moved = rows.pop()
            if place < len(rows):
                rows[place] = moved
                for packed in self._decoders.values():
                    packed.move(len(rows), place)
        return rows

    def _feed_spans(self, rows: Sequence[LaneRow], feeding: list[int]) -> list[tuple[str, Span]]:
        """Returns the reasoner's spans. The embeddings of all ids are looked up in one call."""
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
            spans.append(("reasoner", Span(self._lane["reasoner"][1], place, row.reasoner_length, x_ND)))
            row.reasoner_length += len(x_ND)
            self.positions["reasoner"] += len(x_ND)
            if self.weaver_has_cache:
                row.unread_latents = row.feed_latents if row.feed_latents is not None else row.unread_latents
                row.unread_ids += row.feed_ids
        return spans

    def _weave_span(self, row: LaneRow, place: int) -> tuple[str, Span]:
        """Returns the span of a weave: the part of the stream that the weaver has not read yet, then the queries."""
        assert row.weaving is not None
        queries_KH = self.weaver.queries(row.weaving)
        if not self.weaver_has_cache:
            self.positions["weaver"] += len(queries_KH)
            span = Span(self._lane["reasoner"][1], place, row.reasoner_length, queries_KH, self.weaver.adapter)
            return "reasoner", span
        unread = self._embed(row.unread_ids)
        if row.unread_latents is not None:
            unread = torch.cat([row.unread_latents, unread])
        x_NH = torch.cat([self.weaver.context(unread), queries_KH])
        span = Span(self._lane["weaver"][1], place, row.weaver_length, x_NH, self.weaver.adapter)
        self.positions["weaver"] += len(x_NH)
        # The length does not count the queries: the next span overwrites their slots.
        row.weaver_length += len(unread)
        row.unread_ids, row.unread_latents = [], None
        return "weaver", span

    def _trigger_span(self, row: LaneRow, place: int) -> tuple[str, Span]:
        """Returns the span of the text that the trigger has not read yet."""
        x_NH = self.trigger.decoder.embed_tokens(self._ids(row.unheard_ids))
        span = Span(self._lane["trigger"][1], place, row.trigger_length, x_NH, self.trigger.adapter)
        row.trigger_length += len(x_NH)
        self.positions["trigger"] += len(x_NH)
        row.unheard_ids = []
        return "trigger", span

    def _pass(self, spans: list[tuple[str, Span]]) -> list[torch.Tensor]:
        """Runs the spans, one pass per base model, and returns their last hidden states in the order of the spans."""
        hidden: list[torch.Tensor] = [torch.empty(0)] * len(spans)
        for decoder, packed in self._decoders.items():
            mine = [index for index, (role, _) in enumerate(spans) if self._lane[role][0] is decoder]
            if mine:
                for index, states in zip(mine, packed.run([spans[index][1] for index in mine]), strict=True):
                    hidden[index] = states
        return hidden

    def _take_latents(self, row: LaneRow, woven_NH: torch.Tensor) -> None:
        """Makes the woven latents what the row feeds next. Its stream already holds their reserved ids."""
        assert row.weaving is not None
        block = self.rules.reserved.block(row.weaving)
        row.feed_latents = self.weaver.latents(woven_NH[-len(block) :])
        row.feed_ids, row.weaving = [], None

    def _ids(self, ids: list[int]) -> torch.Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self.head.weight.device)

    def _embed(self, ids: list[int]) -> torch.Tensor:
        embedded: torch.Tensor = self.reasoner.embed_tokens(self._ids(ids))
        return embedded
