"""Answers examples with a model and scores the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memgen.base.chat import prompt_ids
from memgen.base.sampling import SamplingSettings
from memgen.data.examples import Example
from memgen.loading import check_max_length
from memgen.methods import Answer, method_of
from memgen.sections import Settings
from memgen.tasks import REWARDS
from memupdate.evaluation.intervals import score_interval
from memupdate.files import new_file, write_atomically


def answers(
    settings: Settings, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> Iterator[tuple[dict[str, Any], Answer]]:
    """Answers the examples in order, in batches of ``run.generation.batch_size``.

    Yields:
        For each example, a dictionary for JSON (``prompt``, ``reference``, ``answer``, ``finish_reason`` and the
        method's counts) and the :class:`memgen.methods.Answer`.
    """
    wanted = settings.run.generation
    sampling = SamplingSettings(wanted.temperature, wanted.top_k, wanted.top_p)
    for start in range(0, len(examples), wanted.batch_size):
        batch = examples[start : start + wanted.batch_size]
        found = method_of(settings.model.method).generate(
            model,
            [prompt_ids(tokenizer, example.prompt) for example in batch],
            max_new_tokens=wanted.max_new_tokens,
            sampling=sampling,
            stop_ids=[tokenizer.eos_token_id],
            seeds=[settings.run.seed * 1_000_003 + start + index for index in range(len(batch))],
        )
        for example, answer in zip(batch, found, strict=True):
            yield (
                {
                    "prompt": list(example.prompt),
                    "reference": example.reference,
                    "answer": tokenizer.decode(answer.text_ids, skip_special_tokens=True),
                    "finish_reason": answer.finish_reason,
                    **answer.counts,
                },
                answer,
            )


def evaluate(
    settings: Settings,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    folder: Path,
) -> dict[str, float | str | None]:
    """Answers and scores the examples, and writes ``examples.jsonl`` and ``summary.json``.

    Args:
        settings: the run's settings.
        model: the model.
        tokenizer: the model's tokenizer.
        examples: the examples to answer.
        folder: folder of the two files. It is created if it does not exist.

    Returns:
        The summary, see :meth:`memgen.runner.MemGenRunner.evaluate`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reward = REWARDS.load(settings.dataset.reward_name)
    started, rows, counts = time.perf_counter(), [], []
    with new_file(folder / "examples.jsonl") as partial, partial.open("w") as file:
        for row, answer in answers(settings, model, tokenizer, examples):
            row["score"] = reward(row["answer"], row["reference"])
            rows.append(row)
            counts.append(answer.counts)
            file.write(json.dumps(row) + "\n")
    seconds = time.perf_counter() - started
    score = score_interval([row["score"] for row in rows])
    tokens = sum(one["tokens"] for one in counts)
    summary: dict[str, float | str | None] = {
        "examples": float(len(rows)),
        "score": score.mean,
        "score_low": score.low,
        "score_high": score.high,
        "score_interval": f"{score.level:.0%} over {score.clusters} examples: {score.method}",
        "loss": reference_loss(settings, model, tokenizer, examples),
        **method_of(settings.model.method).summary(counts),
        "tokens": tokens / len(rows),
        "tokens_per_second": tokens / seconds,
    }
    write_atomically(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary


def reference_loss(
    settings: Settings, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]
) -> float:
    """Returns the mean cross-entropy of the text of all assistant turns in the examples, in nats per token."""
    config = model.config
    rows = method_of(settings.model.method).training_rows(
        examples, config, tokenizer, check_max_length(settings, config)
    )
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.input_ids], device=model.device)
        learnt = torch.tensor(row.loss_mask, device=model.device).bool()
        with torch.inference_mode():
            logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0].float()
        log_probs = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
        total -= float(log_probs[learnt[1:]].sum())
        count += int(learnt.sum())
    return total / count
