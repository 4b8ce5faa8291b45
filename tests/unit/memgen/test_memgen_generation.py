"""Generation: caps, modes, independence of rows, what it computes, and what it reports."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from tiny_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, STOP, prompts, tiny_base, tiny_memgen
from torch import nn

from memgen.weaver import MemGenModel, SamplingSettings
from memgen.weaver.generated import INSERTED, NOT_ASKED, SKIPPED, Generated
from memgen.weaver.sampler import Sampler
from memgen.weaver.stream import ReservedIds, check_stream
from memupdate.errors import FieldError

GREEDY = SamplingSettings(temperature=0)
# So many that rows end at different times.
STOPS = range(100, 104)


class PositionCounter:
    """Counts the positions that enter the first layer of a decoder, by the forward hook of PyTorch."""

    def __init__(self, decoder: nn.Module) -> None:
        self.positions = 0
        decoder.layers[0].register_forward_hook(self._count)

    def _count(self, _: nn.Module, arguments: tuple[torch.Tensor], __: object) -> None:
        self.positions += arguments[0].shape[0] * arguments[0].shape[1]


def fed(row: Generated) -> int:
    """What the reasoner has to read for a row: all but the id drawn last."""
    return len(row.stream) - 1


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "head"), ("paper", "paper")])
def test_every_position_is_computed_once(weaver: str, trigger: str) -> None:
    """G10, G15, G16: reasoner: prompt, latents and new text, whatever the insertions; weaver: K more per weave;
    trigger: text. Rows of very different lengths: a finished row costs nothing."""
    model = tiny_memgen(weaver, trigger, separate=True)
    counters = {"reasoner": PositionCounter(model.reasoner.model)}
    if weaver == "paper":
        counters["weaver"] = PositionCounter(model.weaver.decoder)
        counters["trigger"] = PositionCounter(model.trigger.decoder)
    batch = model.generate(prompts((40, 5, 17)), max_new_tokens=60, stop_ids=STOPS, seeds=[1, 5, 3])
    rows = batch.rows
    assert sum(row.blocks for row in rows) >= 5 and len({len(row.text_ids) for row in rows}) > 1
    read = sum(fed(row) for row in rows)
    queries = sum(
        row.response_ids.count(PROMPT_IDS[0]) * 3 + row.response_ids.count(INFERENCE_IDS[0]) * 4 for row in rows
    )
    assert batch.positions["reasoner"] == read
    if weaver == "shared":
        assert batch.positions["weaver"] == queries
        assert counters["reasoner"].positions == read + queries
    else:
        assert counters["reasoner"].positions == read
        # Less than the stream where text follows the last weave or the last question.
        assert batch.positions["weaver"] == counters["weaver"].positions <= read + queries
        text = sum(len(row.prompt_ids) + len(row.text_ids) for row in rows)
        assert batch.positions["trigger"] == counters["trigger"].positions <= text


def test_rows_do_not_depend_on_the_batch() -> None:
    """G14, G15: a row alone gives the same tokens, decisions and log-probs."""
    model = tiny_memgen("paper", "paper", separate=True)
    texts, seeds = prompts(), [11, 12, 13, 14, 15]
    together = model.generate(texts, max_new_tokens=40, stop_ids=[STOP], seeds=seeds).rows
    for row, text, seed in zip(together, texts, seeds, strict=True):
        (alone,) = model.generate([text], max_new_tokens=40, stop_ids=[STOP], seeds=[seed]).rows
        assert alone.response_ids == row.response_ids and alone.decisions == row.decisions
        torch.testing.assert_close(torch.tensor(alone.log_probs), torch.tensor(row.log_probs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama", "smollm3"])
def test_never_is_the_base_model(kind: str) -> None:
    """G8: mode never gives the tokens of Hugging Face's own generate, on the base model without us."""
    model = tiny_memgen("paper", "paper", kind, mode="never")
    base = tiny_base(kind)
    for text in prompts((6, 11)):
        expected = base.generate(
            torch.tensor([text]),
            attention_mask=torch.ones(1, len(text), dtype=torch.long),
            max_new_tokens=30,
            do_sample=False,
            eos_token_id=STOP,
            suppress_tokens=PROMPT_IDS + INFERENCE_IDS,
        )[0, len(text) :].tolist()
        (row,) = model.generate([text], max_new_tokens=30, stop_ids=[STOP], sampling=GREEDY).rows
        assert row.response_ids == expected
        assert set(row.decisions) == {NOT_ASKED}


