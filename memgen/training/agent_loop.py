"""verl's agent loop for latent methods: one question and one answer of text and latents."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
from verl.utils.profiler import simple_timer

from memgen.base.chat import prompt_ids
from memgen.base.server import ServerAnswer
from memgen.methods import LatentMethod, method_of_checkpoint
from memupdate.platform.seeds import request_seed


@cache
def method_and_config(path: str) -> tuple[LatentMethod[Any, Any, Any], PreTrainedConfig]:
    """Returns the method and the config of a checkpoint.

    The result is cached, because verl creates a new loop object for every trajectory.
    """
    method = method_of_checkpoint(Path(path))
    return method, method.read_config(Path(path))


class ServerRequests:
    """Sends the requests of one trajectory to the rollout server. Each request has its own seed.

    Attributes:
        versions: for each request so far, the training step of the policy that answered it.
    """

    def __init__(self, server_manager: Any, run_seed: int, step: int, prompt: str, rollout_index: int) -> None:
        """Sets the server and the trajectory, see :func:`memupdate.platform.seeds.request_seed`."""
        self._server_manager = server_manager
        self._trajectory = (run_seed, step, prompt, rollout_index)
        self.versions: list[int] = []

    async def send(self, ids: list[int], sampling: dict[str, Any], logprob_start_len: int) -> ServerAnswer:
        """Sends one request. Its seed depends on its number in the trajectory.

        Args:
            ids: ids of the stream so far.
            sampling: sampling parameters of the request.
            logprob_start_len: not used; verl's servers return the log-probs of the generated ids.
        """
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
            # If an answer uses all its tokens, verl reports "length", even if the last id is a stop id.
            stopped=output.stop_reason == "completed" or output.token_ids[-1] in sampling["stop_token_ids"],
        )


class LatentAgentLoop(AgentLoopBase):
    """Generates one response with the method of the checkpoint. The stage determines which of its ids are actions.

    It reads ``seed``, ``stage`` and ``max_new_tokens`` from the ``memgen`` section of the config.
    """

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Runs the trajectory.

        Args:
            sampling_params: verl's sampling parameters. Only ``temperature`` is used.
            kwargs: the row of the data set (``raw_prompt``), ``uid``, ``global_steps`` and ``session_id``.

        Returns:
            verl's output. Its ``extra_fields`` hold ``answer`` (the text of the response), ``counts`` (numbers for
            metrics), and ``min_global_steps`` and ``max_global_steps`` (training steps of the policy).

        Raises:
            FieldError: the model does not support this temperature.
        """
        method, config = method_and_config(str(self.config.actor_rollout_ref.model.path))
        settings = self.config.memgen
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
            rollout = await method.roll_out(
                config,
                prompt,
                requests.send,
                stage=str(settings.stage),
                max_new_tokens=int(settings.max_new_tokens),
                temperature=float(sampling_params["temperature"]),
                stop_ids=[tokenizer.eos_token_id],
            )
        counts = {
            **rollout.counts,
            "stopped": float(rollout.finish_reason == "stop"),
            "requests": len(requests.versions),
        }
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=rollout.response_ids,
            response_mask=rollout.actions,
            response_logprobs=rollout.log_probs,
            num_turns=2,
            metrics=AgentLoopMetrics(**timing),
            extra_fields={
                "answer": tokenizer.decode(rollout.text_ids, skip_special_tokens=True),
                "counts": counts,
                "min_global_steps": min(requests.versions),
                "max_global_steps": max(requests.versions),
            },
        )
