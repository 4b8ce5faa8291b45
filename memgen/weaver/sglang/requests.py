"""Checks of a request to an SGLang server with latents. This module does not need SGLang.

In SGLang, an exception in the scheduler or in the model ends the server. So a request that the model class could not
answer is refused before it joins a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memgen.weaver.stream import DelimiterTable, ReservedIds, StreamRules, split_blocks
from memupdate.checks import check_bool, check_int_between, check_integer, check_number_between, check_positive_int
from memupdate.errors import FieldError
from memupdate.request_checks import LARGEST_INT, check_ids, check_sampling

# The largest number of answers to one request.
MOST_SAMPLES = 128
# Ranges of the numbers that SGLang hands to its sampler.
NUMBERS = {
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "repetition_penalty": (1.0, 2.0),  # below 1, a masked id could be sampled
}
# Parts of a request that bypass the ids, or that this model class does not return.
UNSUPPORTED = (
    *("input_embeds", "positional_embed_overrides", "multi_item_delimiter_indices", "session_params", "mm_inputs"),
    *("image_data", "video_data", "audio_data", "bootstrap_host", "bootstrap_room"),
    *("return_hidden_states", "return_routed_experts", "return_indexer_topk"),
)
# Launch settings that this model class needs: the setting, the values that it may have, and why.
LAUNCH = (
    ("chunked_prefill_size", (None, -1), "-1: a chunk must not cut a block of latents"),
    ("page_size", (None, 1), "1: a cached prefix must not end inside a block of latents"),
    ("tp_size", (1,), "1: the weaver's adapters are not sharded"),
    ("pp_size", (1,), "1: the weaver needs all layers in one process"),
    ("speculative_algorithm", (None,), "none: the gate decides about one id at a time"),
    ("enable_mixed_chunk", (False,), "false: a prefill must not hold decoding rows"),
    ("disaggregation_mode", ("null",), "null: prefill and decoding in one process"),
)


def check_launch(server_args: object) -> None:
    """Checks SGLang's launch settings.

    Args:
        server_args: SGLang's ``ServerArgs``.

    Raises:
        FieldError: the model class cannot work with a setting.
    """
    for name, allowed, why in LAUNCH:
        value = getattr(server_args, name)
        if value not in allowed:
            raise FieldError(name, value, why)


class LatentRequests:
    """The checks for one exported model.

    Attributes:
        firsts: the first ids of the two kinds of block. They must end every request.
    """

    def __init__(self, settings: Mapping[str, Any], vocabulary: int) -> None:
        """Sets the rules.

        Args:
            settings: the section ``memgen`` of the exported ``config.json``.
            vocabulary: number of ids that the model has.
        """
        reserved = ReservedIds(tuple(settings["prompt_ids"]), tuple(settings["inference_ids"]))
        self._rules = StreamRules(
            reserved,
            DelimiterTable(frozenset(settings["delimiter_ids"])),
            settings["max_prompt_aug_num"],
            settings["max_inference_aug_num"],
        )
        self._vocabulary = vocabulary
        self.firsts = frozenset({reserved.prompt[0], reserved.inference[0]})

    def check_ids(self, ids: Sequence[int], return_logprob: bool, logprob_start_len: int) -> None:
        """Checks the ids of a request, and where its computation starts.

        SGLang takes the longest cached prefix of the ids, but computes at least the last one and all from
        ``logprob_start_len`` on, if log-probs are wanted. A block can only be computed as a whole.

        Raises:
            FieldError: the ids are not a stream of the model, or the computation could start inside a block.
        """
        stream = check_ids(ids, self._vocabulary)
        split_blocks(self._rules, stream)
        check_integer("logprob_start_len", logprob_start_len)
        if not -1 <= logprob_start_len <= len(stream):
            raise FieldError("logprob_start_len", logprob_start_len, f"a whole number from -1 to {len(stream)}")
        first = len(stream) - 1
        if check_bool("return_logprob", return_logprob) and logprob_start_len >= 0:
            first = min(first, logprob_start_len)
        _, offset = self._rules.reserved.places.get(stream[first], (None, 0))
        if offset:
            given = f"{logprob_start_len} with return_logprob {return_logprob}"
            raise FieldError(
                "logprob_start_len", given, f"{first - offset}, the start of the block, with return_logprob true"
            )

    def check_sampling(self, params: Mapping[str, Any]) -> None:
        """Checks the sampling parameters. A missing parameter, or None, means the default.

        Raises:
            FieldError: a value has the wrong type or is outside its range.
        """
        prefix = "sampling_params"
        check_sampling(params, self._vocabulary, least_new_tokens=0)
        for name, (least, most) in NUMBERS.items():
            if params.get(name) is not None:
                check_number_between(f"{prefix}.{name}", params[name], least, most)
        for name, least, most in (("n", 1, MOST_SAMPLES), ("top_k", -1, LARGEST_INT)):
            if params.get(name) is not None:
                check_int_between(f"{prefix}.{name}", params[name], least, most)
        if params.get("stream_interval") is not None:
            check_positive_int(f"{prefix}.stream_interval", params["stream_interval"])
        if params.get("min_new_tokens"):
            raise FieldError(f"{prefix}.min_new_tokens", params["min_new_tokens"], "0: a block ends any request")
        if params.get("ignore_eos"):
            raise FieldError(f"{prefix}.ignore_eos", True, "false: the first id of a block must end the request")
        biased = {int(token) for token in params.get("logit_bias") or {}}
        inside = sorted(biased & (set(self._rules.reserved.all) - self.firsts))
        if inside:
            raise FieldError(f"{prefix}.logit_bias", inside, "no ids inside a block")

    def check_log_probs(self, top_logprobs_num: object) -> None:
        """Checks the number of log-probs for each position.

        Raises:
            FieldError: it is not a number of ids of the vocabulary.
        """
        check_int_between("top_logprobs_num", top_logprobs_num, 0, self._vocabulary)


def check_supported(request: object) -> None:
    """Checks that a request of SGLang does not ask for what the model class does not support.

    Raises:
        FieldError: it does.
    """
    for name in UNSUPPORTED:
        value = getattr(request, name, None)
        if value is not None and value is not False and value != []:
            raise FieldError(name, type(value).__name__, "none: this model takes ids alone")
