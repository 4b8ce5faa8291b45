"""The cached engine equals the naive oracle: log-probs, tokens, decisions, gradients."""

from __future__ import annotations

import pytest
import torch
from naive import Naive, named_gradients
from tiny_models import DELIMITERS, STOP, padded, prompts, response_log_probs, tiny_memgen

from memgen.weaver import MemGenModel, SamplingSettings
from memgen.weaver.generated import INSERTED, SKIPPED

KINDS = [
    ("shared", "head", False),
    ("shared", "paper", False),
    ("paper", "paper", False),
    ("paper", "paper", True),
    ("paper", "head", True),
]
EVERY = [(*kind, "qwen3", temperature) for kind, temperature in zip(KINDS, (1.0, 0.7, 0.7, 1.0, 1.0), strict=True)]
EVERY += [(*KINDS[0], "qwen2", 0.7), (*KINDS[0], "llama", 1.0), (*KINDS[2], "llama", 1.0), (*KINDS[2], "smollm3", 1.0)]


def teacher_forced(model: MemGenModel, rows: list[list[int]], lengths: list[int], side: str) -> list[torch.Tensor]:
    ids, mask = padded(rows, side)
    logits = model(ids, mask, prompt_lengths=torch.tensor(lengths)).logits
    return response_log_probs(logits, ids, mask, lengths, model.config.temperature)


def difference(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("weaver", "trigger", "separate", "base", "temperature"), EVERY)
def test_engine_equals_the_oracle(weaver: str, trigger: str, separate: bool, base: str, temperature: float) -> None:
    """G12, G14, G40, G41: sampled log-probs = teacher-forced ones on either padding = the oracle's, row by row; greedy
    tokens and decisions are the oracle's. Bases may differ in architecture and size (G2)."""
    model = tiny_memgen(weaver, trigger, base, separate, temperature=temperature)
    texts = prompts((5, 14, 3))
    lengths = [len(text) for text in texts]
    sampled = model.generate(texts, max_new_tokens=28, stop_ids=[STOP], seeds=range(3))
    rows = [row.stream for row in sampled.rows]
    assert sum(row.blocks for row in sampled.rows) > 2
    recorded = [torch.tensor(row.log_probs) for row in sampled.rows]
    oracle = Naive(model)
    with torch.no_grad():
        for side in ("left", "right"):
            assert difference(teacher_forced(model, rows, lengths, side), recorded) < 1e-5
        naive = [torch.stack(oracle.response(row.prompt_ids, row.response_ids, 30)[1]) for row in sampled.rows[1:3]]
        assert difference(recorded[1:3], naive) < 1e-5
        greedy = model.generate(texts, max_new_tokens=20, stop_ids=[STOP], sampling=SamplingSettings(temperature=0))
        for row in greedy.rows[:2]:
            assert row.response_ids == oracle.response(row.prompt_ids, None, 20, STOP)[0]


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "paper"), ("paper", "paper")])
def test_one_latent_and_one_prompt_id(weaver: str, trigger: str) -> None:
    """G14: the smallest shapes, where a prompt, a block and its queries are single positions."""
    model = tiny_memgen(weaver, trigger, prompt_ids=[152], inference_ids=[155])
    rows = model.generate(prompts((1, 2, 1)), max_new_tokens=16, seeds=range(3)).rows
    assert sum(row.blocks for row in rows) > 2
    oracle = Naive(model)
    with torch.no_grad():
        naive = [torch.stack(oracle.response(row.prompt_ids, row.response_ids, 16)[1]) for row in rows]
    assert difference([torch.tensor(row.log_probs) for row in rows], naive) < 1e-5


@pytest.mark.parametrize("mode", ["always", "never"])
def test_forced_modes_equal_the_oracle(mode: str) -> None:
    """G8: always inserts at every place until the cap; never inserts nothing."""
    model = tiny_memgen("paper", "paper", mode=mode)
    (row,) = model.generate(prompts((7,)), max_new_tokens=40, seeds=[2]).rows
    with torch.no_grad():
        naive = torch.stack(Naive(model).response(row.prompt_ids, row.response_ids, 40)[1])
    assert difference([torch.tensor(row.log_probs)], [naive]) < 1e-5
    places = sum(token in DELIMITERS for token in row.text_ids[:-1])
    assert places >= model.config.max_inference_aug_num
    assert row.blocks == (1 + model.config.max_inference_aug_num if mode == "always" else 0)
    assert SKIPPED not in row.decisions and (INSERTED in row.decisions) == (mode == "always")


