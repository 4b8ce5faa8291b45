"""G17's data: instructions, conversations and GSM8K as woven streams; G11: latents are never supervised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memgen.base.chat import generation_prefix
from memgen.data.examples import read_examples, split_examples
from memgen.data.rows import ROWS, TrainingRow
from memgen.example import chat_tokenizer, conversations, copy_task, write_lines
from memgen.weaver.rows import weave_examples
from memgen.weaver.stream import DelimiterTable, ReservedIds, StreamRules
from memupdate.errors import DataError, FieldError

PREFIX = "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return chat_tokenizer()


@pytest.fixture(scope="module")
def rules(tokenizer: Any) -> StreamRules:
    reserved = ReservedIds.add_to(tokenizer, 2, 3)
    return StreamRules(reserved, DelimiterTable.from_tokenizer(tokenizer), 1, 2)


def weave_file(
    path: Path, data_format: str, tokenizer: Any, rules: StreamRules, longest: int = 400
) -> list[TrainingRow]:
    prefix = tokenizer.encode(PREFIX, add_special_tokens=False)
    return weave_examples(read_examples(path, data_format), tokenizer, rules, prefix, longest)


def readable(row: TrainingRow, tokenizer: Any, rules: StreamRules, learnt: bool | None = None) -> str:
    """A stream's text, with P and I for latents; only what is learnt, or only what is not."""
    marks = dict.fromkeys(rules.reserved.prompt, "P") | dict.fromkeys(rules.reserved.inference, "I")
    return "".join(
        marks.get(token) or tokenizer.decode([token])
        for token, flag in zip(row.input_ids, row.loss_mask, strict=True)
        if learnt is None or bool(flag) == learnt
    )


def test_g17_an_instruction_is_woven_and_only_its_reply_is_learnt(
    tmp_path: Path, tokenizer: Any, rules: StreamRules
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"prompt": "Say: red", "completion": "red, blue, pink, red."}])
    [row] = weave_file(path, "instruction", tokenizer, rules)
    assert readable(row, tokenizer, rules) == (
        "<|im_start|>user\nSay: red<|im_end|>\n<|im_start|>assistant\nPPred,III blue,III pink, red.<|im_end|>"
    )
    assert readable(row, tokenizer, rules, learnt=True) == "red, blue, pink, red.<|im_end|>"


def test_g11_no_latent_is_supervised(tmp_path: Path, tokenizer: Any, rules: StreamRules) -> None:
    path = write_lines(tmp_path / "a.jsonl", copy_task(20))
    for row in weave_file(path, "instruction", tokenizer, rules):
        flags = [flag for token, flag in zip(row.input_ids, row.loss_mask, strict=True) if token in rules.reserved.all]
        assert flags and not any(flags)


def test_g17_every_turn_of_a_conversation_is_a_stream_behind_clean_text(
    tmp_path: Path, tokenizer: Any, rules: StreamRules
) -> None:
    path = write_lines(tmp_path / "a.jsonl", conversations(1))
    [example] = read_examples(path, "conversation")
    first, second = weave_file(path, "conversation", tokenizer, rules)
    assert readable(first, tokenizer, rules, learnt=True) == example.messages[1]["content"] + "<|im_end|>"
    assert readable(second, tokenizer, rules, learnt=True) == example.messages[3]["content"] + "<|im_end|>"
    history = tokenizer.apply_chat_template(list(example.messages[:3]), tokenize=False, add_generation_prompt=True)
    # max_prompt_aug_num is 1: the second turn's prompt ends in no block
    assert readable(second, tokenizer, rules).startswith(history + example.messages[3]["content"][:2])


