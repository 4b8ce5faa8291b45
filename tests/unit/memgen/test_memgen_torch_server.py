"""G43: MemGen models in the loop of the torch rollout server, through the client: log-probs and tokens are the model's.

The server's loop runs here without its actor: a transport that generates a batch at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tiny_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, STOP, prompts, tiny_memgen

from memgen.base.server import ServerAnswer
from memgen.weaver import LatentClient, LatentServedModel, MemGenModel, SamplingSettings
from memgen.weaver.generated import Generated
from memgen.weaver.stream import split_blocks
from memupdate.errors import FieldError
from memupdate.platform.rollout.decoding import Request, generate_batch

KINDS = [
    ("shared", "head", False),
    ("shared", "paper", False),
    ("paper", "paper", False),
    ("paper", "paper", True),
    ("paper", "head", True),
]
GREEDY = SamplingSettings(temperature=0)


@dataclass
class Loop:
    """A transport over the server's loop: what arrives while it is busy shares the next batch."""

    model: MemGenModel
    waiting: list[tuple[Request, asyncio.Future[ServerAnswer]]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def seeded(self, seed: int) -> Any:
        """A transport whose requests have a seed."""

        async def send(ids: list[int], sampling: dict[str, Any], start: int) -> ServerAnswer:
            request = Request(
                prompt_ids=ids,
                max_new_tokens=sampling["max_new_tokens"],
                temperature=sampling["temperature"],
                seed=seed,
                stop_ids=frozenset(sampling["stop_token_ids"]),
                logit_bias={int(token): bias for token, bias in sampling["logit_bias"].items()},
            )
            answer: asyncio.Future[ServerAnswer] = asyncio.get_running_loop().create_future()
            self.waiting.append((request, answer))
            if len(self.waiting) == 1:
                await asyncio.sleep(0)  # the others ask
                self.serve()
            return await answer

        return send

    def serve(self) -> None:
        served, batch, self.waiting = LatentServedModel(self.model), self.waiting, []
        self.batches.append(len(batch))
        for request, _ in batch:
            served.check(request.prompt_ids, request.max_new_tokens)
        for (_, answer), result in zip(batch, generate_batch(served, [request for request, _ in batch]), strict=True):
            stopped = result.stop_reason == "completed"
            answer.set_result(ServerAnswer(result.token_ids, result.log_probs, 0, stopped))


def serve(
    model: MemGenModel, texts: list[list[int]], mode: str = "learned", seeds: list[int] | None = None, **settings: Any
) -> tuple[list[Generated], Loop]:
    loop = Loop(model)

    async def run() -> list[Generated]:
        clients = [LatentClient(model.rules, mode, loop.seeded(seed)) for seed in seeds or range(len(texts))]
        calls = [client.generate(text, **settings) for client, text in zip(clients, texts, strict=True)]
        return list(await asyncio.gather(*calls))

    return asyncio.run(run()), loop


def largest_difference(model: MemGenModel, rows: list[Generated], temperature: float, mode: str) -> float:
    """Between the server's log-probs and the trainer's forward, over whole responses."""
    worst = 0.0
    model.config.mode, model.config.temperature = mode, temperature
    for row in rows:
        ids = torch.tensor([row.stream])
        with torch.no_grad():
            logits = model(ids, prompt_lengths=torch.tensor([len(row.prompt_ids)])).logits[0, :-1] / temperature
        found = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[len(row.prompt_ids) - 1 :, 0]
        worst = max(worst, (found.double() - torch.tensor(row.log_probs, dtype=torch.float64)).abs().max().item())
    return worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("weaver", "trigger", "separate"), KINDS)
