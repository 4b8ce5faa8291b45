"""The chat template of the tiny policy: ChatML with hermes tool calls, as Qwen has it, and one line per tool.

A prompt costs CPU time in every turn, so a tool is shown as ``merge_memory(memory_ids*, strategy*=a|b)`` and not by its
JSON schema. The template uses only what verl's schema classes and a parquet file preserve: names, ``enum`` and
``required``. Required parameters come first, as listed; the others follow by name. There is no thinking block, so the
text of a turn never depends on later turns, and its tokens are the same in every turn. For the same reason each reply
of a tool is a message of its own, where Qwen's template puts the replies to parallel calls into one.
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
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'user' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def render(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Returns the text of a conversation. No tokenizer is needed.

    Args:
        messages: the chat messages.
        tools: the schemas of the tools; None for none.
    """
    conversation: Any = [list(messages)]
    schemas: Any = None if tools is None else list(tools)
    rendered: Any = render_jinja_template(conversation, tools=schemas, chat_template=CHAT_TEMPLATE)[0]
    return str(rendered[0])
