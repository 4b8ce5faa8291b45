"""The prompts of trajectories. They hold no memories: the policy finds them by calling tools."""

from __future__ import annotations

SYSTEM_PROMPT = (
    "You look after a bank of memories about a long conversation. "
    "Improve it with the tools so the user's question can be answered from the five memories retrieved for it: "
    "search, then merge, split, create, update or delete. "
    "Do not answer the question. When the bank is ready, finish with a reply without a tool call."
)

SESSION_SYSTEM_PROMPT = (
    "You look after a bank of memories about a long conversation. "
    "Read the session and edit the bank with the tools so later questions can be answered from it: "
    "search, then create, update, merge, split or delete. Keep it short. "
    "Do not reply to the speakers. When the bank is ready, finish with a reply without a tool call."
)


def build_prompt(question: str) -> list[dict[str, str]]:
    """Returns the chat messages that a question episode starts with."""
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]


def build_session_prompt(text: str) -> list[dict[str, str]]:
    """Returns the chat messages that a session episode starts with. ``text`` is what was said."""
    return [{"role": "system", "content": SESSION_SYSTEM_PROMPT}, {"role": "user", "content": text}]
