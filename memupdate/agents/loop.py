"""verl's tool loop for memory editing, with one namespace of the broker per trajectory."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import AgentData, AgentState, ToolAgentLoop
from verl.experimental.agent_loop.tool_parser import FunctionCall
from verl.tools.schemas import ToolResponse

import memupdate.agents.parser  # noqa: F401  # registers the parser with verl
from memupdate.agents.token_limit import TokenLimit, defuse_special_tokens
from memupdate.agents.tool_calls import MALFORMED_CALL, ParsedCall, ignored_reply, malformed_reply, unknown_reply
from memupdate.broker import MemoryStoreManager
from memupdate.errors import FieldError, MemupdateError
from memupdate.platform.seeds import request_seed
from memupdate.tools import TOOLS, MemoryTool, TrajectoryCounts

logger = logging.getLogger(__name__)


class NamespaceInUseError(MemupdateError):
    """Two trajectories got the same namespace, so they would edit one bank."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.namespace = namespace

    def __str__(self) -> str:
        return (
            f"namespace: {self.namespace!r} is open already; allowed: one of its own for every rollout "
            "(the uid of every prompt of a step must be its own)"
        )


def rollout_namespace(trajectory_id: str, step: int, prompt: str, session_id: int) -> str:
    """Returns the namespace of one rollout.

    Args:
        trajectory_id: the ``namespace`` of the dataset's row.
        step: the training step.
        prompt: the prompt's uid. A batch that spans two epochs can contain a row twice, with different uids.
        session_id: the index of the rollout in its group.
    """
    return f"{trajectory_id}-s{step}-{prompt}-r{session_id}"


