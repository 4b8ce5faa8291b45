"""G43, U36: MemGen models served by a real actor of the torch rollout server, with weights through snapshots."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from malformed_requests import Malformed
from rollout_server import DEADLINE_S, Server
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "memgen"))
from tiny_models import randomise

from memgen.base.chat import generation_prefix
from memgen.base.server import ServerAnswer
from memgen.example import write_base
from memgen.weaver import LatentClient, LoraSettings, MemGenModel, SamplingSettings, build_memgen
from memgen.weaver.generated import Generated

pytestmark = pytest.mark.slow
QUESTIONS = ("red, blue", "green. white", "pink")
LORA = LoraSettings(rank=4, alpha=8.0, dropout=0.0)
TOKENS = 24
# Batches form as requests arrive. Their shapes change a float64 model by 1e-15, or, once in many runs, by a rounding of
# the fp32 that Hugging Face's norms compute in. tests/unit has the tolerance of 1e-9, for batches that do not vary.
TOLERANCE = 1e-6


class Served:
    """A model, a server of its kind, and the prompts."""

    def __init__(self, folder: Path, kind: str) -> None:
        base = write_base(folder / "base")  # the head is tied to the embeddings
        tokenizer = AutoTokenizer.from_pretrained(base)
        own: dict[str, Any] = {}
        if kind == "paper":
            write_base(folder / "weaver", "llama", 32, seed=2)
            write_base(folder / "trigger", "llama", 24, seed=3)
            own = {
                f"{part}_base": AutoModelForCausalLM.from_pretrained(folder / part) for part in ("weaver", "trigger")
            }
        self.model: MemGenModel = build_memgen(
            AutoModelForCausalLM.from_pretrained(base),
            tokenizer,
            weaver=kind,
            trigger="paper" if kind == "paper" else "head",
            prompt_latents=2,
            inference_latents=3,
            max_inference_aug_num=3,
            delimiters=list(" ,.abcdefghiklmnoprstuw"),  # often drawn by a model that knows nothing
            generation_prefix=generation_prefix(tokenizer),
            weaver_lora=LORA,
            trigger_lora=LORA,
            **own,
        )
        self.model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        self.server = Server("torch", folder / "model", ["actor_rollout_ref.model.external_lib=memgen.training.plugin"])
        self.prompts = [
            tokenizer.encode(
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
                )
            )
            for text in QUESTIONS
        ]
        self.model.double().eval()

    def load(self, step: int, seed: int, drop: str = "") -> None:
        """New weights for the model, and, by a snapshot, for the server."""
        randomise(self.model, seed)
        state = {name: tensor for name, tensor in self.model.state_dict().items() if name != drop}
        self.server.load(step, state)

    def ask(self, mode: str, temperature: float, seed: int = 0) -> list[Generated]:
        """All prompts at once; requests of a prompt have a seed of their own."""

        def transport(row: int) -> Any:
            async def send(ids: list[int], sampling: dict[str, Any], _: int) -> ServerAnswer:
                output = await self.server.handle.generate.remote(
                    request_id="r", prompt_ids=ids, sampling_params=sampling | {"sampling_seed": seed + row}
                )
                return ServerAnswer(output.token_ids, output.log_probs, 0, output.stop_reason == "completed")

            return send

        async def run() -> list[Generated]:
            clients = [LatentClient(self.model.rules, mode, transport(row)) for row in range(len(self.prompts))]
            calls = [
                client.generate(prompt, TOKENS, temperature)
                for client, prompt in zip(clients, self.prompts, strict=True)
            ]
            return list(await asyncio.wait_for(asyncio.gather(*calls), DEADLINE_S))

        return asyncio.run(run())

    def largest_difference(self, rows: list[Generated], mode: str, temperature: float) -> float:
        """Between the server's log-probs and the trainer's; prompts' ends and turns are read from the ids."""
        self.model.config.mode, self.model.config.temperature = mode, temperature
        worst = 0.0
        for row in rows:
            ids = torch.tensor([row.stream])
            with torch.no_grad():
                logits = self.model(ids).logits[0, :-1] / temperature
            found = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[len(row.prompt_ids) - 1 :, 0]
            worst = max(worst, (found - torch.tensor(row.log_probs, dtype=found.dtype)).abs().max().item())
        return worst


