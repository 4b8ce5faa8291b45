"""Truncates tool replies to a number of tokens of the policy's tokenizer, and escapes special tokens in them."""

from __future__ import annotations

from typing import Any

from memupdate.errors import FieldError


class TokenLimit:
    """Cuts texts to ``limit`` tokens and appends a marker that the model can read.

    Args:
        limit: the largest number of tokens of a text, including the marker.
        tokenizer: a fast Hugging Face tokenizer, which gives offsets.

    Raises:
        FieldError: the limit leaves no token besides the marker.
    """

    def __init__(self, limit: int, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        least = self._count(_marker(10**6)) + 1
        if limit < least:
            raise FieldError("memory.tool_response_tokens", limit, f"a whole number from {least}, for this tokenizer")

    def cut(self, text: str) -> str:
        """Returns ``text``, cut if it has more tokens than the limit.

        A cut text ends in `` …[cut: N more tokens]``, where N is the number of missing tokens. The cut is after the
        last complete line that fits, or inside the first line if that does not fit.
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
            kept -= excess  # head and marker together can have more tokens than separately
        return _marker(len(ends)).lstrip()

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def defuse_special_tokens(text: str, tokenizer: Any) -> str:
    """Inserts a blank into every special token in ``text``, so that the tokenizer reads it as plain text.

    A memory can contain any text. With ``<|im_end|>`` it could end the tool's turn and imitate another role. The
    content of memories is data and must never become part of the dialogue's structure.
    """
    for token in sorted(tokenizer.all_special_tokens, key=len, reverse=True):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _marker(missing: int) -> str:
    return f" …[cut: {missing} more tokens]"
