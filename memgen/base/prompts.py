"""Checks prompts, finds where they end and which turn they open, and unpacks packed batches.

Shapes: B rows, L columns, N items of a packed sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedConfig

from memupdate.errors import FieldError


def check_prompts(
    prompts: Sequence[Sequence[int]], max_new_tokens: int, config: PreTrainedConfig, latents: int = 0
) -> None:
    """Checks that a response to every prompt can be generated.

    Args:
        prompts: ids of each prompt.
        max_new_tokens: maximum number of text ids in a response.
        config: the model's config. Its ``vocab_size`` and ``max_position_embeddings`` are used.
        latents: maximum number of latents in a response.

    Raises:
        FieldError: there are no prompts, a prompt is empty, it holds an id outside the vocabulary, the response does
            not fit into the context, or ``max_new_tokens`` is below 1.
    """
    if max_new_tokens < 1:
        raise FieldError("max_new_tokens", max_new_tokens, "an integer of at least 1")
    if not len(prompts):
        raise FieldError("prompts", prompts, "at least one prompt")
    for index, prompt in enumerate(prompts):
        if not len(prompt):
            raise FieldError(f"prompts[{index}]", prompt, "at least one id")
        wrong = [token for token in prompt if not 0 <= token < config.vocab_size]
        if wrong:
            raise FieldError(f"prompts[{index}]", wrong[0], f"ids from 0 to {config.vocab_size - 1}")
    longest = max(map(len, prompts))
    if longest + max_new_tokens + latents > config.max_position_embeddings:
        raise FieldError(
            "max_new_tokens",
            f"{max_new_tokens}, with a prompt of {longest} and up to {latents} latents",
            f"together at most {config.max_position_embeddings}, the context",
        )


def turn_of(prompt: Sequence[int], prefix: Sequence[int]) -> int:
    """Returns the 0-based index of the assistant turn that a prompt opens.

    It is the number of occurrences of the generation prefix, minus one, and at least 0. For an empty prefix it is 0.
    """
    width = len(prefix)
    if not width:
        return 0
    wanted = tuple(prefix)
    found = sum(tuple(prompt[start : start + width]) == wanted for start in range(len(prompt) - width + 1))
    return max(found - 1, 0)


def find_prompts(
    ids_BL: torch.Tensor, mask_BL: torch.Tensor, prefix: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Finds prompt lengths and turns from the generation prefix.

    Args:
        ids_BL: ids of the streams.
        mask_BL: True for real items.
        prefix: the ids that open an assistant turn. Their last occurrence ends the prompt.

    Returns:
        Prompt lengths (B,), counted in real items, and 0-based turns (B,). For a row without the prefix, the length is
        one more than the row's number of items. Then the trigger is asked nowhere in the row.
    """
    width, columns = len(prefix), ids_BL.shape[1]
    if columns < width:
        return mask_BL.sum(1) + 1, torch.zeros_like(mask_BL.sum(1))
    wanted = torch.tensor(list(prefix), device=ids_BL.device)
    whole = mask_BL.unfold(1, width, 1).all(-1)
    found = (ids_BL.unfold(1, width, 1) == wanted).all(-1) & whole
    last_B = torch.where(found, torch.arange(found.shape[1], device=ids_BL.device), -1).amax(1)
    items_BL = mask_BL.long().cumsum(1)
    length_B = items_BL.gather(1, (last_B + width - 1).clamp(min=0)[:, None]).squeeze(1)
    length_B = torch.where(last_B >= 0, length_B, items_BL[:, -1] + 1)
    return length_B, (found.sum(1) - 1).clamp(min=0)


def unpack(ids_1N: torch.Tensor, position_1N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Splits a packed sequence into padded rows. A new row starts at every position 0.

    Args:
        ids_1N: ids of the packed sequence.
        position_1N: position ids, which start again at 0 in every row.

    Returns:
        Ids (B, L), padded on the right with 0, and their mask (B, L). ``ids[mask]`` is the packed sequence again.

    Raises:
        FieldError: the first position is not 0.
    """
    starts = (position_1N[0] == 0).nonzero().squeeze(1).tolist()
    if not starts or starts[0] != 0:
        raise FieldError("position_ids", position_1N[0, :3].tolist(), "0 at the first item of every packed row")
    ends = [*starts[1:], ids_1N.shape[1]]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    ids_BL = torch.nn.utils.rnn.pad_sequence(list(ids_1N[0].split(lengths)), batch_first=True)
    length_B = torch.tensor(lengths, device=ids_1N.device)
    return ids_BL, torch.arange(ids_BL.shape[1], device=ids_1N.device) < length_B[:, None]
