"""The reserved ids of the vocabulary: one block for the end of a prompt, and one block for places after a delimiter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from memupdate.errors import FieldError

# The kinds of items in a stream.
TEXT, PROMPT, INFERENCE = 0, 1, 2


@dataclass(frozen=True)
class ReservedIds:
    """The reserved ids ``<P_0> … <P_Kp-1>`` and ``<I_0> … <I_Ki-1>``. A block always has all its ids, in this order.

    Attributes:
        prompt: the Kp ids of a block at the end of a prompt.
        inference: the Ki ids of a block after a delimiter.
    """

    prompt: tuple[int, ...]
    inference: tuple[int, ...]

    def __post_init__(self) -> None:
        for field, ids in (("prompt_ids", self.prompt), ("inference_ids", self.inference)):
            if not ids:
                raise FieldError(field, ids, "one reserved id for each latent of a block, at least one")
        if len(set(self.all)) != len(self.all):
            raise FieldError("prompt_ids and inference_ids", list(self.all), "ids that are all different")

    @classmethod
    def add_to(cls, tokenizer: Any, prompt_latents: int, inference_latents: int) -> ReservedIds:
        """Adds the reserved tokens to a Hugging Face tokenizer in place and returns their ids.

        Tokens that the tokenizer already has are not added again.

        Args:
            tokenizer: the tokenizer.
            prompt_latents: number of latents in a block at the end of a prompt, Kp.
            inference_latents: number of latents in a block after a delimiter, Ki.

        Raises:
            FieldError: a number of latents is below 1.
        """
        for field, count in (("prompt_latents", prompt_latents), ("inference_latents", inference_latents)):
            if count < 1:
                raise FieldError(field, count, "an integer of at least 1")
        names = [
            *(f"<|latent_prompt_{k}|>" for k in range(prompt_latents)),
            *(f"<|latent_inference_{k}|>" for k in range(inference_latents)),
        ]
        tokenizer.add_tokens(names, special_tokens=True)
        ids = tuple(tokenizer.convert_tokens_to_ids(names))
        return cls(ids[:prompt_latents], ids[prompt_latents:])

    @property
    def all(self) -> tuple[int, ...]:
        """All reserved ids, those of the prompt block first."""
        return self.prompt + self.inference

    def block(self, kind: int) -> tuple[int, ...]:
        """Returns the ids of a block of ``kind`` (``PROMPT`` or ``INFERENCE``)."""
        return {PROMPT: self.prompt, INFERENCE: self.inference}[kind]

    @cached_property
    def places(self) -> dict[int, tuple[int, int]]:
        """Maps each reserved id to the kind of its block and its index in the block."""
        return {token: (kind, index) for kind in (PROMPT, INFERENCE) for index, token in enumerate(self.block(kind))}

    def reject_in(self, ids: Sequence[int], field: str) -> None:
        """Checks that ``ids`` holds no reserved id.

        Args:
            ids: the ids to check.
            field: name of ``ids``, for the error message.

        Raises:
            FieldError: ``ids`` holds a reserved id. The message names its index.
        """
        for column, token in enumerate(ids):
            if token in self.places:
                raise FieldError(f"{field}[{column}]", token, f"text ids; {sorted(self.all)} are reserved for latents")
