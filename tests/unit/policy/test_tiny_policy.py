"""The tiny policy: tokenizer, template, demonstrations, weights."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import write_corpus
from memupdate.errors import FieldError
from memupdate.policy import PolicySettings, make_policy, write_demonstrations
from memupdate.policy.tokenizer import MEMORY_IDS
from memupdate.tools.schemas import tool_schemas

SMALL = PolicySettings(trajectories=40, drills=10, validation_rows=4)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "corpus.json", 3, 1, seed=5)
    preprocess(folder / "corpus.json", folder / "data", adversarial="drop")
    return folder / "data"


@pytest.fixture(scope="module")
def model_dir(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "policy"
    make_policy(folder, corpus, SMALL)
    return folder


@pytest.fixture(scope="module")
def tokenizer(model_dir: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(model_dir)


@pytest.fixture(scope="module")
def conversations(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, str]]]:
    path = tmp_path_factory.mktemp("demonstrations") / "rows.parquet"
    write_demonstrations(path, corpus, SMALL)
    return [row["messages"] for row in pq.read_table(path).to_pylist() if row["tools"]]


def test_every_memory_id_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    for memory_id in MEMORY_IDS[:: len(MEMORY_IDS) // 40]:
        ids = tokenizer(f'["{memory_id}"]')["input_ids"]
        assert [tokenizer.decode(i) for i in ids].count(memory_id) == 1


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_turns_put_together_by_verl_are_the_whole_conversations_tokens(
    tokenizer: PreTrainedTokenizerFast, conversations: list[list[dict[str, str]]]
) -> None:
    """No token drift: what the rollout feeds the model is what supervised training showed it."""
    from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

    builder = create_continuous_token_builder(tokenizer, hf_model_type="qwen3", chat_template_kwargs={})
    tools = tool_schemas()
    for messages in conversations[:12]:
        runtime = builder.build_initial_tokens(messages[:2], tools=tools)
        for place in range(2, len(messages)):
            if messages[place]["role"] == "assistant":
                generated = tokenizer(messages[place]["content"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
                runtime = builder.merge_assistant_tokens(runtime, generated).token_ids
            else:
                runtime = builder.merge_context_tokens(
                    messages[:place], messages[: place + 1], runtime, tools=tools
                ).token_ids
        whole = tokenizer.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True)["input_ids"]
        assert runtime == whole[: len(runtime)]
        assert tokenizer.decode(whole[len(runtime) :]).strip() == ""


def test_the_prompt_shows_every_tool_and_required_parameter(
    tokenizer: PreTrainedTokenizerFast, conversations: list[list[dict[str, str]]]
) -> None:
    text = tokenizer.apply_chat_template(
        conversations[0][:2], tools=tool_schemas(), tokenize=False, add_generation_prompt=True
    )
    for schema in tool_schemas():
        function = schema["function"]
        [line] = [line for line in text.splitlines() if line.startswith(function["name"] + "(")]
        assert all(f"{name}*" in line for name in function["parameters"]["required"])
    assert text.endswith("<|im_start|>assistant\n")
    assert len(tokenizer(text)["input_ids"]) <= 200


def test_demonstrated_calls_are_valid_and_choices_vary(conversations: list[list[dict[str, str]]]) -> None:
    names: set[str] = set()
    for messages in conversations:
        for message, answer in pairwise(messages):
            if message["role"] == "assistant":
                call = json.loads(re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", message["content"])[1])  # type: ignore[index]
                names.add(call["name"])
                assert answer["role"] == "tool"
        assert messages[-1] == {"role": "assistant", "content": "Done."}
    assert {"search_memory", "merge_memory", "delete_memory", "manage_memory"} <= names


def test_demonstrations_show_training_conversations_alone(
    corpus: Path, conversations: list[list[dict[str, str]]]
) -> None:
    rows = {split: pq.read_table(corpus / f"{split}.parquet").to_pylist() for split in ("train", "test")}
    trained = {row["extra_info"]["question"] for row in rows["train"]}
    held_out = {row["extra_info"]["question"] for row in rows["test"]} - trained
    asked = {messages[1]["content"] for messages in conversations}
    assert asked <= trained
    assert not asked & held_out


def test_the_same_settings_write_the_same_bytes(corpus: Path, model_dir: Path, tmp_path: Path) -> None:
    make_policy(tmp_path / "again", corpus, SMALL)
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "again" / name).read_bytes() == (model_dir / name).read_bytes()
    make_policy(tmp_path / "other", corpus, PolicySettings(seed=1))
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != (model_dir / "model.safetensors").read_bytes()


def test_heads_outside_of_the_circuit_start_by_passing_on_what_they_attend_to(model_dir: Path) -> None:
    """W_O W_V is copy_gain times a projection: applied twice it is copy_gain times itself."""
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    for layer in model.model.layers:
        rows = slice(2 * SMALL.head_dim, 3 * SMALL.head_dim)
        passed = layer.self_attn.o_proj.weight[:, rows] @ layer.self_attn.v_proj.weight[rows]
        torch.testing.assert_close(passed @ passed, SMALL.copy_gain * passed, atol=1e-4, rtol=0)


def test_the_untrained_model_finds_again_what_followed_before(
    model_dir: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    """In random tokens whose first part comes again, the second layer attends to what came next the first time."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, attn_implementation="eager")
    ids = set(tokenizer.convert_tokens_to_ids(list(MEMORY_IDS)))  # they look alike to the untrained model
    others = torch.tensor([number for number in range(len(tokenizer)) if number not in ids])
    first_BN = others[torch.randint(len(others), (4, 150), generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        layers = model(torch.cat([first_BN, first_BN[:, 20:70]], dim=1), output_attentions=True).attentions
    again = torch.arange(160, 199)
    for head in range(2):
        assert layers[1][:, head, again, again - 150 + 21].mean() > 20 / 200  # evenly it would be 1/200
    assert layers[0][:, 0, again, again - 1].min() > 0.9


def test_settings_are_parsed_and_checked() -> None:
    assert PolicySettings.parse(["hidden_size=96", "learning_rate=0.01"]).hidden_size == 96
    with pytest.raises(FieldError, match=r"policy.hidden: got '3'; allowed: one of seed"):
        PolicySettings.parse(["hidden=3"])
    with pytest.raises(FieldError, match=r"policy.layers: got 'two'; allowed: a value of type int"):
        PolicySettings.parse(["layers=two"])
    with pytest.raises(FieldError, match=r"policy.layers: got 1; allowed: "):
        PolicySettings.parse(["layers=1"])
    with pytest.raises(FieldError, match=r"policy.episode: got 'chapter'; allowed: "):
        PolicySettings.parse(["episode=chapter"])
