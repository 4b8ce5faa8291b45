"""The tiny policy's chat template: ChatML with hermes tool calls, as Qwen's, and tools in one line each.

A prompt costs CPU time at every turn, so a tool is rendered as ``merge_memory(memory_ids*, strategy*=a|b)`` instead of
its JSON schema. Only what survives verl's schema classes and a parquet round trip is used (names, ``enum``,
``required``), in an order that both keep: required parameters as listed, then the others by name. There is no thinking
block, so the text of a turn never depends on the turns after it and tokens never drift between turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

CHAT_TEMPLATE = """\
{%- macro parameter(name, schema, mark) -%}
{{ name }}{{ mark }}{% if mark and schema.enum %}={{ schema.enum | join('|') }}{% endif %}
{%- endmacro -%}
{%- macro tool_lines() -%}
{%- for tool in tools %}
{%- set function = tool.function if tool.function else tool %}
{%- set required = function.parameters.required or [] %}
{%- set signature = namespace(parts=[]) %}
{%- for name in required %}
{%- set signature.parts = signature.parts + [parameter(name, function.parameters.properties[name], '*')] %}
{%- endfor %}
{%- for name, schema in function.parameters.properties | dictsort if schema and name not in required %}
{%- set signature.parts = signature.parts + [parameter(name, schema, '')] %}
{%- endfor %}
{{- '\\n' + function.name + '(' + signature.parts | join(', ') + ')' }}
{%- endfor %}
{%- endmacro -%}
{%- if messages and messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content }}{{ tool_lines() if tools }}{{- '<|im_end|>\\n' }}
{%- elif tools %}
{{- '<|im_start|>system' }}{{ tool_lines() }}{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{%- set function = call.function if call.function else call %}
{{- '\\n' if not loop.first or message.content }}
{{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' }}
{{- function.arguments if function.arguments is string else function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user' if loop.first or messages[loop.index0 - 1].role != 'tool' }}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{{- '<|im_end|>\\n' if loop.last or messages[loop.index0 + 1].role != 'tool' }}
{%- elif message.role == 'user' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def render(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """The text of a conversation, without a tokenizer."""
    conversation: Any = [list(messages)]
    schemas: Any = None if tools is None else list(tools)
    rendered: Any = render_jinja_template(conversation, tools=schemas, chat_template=CHAT_TEMPLATE)[0]
    return str(rendered[0])