def test_gsm8k_becomes_a_rationale_and_a_box(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": "2+3 = <<2+3=5>>5 apples.\n#### 1,005"}]
    [example] = read_examples(write_lines(tmp_path / "a.jsonl", rows), "gsm8k")
    assert example.reference == "2+3 = 5 apples.\n\\boxed{1,005}"
    assert example.prompt[0]["content"].endswith("\nHow many?")


def test_gsm8k_as_it_is(tokenizer: Any) -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "data" / "gsm8k" / "test.jsonl"
    if not path.is_file():
        pytest.skip("GSM8K is not beside the checkout")
    examples = read_examples(path, "gsm8k")
    assert len(examples) == 1319
    assert not [example for example in examples if "<<" in example.reference or "####" in example.reference]


def test_rows_survive_the_disk(tmp_path: Path, tokenizer: Any, rules: StreamRules) -> None:
    rows = weave_file(write_lines(tmp_path / "a.jsonl", copy_task(3)), "instruction", tokenizer, rules)
    ROWS.write(tmp_path / "rows.parquet", rows)
    assert ROWS.read(tmp_path / "rows.parquet") == rows
    with pytest.raises(DataError, match="expected rows of training"):
        ROWS.read(tmp_path / "none.parquet")


def test_a_split_is_seeded_and_shares_no_example(tmp_path: Path) -> None:
    examples = read_examples(write_lines(tmp_path / "a.jsonl", copy_task(30) + copy_task(30)), "instruction")
    train, valid = split_examples(examples, 0.2, seed=3)
    assert split_examples(examples, 0.2, seed=3) == (train, valid)
    assert split_examples(examples, 0.2, seed=4) != (train, valid)
    assert not [example for example in valid if example.messages in [other.messages for other in train]]
    assert len(train) + len(valid) == 60
    with pytest.raises(FieldError, match=r"dataset\.valid_ratio"):
        split_examples(examples[:2], 0.1, seed=0)


@pytest.mark.parametrize(
    ("data_format", "line", "message"),
    [
        ("instruction", '{"prompt": "a"}', "a.jsonl:1: completion: expected a text"),
        ("instruction", '{"prompt": "a", "completion": 3}', "completion: expected a text that is not empty, found 3"),
        ("instruction", "[1]", "a.jsonl:1: expected a JSON object, found list"),
        ("instruction", "{", "a.jsonl:1: not valid JSON"),
        ("instruction", "", "no examples"),
        ("conversation", '{"messages": "a"}', "messages: expected a list"),
        (
            "conversation",
            '{"messages": [{"role": "me", "content": "a"}]}',
            r"messages\[0\].role: expected one of system",
        ),
        ("conversation", '{"messages": [{"role": "user", "content": "a"}]}', "at least one assistant message"),
        ("gsm8k", '{"question": "a", "answer": "5"}', "answer: expected a rationale and '#### answer'"),
    ],
)
def test_a_line_of_another_shape_is_named(tmp_path: Path, data_format: str, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        read_examples(tmp_path / "a.jsonl", data_format)


def test_what_cannot_be_woven_is_named(tmp_path: Path, tokenizer: Any, rules: StreamRules) -> None:
    def weave(completion: str, longest: int = 400) -> list[TrainingRow]:
        path = write_lines(tmp_path / "a.jsonl", [{"prompt": "a", "completion": completion}])
        return weave_file(path, "instruction", tokenizer, rules, longest)

    with pytest.raises(FieldError, match=r"dataset.max_length: got 10; allowed: at least \d+ for .*a.jsonl:1"):
        weave("red, blue", longest=10)
    with pytest.raises(FieldError, match="are reserved for latents"):
        weave("red <|latent_prompt_0|>")
    with pytest.raises(FieldError, match="2 openings of an assistant's turn"):
        weave("red" + PREFIX + "blue")


def test_the_generation_prefix_is_the_template_s(tokenizer: Any) -> None:
    assert generation_prefix(tokenizer) == PREFIX
    bare = chat_tokenizer()
    bare.chat_template = None
    with pytest.raises(FieldError, match="has a chat template"):
        generation_prefix(bare)
