"""Continues prompts with a model that is used as a plain causal LM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from memgen.base.sampling import SamplingSettings, sample


@dataclass(frozen=True)
class Continuation:
    """The ids that follow a prompt.

    Attributes:
        ids: the ids, including the stop id.
        log_probs: log-prob of each id, see :func:`memgen.base.sampling.sample`.
        stopped: whether the last id is a stop id.
    """

    ids: list[int]
    log_probs: list[float]
    stopped: bool


@torch.inference_mode()
def continue_prompt(
    model: PreTrainedModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: SamplingSettings,
    stop_ids: Collection[int],
    seed: int,
    on_ids: Callable[[list[int]], None] | None = None,
) -> Continuation:
    """Samples ids until a stop id or the limit.

    Args:
        model: a model whose output has ``logits`` and ``past_key_values``. If ``past_key_values`` is None, the model
            has no cache. It then reads all ids again for each new id.
        prompt: ids of the prompt.
        max_new_tokens: maximum number of ids to sample.
        sampling: how ids are sampled.
        stop_ids: ids that end the continuation.
        seed: random seed.
        on_ids: function that is called with each new id, as a list.
    """
    source, ids, log_probs = torch.Generator().manual_seed(seed), list[int](), list[float]()
    unread, cache = list(prompt), dict[str, Any]()
    while len(ids) < max_new_tokens:
        output = model(input_ids=torch.tensor([unread], device=model.device), use_cache=True, **cache)
        id_1, log_prob_1 = sample(output.logits[:, -1], sampling, [source])
        ids.append(int(id_1))
        log_probs.append(float(log_prob_1))
        if on_ids is not None:
            on_ids(ids[-1:])
        if ids[-1] in stop_ids:
            return Continuation(ids, log_probs, stopped=True)
        if output.past_key_values is None:
            unread = [*prompt, *ids]
        else:
            unread, cache = ids[-1:], {"past_key_values": output.past_key_values}
    return Continuation(ids, log_probs, stopped=False)
