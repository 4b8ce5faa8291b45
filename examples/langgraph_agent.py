"""A LangGraph agent with the six memory tools. It stores facts and answers questions from its memory.

By default it runs offline with a scripted model. For a real model, set an OpenAI-compatible endpoint
(``OPENAI_BASE_URL``, ``OPENAI_API_KEY``) and pass ``--model NAME``:

    python examples/langgraph_agent.py
    python examples/langgraph_agent.py --model Qwen/Qwen2.5-3B-Instruct "I moved to Oslo." "Where do I live?"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore, memory_tools, open_bank

BANK = "ana"
SYSTEM_PROMPT = "You have a memory. Search it before you answer; keep what will matter later and correct what changed."
TURNS = ("I moved to Oslo last week.", "Where do I live?")


class ScriptedModel(GenericFakeChatModel):
    """A chat model that plays a fixed list of messages."""

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> ScriptedModel:
        """Returns the model unchanged, because the messages already contain the tool calls."""
        return self


def scripted_model() -> ScriptedModel:
    """Returns a model with messages for ``TURNS``: an invalid call, which gets an error, a valid one, and a search."""

    def call(number: int, name: str, **arguments: Any) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{number}"}])

    return ScriptedModel(
        messages=iter(
            [
                call(1, "manage_memory", operation="add", content="The user lives in Oslo."),
                call(2, "manage_memory", operation="create", content="The user lives in Oslo.", memory_type="semantic"),
                AIMessage("I will remember that."),
                call(3, "search_memory", query="where the user lives"),
                AIMessage("You live in Oslo."),
            ]
        )
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs the turns and prints the messages and the final content of the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a chat model of the endpoint (default: the scripted model)")
    parser.add_argument("turns", nargs="*", help="the user's messages")
    options = parser.parse_args(words)
    if options.turns and not options.model:
        parser.error("the scripted model knows its own turns only; give --model with other ones")
    model: BaseChatModel = scripted_model()
    if options.model:
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(model=options.model, temperature=0)

    broker = MemoryBroker(None)
    open_bank(broker, BANK)
    agent = create_agent(model, memory_tools(broker, BANK), system_prompt=SYSTEM_PROMPT)
    for turn in options.turns or TURNS:
        state = agent.invoke({"messages": [HumanMessage(turn)]})
        for message in state["messages"]:
            calls = "".join(f" {call['name']} {call['args']}" for call in getattr(message, "tool_calls", []))
            sys.stdout.write(f"{message.type:>5}: {message.text}{calls}\n")
    for item in MemoryBankStore(broker).search((BANK,)):
        sys.stdout.write(f"\nin the memory, as LangGraph's store sees it: [{item.key}] {item.value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
