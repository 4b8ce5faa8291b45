"""The training forward: packed rows, what is frozen, checkpointing, half precision, losses, turns."""

from __future__ import annotations

import pytest
import torch
from tiny_models import DELIMITERS, INFERENCE_IDS, PROMPT_IDS, padded, prompts, tiny_memgen

from memgen.weaver import MemGenModel
from memgen.weaver.stream import split_turns, weave_text
from memupdate.errors import FieldError

RESERVED = PROMPT_IDS + INFERENCE_IDS


def streams(model: MemGenModel, count: int = 3) -> tuple[list[list[int]], list[int]]:
    """Supervised streams of different lengths with different numbers of blocks."""
    texts, answers = prompts((5, 9, 3)[:count]), prompts((8, 21, 30)[:count], seed=1)
    rows = [weave_text(model.rules, text, answer) for text, answer in zip(texts, answers, strict=True)]
    return rows, [len(text) for text in texts]


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "head"), ("paper", "paper")])
def test_packed_equals_padded(weaver: str, trigger: str) -> None:
    """G11: rows in one sequence without a mask give the logits of rows padded, in their order."""
    model = tiny_memgen(weaver, trigger, generation_prefix_ids=[150, 151])  # ids that prompts() never draws
    texts = [[*text, 150, 151] for text in prompts((5, 9, 3))]
    rows = [weave_text(model.rules, text, answer) for text, answer in zip(texts, prompts((8, 21, 30), 1), strict=True)]
    ids, mask = padded(rows, "left")
    with torch.no_grad():
        expected = model(ids, mask).logits[mask.bool()]
        positions = torch.cat([torch.arange(len(row)) for row in rows])[None]
        found = model(torch.tensor([[token for row in rows for token in row]]), position_ids=positions).logits[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def train_some(model: MemGenModel, steps: int = 8, labels_from: str = "text") -> list[float]:
    rows, lengths = streams(model)
    ids, mask = padded(rows, "right")
    labels = ids.masked_fill(mask == 0, -100)
    for row, length in enumerate(lengths):
        labels[row, :length] = -100
    if labels_from == "decisions":
        labels = labels.masked_fill(~torch.isin(labels, torch.tensor([PROMPT_IDS[0], INFERENCE_IDS[0]])), -100)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(steps):
        if labels_from == "text":
            loss = model(ids, mask, prompt_lengths=torch.tensor(lengths), labels=labels).loss
        else:
            logits = model(ids, mask, prompt_lengths=torch.tensor(lengths)).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "head"), ("paper", "paper")])
def test_each_stage_trains_its_component_and_nothing_else(weaver: str, trigger: str) -> None:
    """G1, G17, G22: the loss falls, and by hash every other part is bit-identical; the reasoner always is."""
    model = tiny_memgen(weaver, trigger)
    before = {part: model.parameter_digest(part) for part in (None, "weaver", "trigger")}
    model.train()
    model.train_only("weaver")
    losses = train_some(model)
    assert losses[-1] < losses[0] - 0.05
    assert [part for part in before if model.parameter_digest(part) != before[part]] == ["weaver"]
    weaver_after = model.parameter_digest("weaver")
    model.train_only("trigger")
    losses = train_some(model, labels_from="decisions")
    assert losses[-1] < losses[0] - 0.05
    assert model.parameter_digest(None) == before[None] and model.parameter_digest("weaver") == weaver_after
    assert model.parameter_digest("trigger") != before["trigger"]
    with pytest.raises(FieldError, match="reasoner"):
        model.train_only("reasoner")


def test_exactly_the_small_parts_are_trainable() -> None:
    """G17: LoRA, queries, norms, scales, projections; and the trigger's layer with its LoRA."""
    model = tiny_memgen("paper", "paper", separate=True)
    trainable = {
        name.split(".lora_")[0] if ".lora_" in name else name for name, p in model.named_parameters() if p.requires_grad
    }
    own = {name for name in trainable if ".own_decoder." not in name}
    assert own == {
        f"weaver.{kind}_{part}"
        for kind in ("prompt", "inference")
        for part in ("queries", "scale", "norm.weight", "norm.bias")
    } | {
        f"weaver.{side}.{part}" for side in ("reasoner_to_weaver", "weaver_to_reasoner") for part in ("weight", "bias")
    } | {
        "trigger.output_layer.weight",
        "trigger.output_layer.bias",
    }
    assert all(name.endswith(("q_proj", "v_proj")) for name in trainable - own)


def test_decisions_do_not_train_the_weaver_through_a_head() -> None:
    """Both stages in one run (G42): a head reads a detached state."""
    model = tiny_memgen("shared", "head")
    rows, lengths = streams(model, 1)
    ids = torch.tensor(rows)
    log_probs = model(ids, prompt_lengths=torch.tensor(lengths)).logits.log_softmax(-1)[0]
    (at_prompt_end,) = [column for column, token in enumerate(rows[0]) if token == PROMPT_IDS[0]]
    log_probs[at_prompt_end - 1, PROMPT_IDS[0]].backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert set(gradients) == {"trigger.output_layer.weight", "trigger.output_layer.bias"}


