"""The checks of requests to an SGLang server with latents, without SGLang."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, VOCAB

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))
from malformed_requests import Malformed

from memgen.weaver.sglang.batches import check_batch
from memgen.weaver.sglang.requests import LAUNCH, LatentRequests, check_launch
from memupdate.errors import FieldError

SETTINGS = {
    "prompt_ids": PROMPT_IDS,
    "inference_ids": INFERENCE_IDS,
    "delimiter_ids": DELIMITERS,
    "max_prompt_aug_num": 1,
    "max_inference_aug_num": 3,
}
CHECKS = LatentRequests(SETTINGS, VOCAB)
KNOWN = [
    *("max_new_tokens", "temperature", "n", "top_p", "top_k", "min_p", "stream_interval", "ignore_eos", "logit_bias"),
    *("repetition_penalty", "frequency_penalty", "min_new_tokens", "stop_token_ids", "sampling_seed"),
]
D = DELIMITERS[0]
NEITHER = [token for token in range(3, 150) if token not in DELIMITERS]


def check(**body: Any) -> None:
    fields = ("text", "input_ids", "sampling_params", "return_logprob", "logprob_start_len", "top_logprobs_num")
    check_batch(CHECKS, SimpleNamespace(**dict.fromkeys(fields) | body), KNOWN)


def test_malformed_requests_are_refused() -> None:
    drawn = Malformed(PROMPT_IDS, INFERENCE_IDS, DELIMITERS, NEITHER, VOCAB, 512, 3)
    for seed in range(500):
        kind, body = drawn.draw(seed)
        if kind == "stream_too_long":  # SGLang knows how much fits
            continue
        with pytest.raises(FieldError):
            check(**body)
            raise AssertionError((seed, kind, body))


@pytest.mark.parametrize(
    "body",
    [
        {"input_ids": [3, 4]},
        {"text": "so"},
        {"input_ids": [[3, 4], [5]], "sampling_params": [{"temperature": 0}, {"n": 2}]},
        {"input_ids": [3, 4, *PROMPT_IDS], "return_logprob": True, "logprob_start_len": 2},
        {"input_ids": [3, 4, *PROMPT_IDS], "return_logprob": True, "logprob_start_len": 0},
        {"input_ids": [3, 4, *PROMPT_IDS, 5, D, *INFERENCE_IDS, 6]},
        {"input_ids": [3, D, *INFERENCE_IDS, 6], "return_logprob": True, "logprob_start_len": 6},
        {"input_ids": [3], "sampling_params": {"max_new_tokens": 0, "logit_bias": {str(PROMPT_IDS[0]): -1e4}}},
    ],
)
def test_requests_that_the_model_can_answer_pass(body: dict[str, Any]) -> None:
    check(**body)


def test_every_start_inside_a_block_is_refused_and_no_other() -> None:
    """The start is the first id that is certainly computed. Written out: only a block's first id may be one."""
    stream = [3, 4, *PROMPT_IDS, 5, D, *INFERENCE_IDS, 6]
    inside = {*range(3, 5), *range(8, 11)}
    for start in range(len(stream) + 1):
        if start in inside:
            with pytest.raises(FieldError, match="logprob_start_len"):
                CHECKS.check_ids(stream, True, start)
        else:
            CHECKS.check_ids(stream, True, start)
        CHECKS.check_ids(stream, False, start)  # SGLang ignores it then


def test_launch_settings_that_cannot_work_are_refused() -> None:
    good = {name: allowed[0] for name, allowed, _ in LAUNCH}
    check_launch(SimpleNamespace(**good))
    wrong = {
        "chunked_prefill_size": 64,
        "page_size": 16,
        "tp_size": 2,
        "pp_size": 2,
        "speculative_algorithm": "EAGLE",
        "enable_mixed_chunk": True,
        "disaggregation_mode": "prefill",
    }
    assert set(wrong) == set(good)
    for name, value in wrong.items():
        with pytest.raises(FieldError) as error:
            check_launch(SimpleNamespace(**good | {name: value}))
        assert error.value.field == name and error.value.value == value