def test_g43_log_probs_are_the_trainers(weaver: str, trigger: str, separate: bool, dtype: torch.dtype) -> None:
    """Every weaver and trigger, every mode, T 1 and 0.7: to 1e-5 in fp32, to 1e-9 in float64."""
    model = tiny_memgen(weaver, trigger, separate=separate).to(dtype)
    texts = prompts((5, 14, 3, 9))
    for mode, temperature in (("learned", 1.0), ("learned", 0.7), ("always", 0.7), ("never", 1.0)):
        rows, loop = serve(
            model, texts, mode, seeds=[7, 8, 9, 10], max_new_tokens=30, temperature=temperature, stop_ids=[STOP]
        )
        assert max(loop.batches) > 1
        blocks = sum(row.blocks for row in rows)
        assert (blocks > len(texts)) if mode != "never" else not blocks
        tolerance = 1e-9 if dtype == torch.float64 else 1e-5
        assert largest_difference(model, rows, temperature, mode) < tolerance, (mode, temperature)


@pytest.mark.parametrize(("weaver", "trigger", "separate"), KINDS)
def test_g43_greedy_responses_are_the_engines(weaver: str, trigger: str, separate: bool) -> None:
    """Tokens, decisions and log-probs of MemGenModel.generate, in every mode."""
    model = tiny_memgen(weaver, trigger, separate=separate).double()
    texts = prompts((9, 14, 4), seed=3)
    for mode in ("learned", "always", "never"):
        model.config.mode = mode
        expected = model.generate(texts, max_new_tokens=24, sampling=GREEDY, stop_ids=[STOP]).rows
        found, _ = serve(model, texts, mode, max_new_tokens=24, temperature=0.0, stop_ids=[STOP])
        for row, other in zip(found, expected, strict=True):
            assert (row.response_ids, row.decisions) == (other.response_ids, other.decisions)
            assert (row.text_ids, row.finish_reason) == (other.text_ids, other.finish_reason)
            torch.testing.assert_close(torch.tensor(row.log_probs), torch.tensor(other.log_probs), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "head"), ("paper", "paper")])
def test_u36_a_seed_gives_the_same_response_in_any_batch(weaver: str, trigger: str) -> None:
    """Alone or among others, of other lengths, temperatures and modes: blocks and tokens are the same."""
    model = tiny_memgen(weaver, trigger).double()
    texts, seeds = prompts((5, 17, 9, 12)), [21, 22, 23, 24]
    together, _ = serve(model, texts, seeds=seeds, max_new_tokens=24)
    assert sum(row.blocks for row in together) > 2
    for row, text, seed in zip(together, texts, seeds, strict=True):
        [alone], _ = serve(model, [text], seeds=[seed], max_new_tokens=24)
        assert alone.response_ids == row.response_ids
        [other], _ = serve(model, [text], seeds=[seed + 100], max_new_tokens=24)
        assert other.response_ids != row.response_ids


def test_u36_requests_of_one_batch_have_their_own_temperature_and_gates() -> None:
    """A greedy, a hot and a forced request side by side, ids so far of different shapes: each is what it is alone."""
    model = tiny_memgen("paper", "paper", separate=True).double()
    served = LatentServedModel(model)
    first, second, third = prompts((8, 5, 6))
    prompt, delimiter = PROMPT_IDS[0], INFERENCE_IDS[0]
    ends = frozenset({prompt, delimiter})
    requests = [
        Request(first, 9, 0.0, 1, ends, {delimiter: -1e4}),
        Request([*second, *PROMPT_IDS, 9, DELIMITERS[0]], 12, 0.7, 2, ends, {prompt: -1e4}),
        Request([*third, 9, DELIMITERS[1], *INFERENCE_IDS], 12, 1.0, 3, ends, {prompt: -1e4, delimiter: 5e3}),
    ]
    together = generate_batch(served, requests)
    for request, result in zip(requests, together, strict=True):
        [alone] = generate_batch(served, [request])
        assert (alone.token_ids, alone.stop_reason) == (result.token_ids, result.stop_reason)
        torch.testing.assert_close(torch.tensor(alone.log_probs), torch.tensor(result.log_probs), atol=1e-12, rtol=0)


