"""The checks of requests that both rollout servers share: the edges of what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from memupdate.errors import FieldError
from memupdate.request_checks import check_ids, check_sampling

NAN = float("nan")


def test_ids_from_zero_to_the_last_are_allowed_and_no_others() -> None:
    assert check_ids((0, 9), 10) == [0, 9]
    for ids, field in (
        ([0, 10], "prompt_ids[1]"),
        ([-1], "prompt_ids[0]"),
        ([True], "prompt_ids[0]"),
        ([1.0], "prompt_ids[0]"),
        ([], "prompt_ids"),
        ("12", "prompt_ids"),
        (None, "prompt_ids"),
    ):
        with pytest.raises(FieldError) as error:
            check_ids(ids, 10)
        assert error.value.field == field


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": None, "max_new_tokens": None, "logit_bias": None, "stop_token_ids": None},
        {"temperature": 0, "max_new_tokens": 1, "sampling_seed": -(2**63), "ignore_eos": False},
        {"temperature": 90.0, "logit_bias": {"9": -1e4, "0": 5e3, 3: 0}, "stop_token_ids": [0, 12]},
    ],
)
def test_sampling_parameters_at_the_edges_are_allowed(params: dict[str, Any]) -> None:
    check_sampling(params, 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (NAN, -0.1, 1e-7, 90.1, "1", True)),
        *(("max_new_tokens", value) for value in (0, 1.0, NAN, "1", True)),
        *(("max_tokens", value) for value in (0, "1")),
        *(("logit_bias", value) for value in ({"10": 1.0}, {"-1": 1.0}, {"a": 1.0}, {"1": NAN}, {"1": 5001}, [1.0])),
        *(("stop_token_ids", value) for value in (5, "5", [-1], ["a"], [None])),
        *(("sampling_seed", value) for value in (2**63, 1.5, "1")),
        ("ignore_eos", 1),
    ],
)
def test_other_sampling_parameters_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(FieldError) as error:
        check_sampling({name: value}, 10)
    assert error.value.field.startswith(f"sampling_params.{name}")
