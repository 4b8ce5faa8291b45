"""verl's agent loop with latents, against a server that computes every token from the whole stream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tiny_models import randomise
from transformers import AutoModelForCausalLM
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap
from verl.workers.rollout.replica import TokenOutput

from memgen.base.chat import prompt_ids
from memgen.example import chat_tokenizer, write_base
from memgen.training.agent_loop import LatentAgentLoop
from memgen.weaver import MemGenModel, build_memgen
from memupdate.errors import FieldError

QUESTION = [{"role": "user", "content": "Say it back: red blue"}]
LATER = [*QUESTION, {"role": "assistant", "content": "red blue"}, {"role": "user", "content": "Again"}]


class NaiveServer:
    """Answers a request by a forward pass over the whole stream for every token."""

    def __init__(self, model: MemGenModel) -> None:
        self.model = model
        self.requests: list[dict[str, Any]] = []

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> TokenOutput:
        self.requests.append({"id": request_id, "ids": list(prompt_ids), **sampling_params})
        source = torch.Generator().manual_seed(sampling_params["sampling_seed"])
        tokens: list[int] = []
        log_probs: list[float] = []
        stop_reason = "length"
        while len(tokens) < sampling_params["max_new_tokens"]:
            with torch.no_grad():
                logits = self.model(torch.tensor([[*prompt_ids, *tokens]])).logits[0, -1].double()
            for token, bias in sampling_params["logit_bias"].items():
                logits[int(token)] += bias
            policy = torch.log_softmax(logits / sampling_params["temperature"], -1)
            tokens.append(int(torch.multinomial(policy.exp(), 1, generator=source)))
            log_probs.append(float(policy[tokens[-1]]))
            if tokens[-1] in sampling_params["stop_token_ids"]:
                # verl's client calls an answer that fills its budget "length", whatever the server said
                stop_reason = "completed" if len(tokens) < sampling_params["max_new_tokens"] else "length"
                break
        extra = {"global_steps": len(self.requests)}
        return TokenOutput(token_ids=tokens, log_probs=log_probs, stop_reason=stop_reason, extra_fields=extra)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model at temperature 0.8 whose trigger tosses a coin."""
    folder = tmp_path_factory.mktemp("loop")
    base = AutoModelForCausalLM.from_pretrained(write_base(folder / "base"))
    model = build_memgen(
        base,
        chat_tokenizer(),
        mode="learned",
        prompt_latents=2,
        inference_latents=3,
        generation_prefix="<|im_start|>assistant\n",
        delimiters=[",", ".", "e"],
    )
    randomise(model)
    torch.nn.init.zeros_(model.trigger.output_layer.weight)
    torch.nn.init.zeros_(model.trigger.output_layer.bias)
    model.config.temperature = 0.8
    model.save_pretrained(folder / "model")
    return folder / "model"


def play(
    checkpoint: Path,
    stage: str = "both",
    session: int = 0,
    step: int = 3,
    temperature: float = 0.8,
    question: list[dict[str, str]] = QUESTION,
) -> tuple[AgentLoopOutput, NaiveServer, MemGenModel]:
    model = MemGenModel.from_pretrained(checkpoint).eval()
    server = NaiveServer(model)
    config = OmegaConf.create(
        {
            "actor_rollout_ref": {"model": {"path": str(checkpoint)}, "rollout": {}},
            "data": {},
            "memgen": {"seed": 5, "stage": stage, "max_new_tokens": 20},
        }
    )
    loop = LatentAgentLoop(
        trainer_config=DictConfigWrap(config),
        server_manager=server,  # type: ignore[arg-type]
        tokenizer=chat_tokenizer(),  # type: ignore[arg-type]
        processor=None,  # type: ignore[arg-type]
        dataset_cls=None,  # type: ignore[arg-type]
        data_config=DictConfigWrap(config.data),
    )
    row = {"raw_prompt": question, "uid": "d000000001", "global_steps": step, "session_id": session}
    return asyncio.run(loop.run({"temperature": temperature}, **row)), server, model


def test_g41_g44_the_trajectory_is_a_stream_whose_log_probs_the_trainer_repeats(checkpoint: Path) -> None:
    """Prompt as evaluation writes it; every action's log-prob is the one of a teacher-forced pass at this temperature;
    counts add up; the versions are those of the first and the last request."""
    inserted = 0
    for session in range(4):
        output, server, model = play(checkpoint, session=session)
        assert output.prompt_ids == prompt_ids(chat_tokenizer(), QUESTION)
        stream = torch.tensor([output.prompt_ids + output.response_ids])
        logits = model(stream).logits[0].double() / 0.8
        replayed = logits.log_softmax(-1)[:-1].gather(1, stream[0, 1:, None])[len(output.prompt_ids) - 1 :, 0]
        assert output.response_logprobs == pytest.approx(replayed.tolist(), abs=1e-5)
        assert len(output.response_ids) == len(output.response_mask)
        latents = sum(token in model.rules.reserved.places for token in output.response_ids)
        counts, reserved = output.extra_fields["counts"], model.rules.reserved
        firsts = sum(token in (reserved.prompt[0], reserved.inference[0]) for token in output.response_ids)
        assert counts["latents"] == latents and counts["tokens"] == len(output.response_ids) - latents <= 20
        assert counts["blocks"] == firsts and counts["invocation_rate"] == firsts / counts["asked"]
        assert sum(output.response_mask) == counts["tokens"] + firsts
        assert counts["requests"] == len(server.requests)
        versions = output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]
        assert versions == (1, len(server.requests))
        inserted += firsts
    assert inserted > 0


def test_g24_requests_have_seeds_of_their_own_that_a_resumed_run_repeats(checkpoint: Path) -> None:
    first, server, _ = play(checkpoint)
    seeds = [request["sampling_seed"] for request in server.requests]
    assert len(set(seeds)) == len(seeds) > 1
    again, repeated, _ = play(checkpoint)
    assert [request["sampling_seed"] for request in repeated.requests] == seeds
    assert again.response_ids == first.response_ids
    for changes in ({"session": 1}, {"step": 4}):
        _, other, _ = play(checkpoint, **changes)
        assert not {request["sampling_seed"] for request in other.requests} & set(seeds)


def test_g20_a_block_at_the_end_of_its_budget_is_a_stop_and_not_a_cut(checkpoint: Path) -> None:
    """At the prompt's end one id is asked for: verl's client reports its answer as cut, also where it is a block's."""
    found = {play(checkpoint, "trigger", session)[0].response_ids[0] for session in range(8)}
    reserved = MemGenModel.from_pretrained(checkpoint).rules.reserved
    assert reserved.prompt[0] in found and found - {reserved.prompt[0]}


def test_a_later_turn_has_no_prompt_block(checkpoint: Path) -> None:
    """Only the first turn's prompt may end in a block; the loop reads the turn from the prompt's ids."""
    reserved = MemGenModel.from_pretrained(checkpoint).rules.reserved
    closed = str(reserved.prompt[0])
    _, first_turn, _ = play(checkpoint)
    assert closed not in first_turn.requests[0]["logit_bias"]
    output, server, _ = play(checkpoint, question=LATER)
    assert all(closed in request["logit_bias"] for request in server.requests)
    assert not set(output.response_ids) & set(reserved.prompt)


def test_another_temperature_than_the_model_s_is_refused(checkpoint: Path) -> None:
    """The gate is made for one temperature: at another, P(insert) would not be what the trainer takes it for."""
    with pytest.raises(FieldError, match=r"temperature: got 1\.0; allowed: 0\.8"):
        play(checkpoint, temperature=1.0)
