"""verl's parser class for the tool calls of :mod:`memupdate.agents.tool_calls`.

verl's hermes parser drops a malformed call. The episode then ends, or the mistake goes unnoticed. This parser keeps it,
and the agent loop answers it. Importing this module registers the parser with verl. The agent loop imports it in the
workers that need it.
"""

from __future__ import annotations

import asyncio
import json

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser
from verl.tools.schemas import OpenAIFunctionToolSchema
from verl.utils.rollout_trace import rollout_trace_op

from memupdate.agents.tool_calls import read_tool_calls

PARSER_NAME = "memory_hermes"


@ToolParser.register(PARSER_NAME)
class MemoryHermesParser(ToolParser):
    """verl's parser class for hermes tool calls (Qwen's format), selected with ``multi_turn.format=memory_hermes``."""

    @rollout_trace_op  # type: ignore[untyped-decorator]  # verl gives it no types
    async def extract_tool_calls(
        self, responses_ids: list[int], tools: list[OpenAIFunctionToolSchema] | None = None
    ) -> tuple[str, list[FunctionCall]]:
        """Returns the text of a completion outside its calls, and the calls."""
        text = await asyncio.to_thread(self.tokenizer.decode, responses_ids)
        # A server's output ends with the end-of-turn token unless the length limit cut it.
        finished = bool(responses_ids) and responses_ids[-1] == self.tokenizer.eos_token_id
        content, calls = read_tool_calls(text, finished=finished)
        return content, [FunctionCall(name=call.name, arguments=json.dumps(call.arguments)) for call in calls]