class MemoryAgentLoop(ToolAgentLoop):
    """verl's ``ToolAgentLoop`` with tools that edit the trajectory's bank.

    It extends verl's loop as follows:

    - It opens a namespace before the trajectory, and closes it if anything fails. After a success, the namespace stays
      open for the reward manager, which reads and closes it.
    - Every tool call that the model writes is answered, and the calls of one turn run in order.
    - Tool replies are cut by tokens.
    - Every generation has a seed.
    - ``extra_fields`` contains the counts of the trajectory.

    Raises:
        FieldError: a tool is not a ``MemoryTool``, or ``memory.tool_response_tokens`` is too small for any text.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, tool in self.tools.items():
            if not isinstance(tool, MemoryTool):
                raise FieldError("tool_config_path", f"{name} ({type(tool).__name__})", f"only {', '.join(TOOLS)}")
        self.memory_config = self.config.memory
        self._token_limit = TokenLimit(self.memory_config.tool_response_tokens, self.tokenizer)
        self.counts = TrajectoryCounts()
        self._namespace = ""
        self._seed_of_turn: tuple[int, int, str, int] = (0, 0, "", 0)
        self._call_number = 0
        self._one_call = asyncio.Lock()

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Runs the trajectory.

        Args:
            sampling_params: verl's sampling parameters. The loop adds a ``sampling_seed`` for every generation.
            kwargs: the dataset's row, ``uid``, ``global_steps`` and ``session_id``. The loop reads ``namespace`` and
                ``bank`` from the row's ``extra_info``.

        Returns:
            verl's output. In addition to verl's keys, its ``extra_fields`` has ``namespace`` and the keys of
            ``TrajectoryCounts.to_fields``.

        Raises:
            NamespaceInUseError: another trajectory has this namespace.
            MemupdateError: there is no such broker or conversation.
        """
        extra_info, step, session_id = kwargs["extra_info"], int(kwargs["global_steps"]), int(kwargs["session_id"])
        prompt = str(kwargs["uid"])
        self._namespace = rollout_namespace(extra_info["namespace"], step, prompt, session_id)
        self._seed_of_turn = (int(self.memory_config.seed), step, prompt, session_id)
        broker = await MemoryStoreManager.connect(self.memory_config.broker_name)
        opened = await broker.open(self._namespace, extra_info["bank"])
        if not opened["created"]:
            raise NamespaceInUseError(self._namespace)
        try:
            output: AgentLoopOutput = await super().run(sampling_params, **kwargs)
            after = await broker.stats(self._namespace)
        except BaseException:  # also after a cancellation, so that no namespace outlives its trajectory
            await self._close_after_failure(broker)
            raise
        self.counts.memory_count_before = after["count_initial"]
        self.counts.memory_count_after = after["count"]
        output.extra_fields.update(self.counts.to_fields(), namespace=self._namespace)
        return output

    async def _close_after_failure(self, broker: MemoryStoreManager) -> None:
        try:
            await broker.close(self._namespace)
        except Exception:  # the caller raises the first error
            logger.exception("namespace %s could not be closed after its trajectory failed", self._namespace)

    async def _handle_pending_state(self, agent_data: AgentData, sampling_params: dict[str, Any]) -> AgentState:
        agent_data.request_id = self._namespace  # one server for all turns, and the same in a repeated run
        state: AgentState = await super()._handle_pending_state(agent_data, sampling_params)
        return state

    def _cap_text_prompt_length(self, prompt_ids: list[int]) -> list[int]:
        """Refuses a prompt that is too long. verl would cut off its beginning: the system prompt and the tools."""
        longest = self.rollout_config.prompt_length
        if len(prompt_ids) > longest:
            raise FieldError("data.max_prompt_length", longest, f"{len(prompt_ids)} or more, the tokens of this prompt")
        return prompt_ids

    async def _handle_generating_state(
        self, agent_data: AgentData, sampling_params: dict[str, Any], ignore_termination: bool = False
    ) -> AgentState:
        # A copy, because verl passes the same dict to every rollout of a group.
        seeded = {**sampling_params, "sampling_seed": request_seed(*self._seed_of_turn, turn=self.counts.turns)}
        self.counts.turns += 1
        state: AgentState = await super()._handle_generating_state(agent_data, seeded, ignore_termination)
        return state

    async def _handle_processing_tools_state(self, agent_data: AgentData) -> AgentState:
        self.counts.ignored_calls += self._ignored(agent_data)
        state: AgentState = await super()._handle_processing_tools_state(agent_data)
        return state

    def _ignored(self, agent_data: AgentData) -> int:
        return max(0, len(agent_data.tool_calls) - int(self.max_parallel_calls))

    async def _call_tool(
        self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Answers one call. verl starts all calls of a turn at once, but here they run one after the other.

        It replaces verl's method, which cuts by characters (``max_tool_response_length``) and would turn the error of a
        dead broker into a tool reply, on which the run would train.
        """
        async with self._one_call:
            text = await self._answer(tool_call, agent_data)
        text = self._token_limit.cut(defuse_special_tokens(text, self.tokenizer))
        ignored = self._ignored(agent_data)
        if ignored and tool_call is agent_data.tool_calls[self.max_parallel_calls - 1]:
            text += "\n" + ignored_reply(ignored, self.max_parallel_calls)
        return ToolResponse(text=text), 0.0, {}

    async def _answer(self, tool_call: FunctionCall, agent_data: AgentData) -> str:
        arguments = json.loads(tool_call.arguments)  # the parser wrote valid JSON
        if tool_call.name == MALFORMED_CALL:
            self.counts.malformed_calls += 1
            return malformed_reply(ParsedCall(tool_call.name, arguments))
        tool = self.tools.get(tool_call.name)
        if tool is None:
            self.counts.unknown_calls += 1
            return unknown_reply(tool_call.name, self.tools)
        number, self._call_number = self._call_number, self._call_number + 1
        create_kwargs = {
            "namespace": self._namespace,
            "broker_name": self.memory_config.broker_name,
            "call_number": number,
        }
        instance_id, _ = await tool.create(create_kwargs=create_kwargs)
        try:
            response, _, result = await tool.execute(instance_id, arguments, agent_data=agent_data)
        finally:
            await tool.release(instance_id)
        self.counts.calls[tool_call.name] += 1
        self.counts.errors[tool_call.name] += result["error"]
        return str(response.text)
