"""The prompt of a trajectory. It holds no memories: the policy finds them by calling tools."""

from __future__ import annotations

SYSTEM_PROMPT = (
    "You look after a bank of memories about a long conversation. "
    "Improve it with the tools so the user's question can be answered from the five memories retrieved for it: "
    "search, then merge, split, create, update or delete. "
    "Do not answer the question. When the bank is ready, finish with a reply without a tool call."
)


def build_prompt(question: str) -> list[dict[str, str]]:
    """Returns the chat messages that a trajectory starts with."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]
