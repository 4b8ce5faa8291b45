"""Scripted trajectories: every tool call is valid, and every choice is random.

They show a policy how to call tools. They do not show which calls pay off; reinforcement learning finds that. The calls
run on a real bank, so the ids, scores and texts in the replies of the tools are real.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memupdate.broker.service import outcome_of
from memupdate.errors import MemupdateError
from memupdate.memory import MAX_MERGED, MERGE_STRATEGIES, SPLIT_CRITERIA, MemoryBank
from memupdate.tools import CallContext, error_text, load_tool

Message = dict[str, str]
# The name of a tool, and its arguments.
Call = tuple[str, Mapping[str, Any]]

LAST_REPLY = "Done."
# How often a trajectory ends at once, and how often it looks by sampling instead of searching.
IDLE_SHARE = 0.04
SAMPLE_SHARE = 0.06
EDITS = (0, 1, 1, 2, 2)
TOOL_SHARES = {"merge": 0.65, "delete": 0.1, "create": 0.1, "update": 0.07, "split": 0.08}
# Of merges. extract_common throws most of the content away; were it as frequent as the others, a merge would cost more
# than it brings on average, and to stop editing would be the first thing that reinforcement learning finds.
STRATEGY_SHARES = {"summarize": 0.4, "concatenate": 0.4, "extract_common": 0.2}
assert set(STRATEGY_SHARES) == set(MERGE_STRATEGIES)

# The ids of the memories that a reply shows.
ID = re.compile(r"^\[(m\d+)\]", re.MULTILINE)


def tool_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Returns a tool call as the policy writes it, in Qwen's hermes format."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


def answer(bank: MemoryBank, name: str, arguments: Mapping[str, Any], context: CallContext) -> str:
    """Runs a tool call on a bank and returns the tool's reply, which is the same as with a broker."""
    try:
        tool = load_tool(name)
        operation = tool.parse(dict(arguments), context)
    except MemupdateError as error:
        return error_text(error)
    outcome = outcome_of(bank, operation)
    return error_text(outcome.error) if outcome.error else tool.reply(operation, outcome)


def merge_strategy(source: random.Random) -> str:
    """Returns a random merge strategy, by ``STRATEGY_SHARES``."""
    return source.choices(list(STRATEGY_SHARES), list(STRATEGY_SHARES.values()))[0]


class ScriptedPolicy:
    """Plays scripted trajectories.

    Args:
        source: of all random choices.
    """

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def play(self, bank: MemoryBank, prompt: Sequence[Message]) -> list[Message]:
        """Plays one trajectory.

        Args:
            bank: the bank, which is edited.
            prompt: the chat messages that the trajectory starts with.

        Returns:
            All messages of the trajectory. The last one is the policy's reply without a call.
        """
        messages = [dict(message) for message in prompt]
        question = messages[-1]["content"]
        seen: list[str] = []

        def call(name: str, **arguments: Any) -> str:
            context = CallContext("demonstration", self._random.randrange(2**31))
            messages.append({"role": "assistant", "content": tool_call(name, arguments)})
            messages.append({"role": "tool", "content": answer(bank, name, arguments, context)})
            return messages[-1]["content"]

        def look() -> None:
            if self._random.random() < SAMPLE_SHARE:
                seen[:] = ID.findall(call("sample_memory", k=3, strategy="random"))
            else:
                seen[:] = ID.findall(call("search_memory", query=question))

        if self._random.random() >= IDLE_SHARE:
            look()
            for number in range(self._random.choice(EDITS)):
                if number:
                    look()
                name, arguments = self._edit(seen, question)
                call(name, **arguments)
        messages.append({"role": "assistant", "content": LAST_REPLY})
        return messages

    def _edit(self, seen: Sequence[str], question: str) -> tuple[str, dict[str, Any]]:
        """Returns an edit of the memories that were shown last: of the best hit, or of the best few.

        This is the one choice that is not random. A small output layer cannot represent a mixture over ids: it would
        name ids that were never shown.
        """
        kind = self._random.choices(list(TOOL_SHARES), list(TOOL_SHARES.values()))[0]
        if kind == "merge" and len(seen) >= 2:
            chosen = list(seen[: self._random.randint(2, min(MAX_MERGED, len(seen)))])
            return "merge_memory", {"memory_ids": chosen, "strategy": merge_strategy(self._random)}
        if kind == "delete" and seen:
            return "delete_memory", {"memory_id": seen[0]}
        if kind == "split" and seen:
            return "split_memory", {"memory_id": seen[0], "split_criteria": self._random.choice(SPLIT_CRITERIA)}
        if kind == "update" and seen:
            note = self._note(question)
            return "manage_memory", {"operation": "update", "memory_id": seen[0], "content": note}
        return "manage_memory", {"operation": "create", "content": self._note(question)}

    def _note(self, question: str) -> str:
        """Returns a note of no use: a few neighbouring words of the question."""
        words = question.rstrip("?.! ").split()
        length = min(len(words), self._random.randint(2, 4))
        start = self._random.randrange(len(words) - length + 1)
        return " ".join(words[start : start + length])