def test_checkpointing_keeps_less() -> None:
    """Gradient checkpointing really recomputes: the bytes kept for the backward pass fall by half or more. (That the
    gradients are equal is in test_memgen_equivalence.)"""
    kept: dict[bool, int] = {}
    for checkpointing in (False, True):
        model = tiny_memgen("shared", "head", base={"num_hidden_layers": 6}).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        assert model.is_gradient_checkpointing == checkpointing
        rows, lengths = streams(model)
        ids, mask = padded(rows, "right")
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(ids, mask, prompt_lengths=torch.tensor(lengths))
        kept[checkpointing] = sum(size for pointer, size in sizes.items() if pointer not in weights)
    assert kept[True] < kept[False] / 2
    with pytest.raises(FieldError, match="use_reentrant"):
        model.gradient_checkpointing_enable({"use_reentrant": True})


@pytest.mark.parametrize(("weaver", "trigger"), [("shared", "head"), ("paper", "paper")])
def test_half_precision(weaver: str, trigger: str) -> None:
    """G35: bf16 forward, backward and generation on the CPU; teacher-forced log-probs near the generated ones."""
    model = tiny_memgen(weaver, trigger).bfloat16()
    batch = model.generate(prompts((5, 9)), max_new_tokens=20, seeds=[0, 1])
    ids, mask = padded([row.stream for row in batch.rows], "left")
    logits = model(ids, mask, prompt_lengths=torch.tensor([5, 9])).logits
    assert logits.dtype == torch.bfloat16
    log_probs = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]
    log_probs[mask[:, 1:].bool()].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    for row, found in zip(batch.rows, log_probs, strict=True):
        recorded = torch.tensor(row.log_probs)
        assert (found[-len(recorded) :] - recorded).abs().mean() < 0.1


def test_latents_are_never_supervised() -> None:
    """G11: labels on latents are ignored, and the loss is the cross-entropy of the text."""
    model = tiny_memgen(mode="always")
    rows, lengths = streams(model, 1)
    ids = torch.tensor(rows)
    output = model(ids, prompt_lengths=torch.tensor(lengths), labels=ids)
    log_probs = output.logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    text = torch.tensor([token not in RESERVED for token in rows[0][1:]])
    torch.testing.assert_close(output.loss, -log_probs[text].mean())
    assert output.logits.shape == (*ids.shape, 160)


def test_earlier_latents_are_invisible() -> None:
    """G13: a conversation's turns are streams of their own; the weaver's part in turn 0 changes nothing in turn 1."""
    model = tiny_memgen(max_prompt_aug_num=1, mode="always")
    (text,) = prompts((40,))
    turns = split_turns([t if t not in DELIMITERS else 3 for t in text], [0] * 5 + [1] * 10 + [0] * 5 + [1] * 20)
    rows = [turn.stream(model.rules) for turn in turns]
    assert [PROMPT_IDS[0] in row for row in rows] == [True, False]
    ids, mask = padded(rows, "right")
    lengths, indices = torch.tensor([len(t.prompt) for t in turns]), torch.tensor([t.turn for t in turns])
    with torch.no_grad():
        before = model(ids, mask, prompt_lengths=lengths, turns=indices).logits
        model.weaver.prompt_queries.add_(torch.randn_like(model.weaver.prompt_queries))
        after = model(ids, mask, prompt_lengths=lengths, turns=indices).logits
    assert (before[0] - after[0]).abs().max() > 0.01
    assert torch.equal(before[1], after[1])


def test_a_batch_without_blocks_trains_too() -> None:
    """G36: its gradients are zero, and all there: every rank's backward is alike."""
    model = tiny_memgen("shared", "head").train()
    ids = torch.tensor(prompts((6,)))
    model(ids, prompt_lengths=torch.tensor([7]), labels=ids).loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters() if p.requires_grad)


def test_bad_batches_are_refused_by_name() -> None:
    model = tiny_memgen()
    ids = torch.tensor([[3, *PROMPT_IDS[:2], 4]])
    with pytest.raises(FieldError, match=r"input_ids\[0, 3\]"):
        model(ids, prompt_lengths=torch.tensor([1]))
    with pytest.raises(FieldError, match="prompt_lengths"):
        model(torch.tensor([[3, 4]]))
    with pytest.raises(FieldError, match="1025 items"):
        model(torch.full((1, 1025), 3), prompt_lengths=torch.tensor([4]))
    with pytest.raises(FieldError, match="position_ids"):
        model(torch.tensor([[3, 4]]), position_ids=torch.tensor([[1, 2]]), prompt_lengths=torch.tensor([4]))