def test_g6_exempted_numbers_are_exempted_by_the_server() -> None:
    """Greedy responses are the engine's where a delimiter counts only after what is no digit; some of them differ from
    those without the exemption."""
    separators, digits = DELIMITERS, [token for token in range(3, 150) if token % 2]
    texts = prompts((9, 14, 4, 6), seed=3)
    model = tiny_memgen(separator_ids=separators, digit_ids=digits, mode="always").double()
    plain = tiny_memgen(mode="always").double()
    expected = model.generate(texts, max_new_tokens=40, sampling=GREEDY).rows
    found, _ = serve(model, texts, "always", max_new_tokens=40, temperature=0.0)
    assert [row.response_ids for row in found] == [row.response_ids for row in expected]
    assert [row.decisions for row in found] == [row.decisions for row in expected]
    without = plain.generate(texts, max_new_tokens=40, sampling=GREEDY).rows
    assert [row.response_ids for row in without] != [row.response_ids for row in expected]


def test_decoding_is_cached() -> None:
    """G16: a request computes its ids, K queries a block, and each id that it draws but the last, once."""
    model = tiny_memgen()
    [text] = prompts((11,))
    stream = [*text, *PROMPT_IDS, 9, DELIMITERS[0], *INFERENCE_IDS]
    counted: list[int] = []
    hook = model.reasoner.model.layers[0].register_forward_hook(
        lambda _, arguments, __: counted.append(arguments[0].shape[1])
    )
    closed = {PROMPT_IDS[0]: -1e4, INFERENCE_IDS[0]: -1e4}
    [result] = generate_batch(LatentServedModel(model), [Request(stream, 10, 1.0, 0, frozenset(), closed)])
    hook.remove()
    assert len(result.token_ids) == 10
    assert sum(counted) == len(stream) + len(PROMPT_IDS) + len(INFERENCE_IDS) + 9


def test_a_block_s_first_id_ends_a_request_that_does_not_ask_for_it() -> None:
    model = tiny_memgen()
    forced = {INFERENCE_IDS[0]: 5e3, PROMPT_IDS[0]: -1e4}
    [result] = generate_batch(LatentServedModel(model), [Request([3, DELIMITERS[0]], 10, 1.0, 0, frozenset(), forced)])
    assert (result.token_ids, result.log_probs, result.stop_reason) == ([INFERENCE_IDS[0]], [0.0], "completed")


def test_parts_of_a_stream() -> None:
    rules, delimiter = tiny_memgen().rules, DELIMITERS[0]
    assert split_blocks(rules, [3, 4]) == [[3, 4]]
    assert split_blocks(rules, [3, *PROMPT_IDS]) == [[3], 1]
    whole = [3, *PROMPT_IDS, 4, delimiter, *INFERENCE_IDS, delimiter, *INFERENCE_IDS, 5]
    assert split_blocks(rules, whole) == [[3], 1, [4, delimiter], 2, [delimiter], 2, [5]]
    assert split_blocks(rules, [delimiter, *INFERENCE_IDS]) == [[delimiter], 2]


@pytest.mark.parametrize(
    ("ids", "field"),
    [
        ([], "stream"),
        (PROMPT_IDS, "stream"),
        ([3, *PROMPT_IDS[:2]], "stream"),
        ([3, *PROMPT_IDS[:2], 4], "stream[3]"),
        ([3, PROMPT_IDS[1]], "stream[1]"),
        ([3, *INFERENCE_IDS], "stream[1]"),
        ([3, *PROMPT_IDS, 4, *PROMPT_IDS], "stream[5]"),
        ([3, *PROMPT_IDS, *[DELIMITERS[0], *INFERENCE_IDS] * 4], "stream[20]"),
        ([3, 160], "prompt_ids"),
        ([3] * 1020, "prompt_ids"),
    ],
)
def test_what_is_no_stream_is_refused_by_name(ids: list[int], field: str) -> None:
    """Bad input: a cut block, a stray reserved id, a block too many, an id beyond the vocabulary, no room."""
    with pytest.raises(FieldError) as error:
        LatentServedModel(tiny_memgen()).check(ids, 10)
    assert error.value.field == field