@pytest.mark.parametrize(("weaver", "trigger", "separate"), KINDS)
def test_gradients_through_the_caches_equal_the_oracle(weaver: str, trigger: str, separate: bool) -> None:
    """G11, G12: per-token weights stand for advantages; every trainable tensor's gradient is the naive one, whichever
    side is padded, and with gradient checkpointing."""
    model = tiny_memgen(weaver, trigger, "qwen3", separate)
    texts = prompts((5, 9, 3))
    lengths = [len(text) for text in texts]
    rows = model.generate(texts, max_new_tokens=24, seeds=range(3)).rows
    assert sum(row.blocks for row in rows) > 3
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(len(row.response_ids), generator=generator) for row in rows]

    def gradients(log_probs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        model.zero_grad()
        sum((a * b).sum() for a, b in zip(log_probs, weights, strict=True)).backward()  # type: ignore[union-attr]
        return named_gradients(model)

    oracle = Naive(model)
    streams = [row.stream for row in rows]
    naive_log_probs = [torch.stack(oracle.response(row.prompt_ids, row.response_ids, 24)[1]) for row in rows]
    # The oracle's copy shares no adapter parameters that are merged, so its gradients are taken by name.
    expected = _oracle_gradients(model, oracle, naive_log_probs, weights)
    plain = gradients(teacher_forced(model, streams, lengths, "left"))
    right = gradients(teacher_forced(model, streams, lengths, "right"))
    model.train()
    model.gradient_checkpointing_enable()
    recomputed = gradients(teacher_forced(model, streams, lengths, "left"))
    assert plain.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, found in plain.items():
        for other in (expected[name], right[name], recomputed[name]):
            relative = (found - other).norm() / other.norm().clamp(min=1e-6)
            assert relative < 1e-4, f"{name}: {relative}"


def _oracle_gradients(
    model: MemGenModel, oracle: Naive, log_probs: list[torch.Tensor], weights: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    model.zero_grad()
    sum((a * b).sum() for a, b in zip(log_probs, weights, strict=True)).backward()  # type: ignore[union-attr]
    found = named_gradients(model)
    for adapter, decoder in (("weaver", oracle.weaver), ("trigger", oracle.trigger)):
        owner = getattr(model, adapter)
        prefix = "reasoner.model" if owner.own_decoder is None else f"{adapter}.own_decoder"
        for path, module in decoder.named_modules():
            if hasattr(module, "down"):
                found[f"{prefix}.{path}.lora_A_{adapter}"] = module.down.grad
                found[f"{prefix}.{path}.lora_B_{adapter}"] = module.up.grad
    return found


def test_one_shot_weaving_equals_the_engine_under_any_padding() -> None:
    """G4, G5: augment_prompt gives Kp×D latents, augment_inference Ki×D, by queries of their own; positions go on after
    each row's last real item, whatever the padding."""
    for weaver in ("shared", "paper"):
        model = tiny_memgen(weaver, "head")
        oracle = Naive(model)
        texts = prompts((4, 9))
        for kind, count in (("prompt", 3), ("inference", 4)):
            augment = getattr(model.weaver, f"augment_{kind}")
            for side in ("left", "right"):
                ids, mask = padded(texts, side)
                with torch.no_grad():
                    embeddings = model.get_input_embeddings()(ids)
                    latents, ones, positions = augment(embeddings, mask)
                    expected = [oracle.latents(kind, oracle.reasoner.embed_tokens(torch.tensor(t))) for t in texts]
                assert latents.shape == (2, count, 48) and ones.tolist() == [[1] * count] * 2
                assert positions.tolist() == [list(range(4, 4 + count)), list(range(9, 9 + count))]
                torch.testing.assert_close(latents, torch.stack(expected), atol=1e-5, rtol=0)