def test_decisions_stand_where_the_trigger_was_asked() -> None:
    """G7, G9: -100, 0, 1; only at the prompt's end and after delimiters, and never beyond the cap."""
    model = tiny_memgen(max_inference_aug_num=2)
    for row in model.generate(prompts(), max_new_tokens=60, seeds=range(5)).rows:
        check_stream(model.rules, row.stream, len(row.prompt_ids))
        inserted = 0
        for index, (token, decision) in enumerate(zip(row.response_ids, row.decisions, strict=True)):
            before = row.response_ids[index - 1] if index else None
            asked = index == 0 or (before in DELIMITERS and inserted < 2)
            block = token in (PROMPT_IDS[0], INFERENCE_IDS[0])
            assert decision == ((INSERTED if block else SKIPPED) if asked else NOT_ASKED)
            inserted += token == INFERENCE_IDS[0]
        assert inserted <= 2
        assert len(row.decisions) == len(row.log_probs) == len(row.response_ids)
        assert row.blocks == inserted + row.response_ids.count(PROMPT_IDS[0])
        assert row.asked == sum(decision != NOT_ASKED for decision in row.decisions)


def test_caps_of_zero() -> None:
    """G7: triviaqa's config has no inference block; and no prompt block beyond the turns that may have one."""
    model = tiny_memgen(mode="always", max_inference_aug_num=0, max_prompt_aug_num=2)
    rows = model.generate(prompts((5, 5, 5)), max_new_tokens=20, turns=[0, 1, 2]).rows
    assert [row.blocks for row in rows] == [1, 1, 0]


def test_a_response_ends_at_a_stop_id_or_at_its_length() -> None:
    """G15."""
    model = tiny_memgen()
    told: dict[int, list[int]] = {index: [] for index in range(5)}
    rows = model.generate(
        prompts(), max_new_tokens=50, stop_ids=[STOP], seeds=range(5), on_ids=lambda row, ids: told[row].extend(ids)
    ).rows
    assert {row.finish_reason for row in rows} == {"stop", "length"}
    for index, row in enumerate(rows):
        assert told[index] == row.response_ids
        assert STOP not in row.text_ids[:-1]
        assert (row.text_ids[-1] == STOP) == (row.finish_reason == "stop")
        assert (len(row.text_ids) == 50) or row.finish_reason == "stop"


def test_the_turn_follows_from_the_ids() -> None:
    """G7, G41: with a generation prefix, the turn is the number of prefixes before the last one."""
    model = tiny_memgen(mode="always", generation_prefix_ids=[150, 151], max_prompt_aug_num=1)
    first, second = [3, 150, 151], [3, 150, 151, 4, 3, 150, 151]
    rows = model.generate([first, second], max_new_tokens=12, seeds=[0, 1]).rows
    assert [row.response_ids[0] == PROMPT_IDS[0] for row in rows] == [True, False]
    # The trainer needs no more than the ids to see the same.
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.stream])
            found = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[len(row.prompt_ids) - 1 :, 0]
            torch.testing.assert_close(found, torch.tensor(row.log_probs), atol=1e-5, rtol=0)


def drawn(settings: SamplingSettings, z: float, count: int = 4000) -> Counter[int]:
    sampler = Sampler(settings, ReservedIds((8,), (9,)), "learned")
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -9, -9, -9, -9, 5.0, 5.0]).expand(count, -1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    ids, _ = sampler.draw(logits, torch.full((count,), z), torch.full((count,), 9), generators)
    return Counter(ids.tolist())


def test_filters_leave_the_decision_alone() -> None:
    """G9: top-k and top-p cut the reasoner's ids; an insertion keeps probability sigmoid(z/T), also a rare one."""
    for settings, kept in (
        (SamplingSettings(), {0, 1, 2, 3}),
        (SamplingSettings(top_k=2), {0, 1}),
        (SamplingSettings(top_p=0.6), {0}),
        (SamplingSettings(temperature=0.5, top_p=0.95), {0, 1}),
    ):
        found = drawn(settings, z=-2.0)
        expected = torch.sigmoid(torch.tensor(-2.0 / settings.temperature)).item()
        assert abs(found.pop(9) / 4000 - expected) < 0.02
        assert set(found) - {4, 5, 6, 7} == kept
        share = found[0] / found.total()
        weights = torch.tensor([2.0, 1.0, 0.0, -1.0])[sorted(kept)].div(settings.temperature).softmax(0)
        assert abs(share - weights[0].item()) < 0.03


def test_bad_requests_are_refused_by_name() -> None:
    """Bad input: reserved ids in a prompt, a stream longer than the context, and the rest."""
    model: MemGenModel = tiny_memgen()
    for arguments, field in (
        ({"prompts": [[3, PROMPT_IDS[1]]]}, "prompts[0][1]"),
        ({"prompts": [[3], []]}, "prompts[1]"),
        ({"prompts": []}, "prompts"),
        ({"prompts": [[3, 160]]}, "prompts[0]"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 1010}, "max_new_tokens"),
        ({"turns": [0, 1]}, "turns"),
        ({"seeds": []}, "seeds"),
    ):
        with pytest.raises(FieldError) as error:
            model.generate(**{"prompts": [[3, 4]], "max_new_tokens": 4} | arguments)  # type: ignore[arg-type]
        assert error.value.field == field
    for settings in ({"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}):
        with pytest.raises(FieldError, match=next(iter(settings))):
            SamplingSettings(**settings)
