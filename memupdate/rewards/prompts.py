"""The prompts that scorers give to a language model."""

from __future__ import annotations

from collections.abc import Sequence


def memory_list(retrieved: Sequence[str]) -> str:
    """Returns the retrieved texts as a bulleted list, or ``(no memories)``."""
    return "\n".join(f"- {text}" for text in retrieved) or "(no memories)"


def reader_prompt(question: str, retrieved: Sequence[str]) -> str:
    """Returns a prompt that asks for a short answer from the memories alone. Its last line is ``Answer:``."""
    return (
        "Answer the question from the memories below and from nothing else. Answer with a short phrase, in the words "
        "of the memories where possible; give dates as dates. If the memories do not hold the answer, reply exactly: "
        "No information available\n\n"
        f"Memories:\n{memory_list(retrieved)}\n\nQuestion: {question.strip()}\nAnswer:"
    )


def judge_prompt(question: str, answer: str, retrieved: Sequence[str]) -> str:
    """Returns a prompt that asks for one number from 0 to 1: how well the memories support the gold answer."""
    return (
        "You grade a memory database. Decide how well the memories below let a careful reader find the correct answer "
        "to the question. 1 means that the correct answer follows from them completely, 0 that nothing of it does; use "
        "values between for answers that are supported in part. Use only the memories, not what you know.\n\n"
        f"Memories:\n{memory_list(retrieved)}\n\nQuestion: {question.strip()}\nCorrect answer: {answer.strip()}\n\n"
        "Reply with one number between 0 and 1 and nothing else."
    )
