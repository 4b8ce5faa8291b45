"""An OpenAI-compatible chat endpoint as a text policy.

The endpoint is sent text and returns text. The tools stand in the system prompt, and their replies in user messages, as
Qwen's chat template writes them. So any chat model can play, and no endpoint needs a parser of tool calls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from memupdate.chain.contract import Completion, Message, Schemas
from memupdate.errors import FieldError, MemupdateError

API_KEY_VARIABLE = "OPENAI_API_KEY"
RETRIES = 5
TIMEOUT_S = 300.0

TOOLS_PROMPT = """

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


class EndpointPolicy:
    """A model behind an OpenAI-compatible chat endpoint, at temperature 1.

    Args:
        address: the endpoint's address, such as ``http://localhost:8000/v1``.
        model: the model's name there.
        max_tokens: the largest number of tokens of one turn.

    Raises:
        FieldError: the environment has no ``OPENAI_API_KEY``.
    """

    def __init__(self, address: str, model: str, max_tokens: int) -> None:
        from openai import OpenAI

        key = os.environ.get(API_KEY_VARIABLE)
        if not key:
            allowed = "a key in the environment (any text for an endpoint that checks none)"
            raise FieldError(API_KEY_VARIABLE, "", allowed)
        self.identity: Mapping[str, str] = {"address": address, "model": model}
        self.tokenizer: Any = None
        self._model = model
        self._max_tokens = max_tokens
        self._client = OpenAI(api_key=key, base_url=address, max_retries=RETRIES, timeout=TIMEOUT_S)

    def reply(self, messages: Sequence[Message], tools: Schemas, seed: int) -> Completion:
        """See :class:`memupdate.chain.contract.TextPolicy`.

        Raises:
            MemupdateError: the endpoint refuses the request, or gives no reply after several tries.
        """
        from openai import APIError

        sent: Any = as_text(messages, tools)
        try:
            answer = self._client.chat.completions.create(
                model=self._model, messages=sent, temperature=1.0, seed=seed, max_tokens=self._max_tokens
            )
        except APIError as error:
            raise MemupdateError(f"policy {self._model} at {self._client.base_url}: no reply: {error}") from error
        if not answer.choices:
            raise MemupdateError(f"policy {self._model} at {self._client.base_url}: a reply without choices")
        choice = answer.choices[0]
        return Completion(choice.message.content or "", choice.finish_reason != "length")


def as_text(messages: Sequence[Message], tools: Schemas) -> list[dict[str, str]]:
    """Returns messages of the roles system, user and assistant alone, with tools and their replies as text.

    Args:
        messages: the chat. The first message is the system prompt.
        tools: the schemas of the tools.
    """
    signatures = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    sent = [{"role": "system", "content": messages[0]["content"] + TOOLS_PROMPT.format(signatures=signatures)}]
    after_tool = False
    for message in messages[1:]:
        is_tool = message["role"] == "tool"
        content = message["content"]
        if is_tool:
            content = f"<tool_response>\n{content}\n</tool_response>"
        if is_tool and after_tool:  # the replies of one turn are one message
            sent[-1]["content"] += f"\n{content}"
        else:
            sent.append({"role": "user" if is_tool else message["role"], "content": content})
        after_tool = is_tool
    return sent
