"""Tool text for the model, cut at a number of tokens of the policy's own tokenizer."""

from __future__ import annotations

from typing import Any

from memupdate.errors import FieldError


class TokenLimit:
    """Cuts texts at ``limit`` tokens, with a marker that the model can read.

    Args:
        limit: the largest number of tokens of a text, with the marker.
        tokenizer: a Hugging Face tokenizer that gives offsets (a fast one).

    Raises:
        FieldError: the marker alone would fill the limit.
    """

    def __init__(self, limit: int, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        least = self._count(_marker(10**6)) + 1
        if limit < least:
            raise FieldError("memory.tool_response_tokens", limit, f"a whole number from {least}, for this tokenizer")

    def cut(self, text: str) -> str:
        """Returns ``text``, cut if it has more tokens than the limit.

        A text that is cut ends in `` …[cut: N more tokens]``, where N is how many of its tokens are missing. The cut is
        after the last whole line that fits. If not even the first line fits, the cut is inside it.
        """
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for _, end in encoded["offset_mapping"]]
        if len(ends) <= self._limit:
            return text
        kept = self._limit - self._count(_marker(len(ends)))
        while kept > 0:
            head = text[: ends[kept - 1]]
            if "\n" in head:
                head = head[: head.rindex("\n")]
            cut = head + _marker(len(ends) - self._count(head))
            excess = self._count(cut) - self._limit
            if excess <= 0:
                return cut
            kept -= excess  # head and marker do not always tokenize alone as they do together
        return _marker(len(ends)).lstrip()

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def defuse_special_tokens(text: str, tokenizer: Any) -> str:
    """Returns ``text`` with a blank inside whatever the tokenizer would read as a special token.

    A memory may hold any text. If it held ``<|im_end|>``, it would end the tool's turn and could speak in another role.
    The content of memories is data and must never become part of the dialogue's frame.
    """
    for token in sorted(tokenizer.all_special_tokens, key=len, reverse=True):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _marker(missing: int) -> str:
    return f" …[cut: {missing} more tokens]"
