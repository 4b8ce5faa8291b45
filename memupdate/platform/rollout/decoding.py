"""Generation of the torch rollout server: requests, seeded sampling, and the decoding loop of a batch.

A token is drawn in float64 by inverting the CDF at a uniform number that depends only on (seed, position). So a request
with a seed gives the same tokens in any batch, up to the rounding of the logits, which depends on the batch's shape. In
a float64 model that rounding (1e-16) practically never changes a token.

:class:`ServedModel` is the interface of a model. Any causal LM of Hugging Face works without further code. Other model
types register an implementation with :func:`register_served_model`.

Shapes: B requests, R of them that still run, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from memupdate.inverse_cdf import inverse_cdf

# Takes temperatures (R,), where 0 means greedy decoding. Returns logits (R, V), not yet divided by the temperatures.
Policy = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Request:
    """One generation request: the prompt, the sampling parameters and the stop conditions.

    Attributes:
        prompt_ids: the ids to continue.
        max_new_tokens: the largest number of ids to generate.
        temperature: the sampling temperature; 0 for greedy decoding.
        seed: the sampling seed.
        stop_ids: the ids that end the request. The id that ends it is included in the output.
        logit_bias: by id, a number that is added to the logit before the division by the temperature.
    """

    prompt_ids: list[int]
    max_new_tokens: int
    temperature: float
    seed: int
    stop_ids: frozenset[int]
    logit_bias: Mapping[int, float] = field(default_factory=dict)


@dataclass
class Generated:
    """The output of one request.

    Attributes:
        token_ids: the generated ids.
        log_probs: their log-probs at the request's temperature, or at temperature 1 for greedy decoding.
        stop_reason: ``completed`` if a stop id was generated, else ``length``.
    """

    token_ids: list[int]
    log_probs: list[float]
    stop_reason: str


class Decoding(Protocol):
    """The state of a batch during generation, including its caches."""

    def start(self) -> Policy:
        """Reads the prompts and returns the policy for the next tokens, in the order of the prompts."""
        ...

    def step(self, rows: Sequence[int], token_ids: Sequence[int]) -> Policy:
        """Reads the last id of each running request and returns the policy for the next tokens.

        Args:
            rows: the indices of the running requests, ascending.
            token_ids: the last ids of these requests.
        """
        ...


class ServedModel(Protocol):
    """The interface between the decoding loop and a model.

    Attributes:
        end_ids: ids that end any request.
    """

    end_ids: frozenset[int]

    def check(self, prompt_ids: Sequence[int], max_new_tokens: int) -> None:
        """Checks that the model can continue a prompt. It is called before the prompt joins a batch.

        Raises:
            FieldError: the model cannot continue the prompt.
        """
        ...

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> Decoding:
        """Starts a batch in which each request generates at most ``max_new_tokens`` ids."""
        ...


class CausalModel:
    """A causal LM of Hugging Face, served with left-padded prompts and one key-value cache."""

    end_ids: frozenset[int] = frozenset()

    def __init__(self, model: Any) -> None:
        self._model = model

    def check(self, prompt_ids: Sequence[int], max_new_tokens: int) -> None:
        """Accepts any prompt."""

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> Decoding:
        """See :class:`ServedModel`."""
        return _CausalDecoding(self._model, prompts)


class _CausalDecoding:
    """A batch of a causal LM. Finished requests are still computed until the whole batch is finished."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        width = max(map(len, prompts))
        self._ids_BL = torch.zeros((len(prompts), width), dtype=torch.long)
        self._mask_BL = torch.zeros_like(self._ids_BL)
        for row, prompt in enumerate(prompts):
            self._ids_BL[row, width - len(prompt) :] = torch.tensor(prompt)
            self._mask_BL[row, width - len(prompt) :] = 1
        self._cache: Any = None

    def start(self) -> Policy:
        position_BL = (self._mask_BL.cumsum(-1) - 1).clamp(min=0)
        logits_BV = self._forward(self._ids_BL, position_BL)
        return lambda _: logits_BV

    def step(self, rows: Sequence[int], token_ids: Sequence[int]) -> Policy:
        ids_B1 = self._ids_BL.new_zeros((len(self._ids_BL), 1))
        ids_B1[list(rows), 0] = torch.tensor(token_ids)
        self._mask_BL = torch.cat([self._mask_BL, torch.ones_like(ids_B1)], 1)
        logits_RV = self._forward(ids_B1, self._mask_BL.sum(1, keepdim=True) - 1)[list(rows)]
        return lambda _: logits_RV

    def _forward(self, ids_BL: torch.Tensor, position_BL: torch.Tensor) -> torch.Tensor:
        output = self._model(
            input_ids=ids_BL,
            attention_mask=self._mask_BL,
            position_ids=position_BL,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        logits_BV: torch.Tensor = output.logits[:, -1].double()
        return logits_BV


_SERVED: dict[str, Callable[[Any], ServedModel]] = {}


def register_served_model(model_type: str, serve: Callable[[Any], ServedModel]) -> None:
    """Registers how to serve a model type. Models of unregistered types are served as causal LMs.

    Args:
        model_type: the ``model_type`` of the model's config.
        serve: a function that wraps a Hugging Face model as a served model.
    """
    _SERVED[model_type] = serve


def served_model(model: Any) -> ServedModel:
    """Returns a Hugging Face model wrapped for the decoding loop."""
    return _SERVED.get(model.config.model_type, CausalModel)(model)


def uniform(seed: int, position: int) -> float:
    """Returns a number in [0, 1): 53 bits of the blake2b hash of (seed, position)."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def sample_rows(logits_RV: torch.Tensor, temperatures_R: torch.Tensor, uniforms_R: torch.Tensor) -> torch.Tensor:
    """Draws one token per row by inverting the CDF. Takes the argmax for rows with temperature 0. Returns ids (R,)."""
    greedy_R = temperatures_R == 0
    drawn_R = inverse_cdf(logits_RV.double() / temperatures_R.masked_fill(greedy_R, 1.0)[:, None], uniforms_R)
    return torch.where(greedy_R, logits_RV.argmax(-1), drawn_R)


@torch.inference_mode()
def generate_batch(model: ServedModel, requests: Sequence[Request]) -> list[Generated]:
    """Generates the outputs of all requests in one batch.

    Args:
        model: the model.
        requests: the requests. Each must have passed the model's ``check``.

    Returns:
        The output of each request, in order.
    """
    results = [Generated([], [], "length") for _ in requests]
    decoding = model.begin([r.prompt_ids for r in requests], max(r.max_new_tokens for r in requests))
    policy, active = decoding.start(), list(range(len(requests)))
    while active:
        drawn = _draw(policy, [requests[row] for row in active], [len(results[row].token_ids) for row in active])
        going_on = []
        for row, (token, log_prob) in zip(active, drawn, strict=True):
            results[row].token_ids.append(token)
            results[row].log_probs.append(log_prob)
            if token in requests[row].stop_ids or token in model.end_ids:
                results[row].stop_reason = "completed"
            elif len(results[row].token_ids) < requests[row].max_new_tokens:
                going_on.append(row)
        active = going_on
        if active:
            policy = decoding.step(active, [results[row].token_ids[-1] for row in active])
    return results


def _draw(policy: Policy, requests: Sequence[Request], done: Sequence[int]) -> list[tuple[int, float]]:
    """Draws the next token of each request and returns tokens with log-probs. ``done`` counts earlier tokens."""
    temperatures_R = torch.tensor([request.temperature for request in requests], dtype=torch.float64)
    positions = [len(request.prompt_ids) + count for request, count in zip(requests, done, strict=True)]
    uniforms_R = torch.tensor(
        [uniform(request.seed, position) for request, position in zip(requests, positions, strict=True)],
        dtype=torch.float64,
    )
    logits_RV = _biased(policy(temperatures_R), requests)
    tokens_R = sample_rows(logits_RV, temperatures_R, uniforms_R)
    greedy_R = temperatures_R == 0
    if greedy_R.any():
        temperatures_R = temperatures_R.masked_fill(greedy_R, 1.0)
        logits_RV = _biased(policy(temperatures_R), requests)
    logits_RV = logits_RV / temperatures_R[:, None]
    log_probs_R = torch.log_softmax(logits_RV, -1).gather(1, tokens_R[:, None]).squeeze(1)
    return list(zip(tokens_R.tolist(), log_probs_R.tolist(), strict=True))


def _biased(logits_RV: torch.Tensor, requests: Sequence[Request]) -> torch.Tensor:
    logits_RV = logits_RV.double()
    places = [(row, token, bias) for row, r in enumerate(requests) for token, bias in r.logit_bias.items()]
    if not places:
        return logits_RV
    rows, tokens, biases = zip(*places, strict=True)
    return logits_RV.index_put(
        (torch.tensor(rows), torch.tensor(tokens)), torch.tensor(biases, dtype=torch.float64), accumulate=True
    )
