"""The client of a latent server, against a scripted one: what it asks for, and what it makes of the answers (G43)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tiny_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, STOP, tiny_memgen

from memgen.base.server import ServerAnswer
from memgen.weaver import LatentClient, export_for_sglang
from memgen.weaver.client import CLOSE, FORCE
from memgen.weaver.generated import Generated
from memgen.weaver.stream import DelimiterTable, StreamRules
from memupdate.errors import FieldError

RULES = tiny_memgen(max_inference_aug_num=2).rules
FIRST_P, FIRST_I, D = PROMPT_IDS[0], INFERENCE_IDS[0], DELIMITERS[0]


def run(
    script: list[list[int]],
    mode: str = "learned",
    rules: StreamRules = RULES,
    prompt: tuple[int, ...] = (3, 4),
    **settings: Any,
) -> tuple[Generated, list[tuple]]:
    """Answers requests with the script, one list of ids each; returns the response and the requests."""
    asked: list[tuple] = []
    answers = iter(script)

    async def send(ids: list[int], sampling: dict[str, Any], start: int) -> ServerAnswer:
        asked.append((list(ids), sampling, start))
        tokens = next(answers)
        assert len(tokens) <= sampling["max_new_tokens"]
        stopped = tokens[-1] in sampling["stop_token_ids"]
        return ServerAnswer(tokens, [-0.5] * len(tokens), 0, stopped)

    client = LatentClient(rules, mode, send)
    result = asyncio.run(client.generate(prompt, **{"max_new_tokens": 6, "stop_ids": [STOP]} | settings))
    assert next(answers, None) is None, "the script has answers left"
    return result, asked


def test_a_trajectory_with_insertions_up_to_the_cap() -> None:
    result, asked = run([[FIRST_P], [9, D, FIRST_I], [D, FIRST_I], [D, 9, STOP]])
    block = INFERENCE_IDS
    assert result.response_ids == [*PROMPT_IDS, 9, D, *block, D, *block, D, 9, STOP]
    assert result.text_ids == [9, D, D, D, 9, STOP] and result.finish_reason == "stop" and result.blocks == 3
    assert result.decisions == [1, -100, -100, -100, -100, 1, *[-100] * 4, 1, *[-100] * 6]
    assert result.log_probs[:3] == [-0.5, 0.0, 0.0]
    for (ids, sampling, start), (bias, left, begins) in zip(
        asked,
        [
            ({str(FIRST_I): CLOSE}, 1, -1),  # the prompt's end: its own gate alone
            ({str(FIRST_P): CLOSE}, 6, 2),
            ({str(FIRST_P): CLOSE}, 4, 7),
            ({str(FIRST_P): CLOSE, str(FIRST_I): CLOSE}, 3, 12),  # the cap is reached
        ],
        strict=True,
    ):
        assert sampling["logit_bias"] == bias and sampling["max_new_tokens"] == left and start == begins
        assert start == -1 or ids[start] in (FIRST_P, FIRST_I)
    assert all(set(sampling["stop_token_ids"]) == {FIRST_P, FIRST_I, STOP} for _, sampling, _ in asked)


def test_skips_and_length() -> None:
    result, _ = run([[D], [7, D, 9, 10, 7]])
    assert result.decisions == [0, 0, -100, 0, -100, -100] and result.finish_reason == "length"


def test_modes() -> None:
    result, asked = run([[7, D, FIRST_I], [9, STOP]], mode="always")
    assert result.response_ids == [*PROMPT_IDS, 7, D, *INFERENCE_IDS, 9, STOP] and result.log_probs[0] == 0.0
    assert asked[0][0] == [3, 4, *PROMPT_IDS] and asked[0][1]["logit_bias"] == {
        str(FIRST_P): CLOSE,
        str(FIRST_I): FORCE,
    }
    result, asked = run([[7, D, 9, STOP]], mode="never")
    assert asked[0][1]["logit_bias"] == {str(FIRST_P): CLOSE, str(FIRST_I): CLOSE} and set(result.decisions) == {-100}
    _, asked = run([[7, STOP]], turn=1)
    assert asked[0][1]["logit_bias"] == {str(FIRST_P): CLOSE}, "a later turn has no prompt block"


def test_a_delimiter_that_ends_the_prompt_is_none_of_the_response() -> None:
    """G7: a later turn's prompt ends in a newline, and no block may follow it: its gate is closed for the first id."""
    both = {str(FIRST_P): CLOSE, str(FIRST_I): CLOSE}
    result, asked = run([[9], [D, FIRST_I], [STOP]], prompt=(3, D), turn=1)
    assert [sampling["logit_bias"] for _, sampling, _ in asked] == [both, {str(FIRST_P): CLOSE}, {str(FIRST_P): CLOSE}]
    assert [sampling["max_new_tokens"] for _, sampling, _ in asked] == [1, 5, 4]
    assert result.decisions == [-100, -100, 1, -100, -100, -100, -100]
    _, asked = run([[9], [STOP]], prompt=(3, D), turn=1, mode="always")
    assert [sampling["logit_bias"][str(FIRST_I)] for _, sampling, _ in asked] == [CLOSE, FORCE]
    _, asked = run([[9, STOP]], prompt=(3, D), turn=1, mode="never")
    assert asked[0][1]["logit_bias"] == both and asked[0][1]["max_new_tokens"] == 6


def test_an_exempted_number_is_no_decision() -> None:
    """G6: a point after a digit is not asked after; one after a word is."""
    rules = StreamRules(RULES.reserved, DelimiterTable(frozenset({D}), frozenset({D}), frozenset({7})))
    result, _ = run([[9], [7, D, 9, D, 9]], rules=rules)
    assert result.decisions == [0, -100, -100, -100, -100, 0]


def test_what_cannot_be_served_is_refused(tmp_path: Any) -> None:
    for prompt, field in (([], "prompt, max_new_tokens"), ([3, FIRST_P], "prompt[1]")):
        with pytest.raises(FieldError) as error:
            asyncio.run(LatentClient(RULES, "learned", None).generate(prompt, 4))  # type: ignore[arg-type]
        assert error.value.field == field
    for changes, field in (
        ({"weaver": "paper"}, "weaver, trigger"),
        ({"kind": "smollm3"}, "model_type"),
        ({"separator_ids": [D]}, "separator_ids"),
        ({"weaver_lora": {"target_modules": ["o_proj"]}}, "target_modules"),
    ):
        with pytest.raises(FieldError, match=field):
            export_for_sglang(tiny_memgen(**changes), tmp_path)
