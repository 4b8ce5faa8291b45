"""Checks of one request to a rollout server: ids and sampling parameters, before they can disturb other requests.

The requests of a batch share every forward pass. A value that makes one row fail, or makes it NaN, fails all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memupdate.checks import check_bool, check_int_between, check_mapping, check_number_between
from memupdate.errors import FieldError

# Below the smallest temperature, logits divided by it overflow. Above the largest, an id that a model masks with a
# logit of -1e4 can be sampled.
COLDEST, HOTTEST = 1.0e-6, 90.0
# A larger bias would make a masked id likely.
SMALLEST_BIAS, LARGEST_BIAS = -1.0e4, 5.0e3
LARGEST_INT = 2**63 - 1


def check_ids(ids: object, vocabulary: int) -> list[int]:
    """Returns the ids of a prompt.

    Args:
        ids: the ids.
        vocabulary: number of ids that the model has.

    Raises:
        FieldError: ``ids`` is not a list of ids from 0 to ``vocabulary`` - 1, or it is empty.
    """
    if not isinstance(ids, Sequence) or isinstance(ids, str | bytes) or not ids:
        raise FieldError("prompt_ids", ids, "a list of at least one id")
    for column, token in enumerate(ids):
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocabulary:
            raise FieldError(f"prompt_ids[{column}]", token, f"ids from 0 to {vocabulary - 1}")
    return list(ids)


def check_sampling(params: Mapping[str, object], vocabulary: int, least_new_tokens: int = 1) -> None:
    """Checks the sampling parameters that all servers share. A missing parameter, or None, means the default.

    Args:
        params: the parameters by name.
        vocabulary: number of ids that the model has.
        least_new_tokens: smallest ``max_new_tokens`` that is allowed.

    Raises:
        FieldError: a value has the wrong type or is outside its range. The field starts with ``sampling_params``.
    """
    for name in ("max_new_tokens", "max_tokens"):
        if params.get(name) is not None:
            check_int_between(f"sampling_params.{name}", params[name], least_new_tokens, LARGEST_INT)
    temperature = params.get("temperature")
    if temperature is not None and check_number_between("sampling_params.temperature", temperature, 0, HOTTEST):
        check_number_between("sampling_params.temperature", temperature, COLDEST, HOTTEST)
    if params.get("sampling_seed") is not None:
        check_int_between("sampling_params.sampling_seed", params["sampling_seed"], -LARGEST_INT - 1, LARGEST_INT)
    if params.get("ignore_eos") is not None:
        check_bool("sampling_params.ignore_eos", params["ignore_eos"])
    _check_stop_ids(params.get("stop_token_ids"))
    _check_bias(params.get("logit_bias"), vocabulary)


def _check_stop_ids(given: object) -> None:
    if given is None:
        return
    if not isinstance(given, list | tuple | set | frozenset):
        raise FieldError("sampling_params.stop_token_ids", given, "a list of ids")
    for token in given:
        check_int_between("sampling_params.stop_token_ids", token, 0, LARGEST_INT)


def _check_bias(given: object, vocabulary: int) -> None:
    if given is None:
        return
    field = "sampling_params.logit_bias"
    for token, bias in check_mapping(field, given, "an object: a number for each id").items():
        # Ids are strings, like all keys of JSON.
        if not (str(token).isascii() and str(token).isdigit() and int(token) < vocabulary):
            raise FieldError(field, token, f"ids from 0 to {vocabulary - 1}")
        check_number_between(f"{field}.{token}", bias, SMALLEST_BIAS, LARGEST_BIAS)