@pytest.fixture(scope="module", params=["shared", "paper"])
def served(request: pytest.FixtureRequest, ray_session: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = Served(tmp_path_factory.mktemp(request.param), request.param)
    yield started
    ray.kill(started.server.handle)


def test_g43_log_probs_are_those_of_the_weights_that_were_loaded_last(served: Served) -> None:
    """Every part of the model is loaded, with and without the tied head's second name, and the next request uses it."""
    for step, drop in enumerate(("", "reasoner.lm_head.weight")):
        served.load(step, seed=20 + step, drop=drop)
        for mode, temperature in (("learned", 1.0), ("learned", 0.7), ("always", 1.0), ("never", 1.0)):
            rows = served.ask(mode, temperature, seed=5)
            assert served.largest_difference(rows, mode, temperature) < TOLERANCE, (step, mode, temperature)
            if mode == "always":
                assert min(row.blocks for row in rows) == 4  # the prompt's and the cap
    rows = served.ask("learned", 1.0, seed=5)
    randomise(served.model, seed=99)
    assert served.largest_difference(rows, "learned", 1.0) > 1e-2


def test_g43_greedy_responses_are_the_engines(served: Served) -> None:
    served.load(5, seed=31)
    for mode in ("learned", "always"):
        served.model.config.mode = mode
        expected = served.model.generate(served.prompts, max_new_tokens=TOKENS, sampling=SamplingSettings(0)).rows
        found = served.ask(mode, 0.0)
        assert [(row.response_ids, row.decisions) for row in found] == [
            (row.response_ids, row.decisions) for row in expected
        ]


def test_u36_seeds_decide_tokens_and_blocks(served: Served) -> None:
    served.load(6, seed=32)
    first, again, other = (served.ask("learned", 1.0, seed) for seed in (40, 40, 50))
    assert [row.response_ids for row in first] == [row.response_ids for row in again]
    for row, same in zip(first, again, strict=True):
        torch.testing.assert_close(torch.tensor(row.log_probs), torch.tensor(same.log_probs), atol=TOLERANCE, rtol=0)
    assert [row.response_ids for row in first] != [row.response_ids for row in other]


def test_malformed_requests_are_refused_and_good_ones_are_answered_beside_them(served: Served) -> None:
    """150 malformed requests beside good ones in the same batches: each fails alone, and the answers stay exact."""
    served.load(7, seed=33)
    config, rules = served.model.config, served.model.rules
    reserved, delimiters = set(rules.reserved.all), rules.delimiters.ids
    texts = [token for token in range(3, config.vocab_size) if token not in reserved | delimiters]
    context = config.max_position_embeddings
    drawn = Malformed(
        rules.reserved.prompt, rules.reserved.inference, sorted(delimiters), texts, config.vocab_size, context, 3
    )
    good = [*served.prompts[0], *rules.reserved.prompt]
    answers = [served.server.generate(good).token_ids]
    kinds = len(drawn.streams) + len(drawn.sampling)
    asked = [(seed, *drawn.draw(seed)) for seed in range(250) if seed % (kinds + len(drawn.bodies)) < kinds]
    beside = [served.server.submit(good) for _ in range(10)]
    sent = [served.server.submit(body["input_ids"], **body["sampling_params"]) for _, _, body in asked]
    beside += [served.server.submit(good) for _ in range(10)]
    for (seed, kind, body), request in zip(asked, sent, strict=True):
        with pytest.raises(ray.exceptions.RayTaskError, match="FieldError"):
            ray.get(request, timeout=DEADLINE_S)
            raise AssertionError((seed, kind, body))
    answers += [ray.get(request, timeout=DEADLINE_S).token_ids for request in beside]
    assert len(sent) > 150 and answers == [answers[0]] * 21


def test_a_bad_request_is_refused_and_the_server_goes_on(served: Served) -> None:
    served.load(8, seed=33)
    block = served.model.config.prompt_ids
    for ids, params, field in (
        ([5, block[0], 6], {}, r"stream\[2\]"),
        ([5, 100_000], {}, "prompt_ids"),
        ([5, 6], {"logit_bias": {"100000": 1.0}}, "sampling_params.logit_bias"),
    ):
        with pytest.raises(ray.exceptions.RayTaskError, match=field):
            served.server.generate(ids, **params)
    assert len(served.server.generate([5, *block], max_new_tokens=3).token_ids) >= 1
