"""The likelihood scorer and the local reader on a tiny random Qwen3, against naive loops.

Rows U30.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from memupdate.errors import FieldError
from memupdate.evaluation.locomo import token_f1
from memupdate.rewards import ScoreItem, make_scorer
from memupdate.rewards.language_model import FrozenLanguageModel
from memupdate.rewards.likelihood import LikelihoodScorer
from memupdate.rewards.prompts import reader_prompt
from memupdate.rewards.reader_f1 import HuggingFaceReader, ReaderF1Scorer, first_line

MEMORIES = ("Ana moved to Porto (8 May, 2023)", "Ana likes fish", "Ben has a dog")
ITEMS = [
    ScoreItem("Where does Ana live?", "Porto", MEMORIES),
    ScoreItem("Where does Ana live?", "in a small flat in Porto, near the river", MEMORIES[:1]),
    ScoreItem("What does Ana like to eat when she is at home?", "fish", ()),
    ScoreItem("Who has a dog?", "Ben", MEMORIES[2:]),
    ScoreItem("When?", "8 May", MEMORIES),
]
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% if enable_thinking is not false %}<think>{% endif %}{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and three special tokens: every text has a tokenisation, without any file."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<pad>", "<s>", "</s>"]
    vocabulary = {token: index for index, token in enumerate(specials + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.repetition_penalty = 1.5  # shipped so by real models; greedy means greedy all the same
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(model_folder: Path) -> FrozenLanguageModel:
    return FrozenLanguageModel.load(str(model_folder))


def naive_score(tiny: FrozenLanguageModel, prompt_ids: list[int], answer_ids: list[int]) -> float:
    """One forward pass per token over everything before it, no batch, no padding."""
    ids, total = list(prompt_ids), 0.0
    for token in answer_ids:
        with torch.no_grad():
            logits = tiny.model(torch.tensor([ids])).logits[0, -1].double()
        total += math.log(float(torch.exp(logits[token]) / torch.exp(logits).sum()))
        ids.append(token)
    return math.exp(total / len(answer_ids))


def utf8_ids(tiny: FrozenLanguageModel, text: str) -> list[int]:
    """The byte tokeniser's ids of plain text, without the code under test."""
    return [
        tiny.tokenizer.convert_tokens_to_ids("Ġ" if char == " " else "Ċ" if char == "\n" else char) for char in text
    ]


def test_u30_likelihood_equals_a_naive_per_token_loop(tiny: FrozenLanguageModel) -> None:
    expected = [
        naive_score(
            tiny, utf8_ids(tiny, reader_prompt(item.question, item.retrieved)), utf8_ids(tiny, " " + item.answer)
        )
        for item in ITEMS
    ]
    for batch_size in (1, 2, 8):
        assert LikelihoodScorer(tiny, batch_size).score_batch(ITEMS) == pytest.approx(expected, rel=1e-4)
    assert len(set(expected)) == len(expected) and all(0 < score < 1 for score in expected)


def test_u30_likelihood_under_a_chat_template(model_folder: Path) -> None:
    chat = FrozenLanguageModel.load(str(model_folder))
    chat.tokenizer.chat_template = TEMPLATE
    item = ITEMS[0]
    begin, end = chat.tokenizer.convert_tokens_to_ids(["<s>", "</s>"])
    body = utf8_ids(chat, "user: " + reader_prompt(item.question, item.retrieved))
    prompt = [begin, *body, end, begin, *utf8_ids(chat, "assistant: ")]
    expected = naive_score(chat, prompt, utf8_ids(chat, item.answer))
    assert LikelihoodScorer(chat).score(item.question, item.answer, item.retrieved) == pytest.approx(expected, rel=1e-4)


def test_u30_likelihood_is_made_by_config_and_frozen(model_folder: Path) -> None:
    scorer = make_scorer({"name": "likelihood", "model": str(model_folder), "batch_size": 2})
    assert isinstance(scorer, LikelihoodScorer) and scorer.name == "likelihood"
    assert not any(parameter.requires_grad for parameter in scorer.model.model.parameters())
    assert not scorer.model.model.training


def test_u30_likelihood_has_no_signal_on_abstention_and_empty_answers(tiny: FrozenLanguageModel) -> None:
    scorer = LikelihoodScorer(tiny)
    mixed = [ScoreItem("q", "Porto", MEMORIES, 5), ITEMS[0], ScoreItem("q", " ", MEMORIES)]
    assert scorer.score_batch(mixed)[::2] == [0.5, 0.5]
    assert scorer.score_batch(mixed)[1] == pytest.approx(scorer.score_batch(ITEMS[:1])[0], rel=1e-5)


def test_u30_a_context_beyond_the_models_positions_is_an_error(tiny: FrozenLanguageModel) -> None:
    with pytest.raises(FieldError, match="at most 1024 tokens"):
        LikelihoodScorer(tiny).score("q", "Porto", ["x" * 2000])
    with pytest.raises(FieldError, match="at most 1024 tokens"):
        tiny.generate(["x" * 1020], max_new_tokens=10)


def test_local_reader_is_greedy_in_batches(tiny: FrozenLanguageModel) -> None:
    prompts = [reader_prompt(item.question, item.retrieved) for item in ITEMS]
    expected = []
    for prompt in prompts:
        ids = utf8_ids(tiny, prompt)
        start = len(ids)
        while len(ids) < start + 12 and ids[-1] != tiny.tokenizer.eos_token_id:
            with torch.no_grad():
                ids.append(int(tiny.model(torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(tiny.tokenizer.decode(ids[start:], skip_special_tokens=True))
    assert HuggingFaceReader(tiny, max_new_tokens=12, batch_size=2).read(prompts) == expected
    assert any(expected)


def test_reader_f1_scores_officially(model_folder: Path) -> None:
    class Fixed:
        def __init__(self, reply: str) -> None:
            self.reply = reply
            self.prompts: list[str] = []

        def read(self, prompts: list[str]) -> list[str]:
            self.prompts += prompts
            return [self.reply] * len(prompts)

    reader = Fixed("\n the running dogs \nQuestion: and so on")
    score = ReaderF1Scorer(reader).score
    assert score("q?", "a running dog", MEMORIES, 4) == 1.0  # articles dropped, stems compared
    assert score("q?", "a running dog", MEMORIES) == 1.0
    assert score("q?", "cat, dogs", MEMORIES, 1) == pytest.approx(token_f1("running dogs", "dogs") / 2)
    assert score("q?", "running dogs; because they like it", MEMORIES, 3) == 1.0
    assert score("q?", "running dogs", MEMORIES, 5) == 0.0
    assert ReaderF1Scorer(Fixed("No information available.")).score("q?", "Porto", (), 5) == 1.0
    assert all("a running dog" not in prompt for prompt in reader.prompts)
    made = make_scorer({"name": "f1", "model": str(model_folder), "max_new_tokens": 4})
    assert 0.0 <= made.score("q?", "Porto", MEMORIES, 4) <= 1.0


def test_first_line_skips_blank_ones() -> None:
    assert first_line("\n \n Porto \nQuestion: x") == "Porto"
    assert first_line(" \n") == ""
