"""verl's agent loop for latents: one question, one answer whose response is a stream of text and blocks."""

from __future__ import annotations

from functools import cache
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
from verl.utils.profiler import simple_timer

from memgen.data.streams import prompt_ids
from memgen.model import MemGenConfig
from memgen.model.prompts import turn_of
from memgen.serving import LatentClient, ServerAnswer
from memgen.training.actions import action_mask
from memgen.training.invocation import invocation_rate
from memupdate.errors import FieldError
from memupdate.platform.seeds import request_seed


@cache
def model_config(path: str) -> MemGenConfig:
    """The config of a checkpoint; a loop object lives for one trajectory, its worker for the run."""
    config = MemGenConfig.from_pretrained(path)
    assert isinstance(config, MemGenConfig)
    return config


class ServerRequests:
    """One trajectory's requests to the rollout server, each with a seed of its own.

    Attributes:
        versions: the policy's step at each request.
    """

    def __init__(self, server_manager: Any, run_seed: int, step: int, prompt: str, rollout_index: int) -> None:
        """Names the trajectory; see :func:`memupdate.platform.seeds.request_seed`."""
        self._server_manager = server_manager
        self._trajectory = (run_seed, step, prompt, rollout_index)
        self.versions: list[int] = []

    async def send(self, ids: list[int], sampling: dict[str, Any], logprob_start_len: int) -> ServerAnswer:
        """Sends one request of the client; its number in the trajectory is its turn."""
        seed = request_seed(*self._trajectory, turn=len(self.versions))
        output = await self._server_manager.generate(
            request_id="-".join(map(str, self._trajectory)),
            prompt_ids=ids,
            sampling_params={**sampling, "sampling_seed": seed, "logprobs": True},
        )
        self.versions.append(output.extra_fields["global_steps"])
        return ServerAnswer(
            token_ids=list(output.token_ids),
            log_probs=list(output.log_probs),
            cached_tokens=int(output.extra_fields.get("num_cached_tokens") or 0),
            # verl calls an answer that fills its budget "length", also where its last id is a stop id
            stopped=output.stop_reason == "completed" or output.token_ids[-1] in sampling["stop_token_ids"],
        )


class LatentAgentLoop(AgentLoopBase):
    """Generates one response with the client that serving uses; the stage says which of its positions are actions.

    Reads ``memgen`` of the config: ``seed``, ``stage``, ``max_new_tokens``.
    """

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Runs the trajectory.

        Args:
            sampling_params: verl's; the temperature is read.
            kwargs: the dataset's row (``raw_prompt``), ``uid``, ``global_steps`` and ``session_id``.

        Returns:
            verl's output; ``extra_fields`` has ``answer`` (the response's text) and ``counts`` (numbers).

        Raises:
            FieldError: another temperature than the model's, by which its gate was made.
        """
        config = model_config(str(self.config.actor_rollout_ref.model.path))
        temperature = float(sampling_params["temperature"])
        if temperature != config.temperature:
            raise FieldError("actor_rollout_ref.rollout.temperature", temperature, f"{config.temperature}, the model's")
        settings, rules = self.config.memgen, config.rules()
        tokenizer: Any = self.tokenizer
        prompt = prompt_ids(tokenizer, list(kwargs["raw_prompt"]))
        requests = ServerRequests(
            self.server_manager,
            int(settings.seed),
            int(kwargs["global_steps"]),
            str(kwargs["uid"]),
            int(kwargs["session_id"]),
        )
        timing: dict[str, Any] = {}
        with simple_timer("generate_sequences", timing):
            generated = await LatentClient(rules, config.mode, requests.send).generate(
                prompt,
                int(settings.max_new_tokens),
                temperature,
                stop_ids=[tokenizer.eos_token_id],
                turn=turn_of(prompt, config.generation_prefix_ids),
            )
        counts = {
            "blocks": generated.blocks,
            "asked": generated.asked,
            "invocation_rate": invocation_rate(generated.blocks, generated.asked),
            "latents": len(generated.response_ids) - len(generated.text_ids),
            "tokens": len(generated.text_ids),
            "stopped": float(generated.finish_reason == "stop"),
            "requests": len(requests.versions),
        }
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=generated.response_ids,
            response_mask=action_mask(settings.stage, generated, rules.reserved),
            response_logprobs=generated.log_probs,
            num_turns=2,
            metrics=AgentLoopMetrics(**timing),
            extra_fields={
                "answer": tokenizer.decode(generated.text_ids, skip_special_tokens=True),
                "counts": counts,
                "min_global_steps": min(requests.versions),
                "max_global_steps": max(requests.versions),
            },
        )
