"""One rank of the FSDP2 test: ``python latent_ranks.py RANK PORT WEAVER TRIGGER CHECKPOINTING OUT.json``.

Rank 0's row has no block, rank 1's has four: without an agreement on the steps, they wait for each other for ever.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "memgen"))
from tiny_models import DELIMITERS, prompts, tiny_memgen

from memgen.weaver import MemGenModel
from memgen.weaver.stream import WovenText, weave


def row(model: MemGenModel, rank: int) -> tuple[list[int], int]:
    (text,) = prompts((6,), seed=rank)
    answer = prompts((30,), seed=7 + rank)[0]
    places = [index for index, token in enumerate(answer[:-1]) if token in DELIMITERS][:3]
    woven = WovenText(tuple(text), tuple(answer), bool(rank), tuple(places) if rank else ())
    return weave(model.rules, woven), len(text)


def loss_of(model: MemGenModel, rank: int) -> torch.Tensor:
    stream, length = row(model, rank)
    ids = torch.tensor([stream])
    logits = model(ids, prompt_lengths=torch.tensor([length])).logits
    log_probs = logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
    return -log_probs[length - 1 :].mean()


def shard(model: MemGenModel) -> None:
    mesh = init_device_mesh("cpu", (2,))
    for decoder in {model.reasoner.model, model.weaver.decoder, model.trigger.decoder}:
        for layer in decoder.layers:
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def main() -> None:
    rank, port, weaver, trigger, checkpointing, out = sys.argv[1:]
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    dist.init_process_group("gloo", rank=int(rank), world_size=2, timeout=datetime.timedelta(seconds=30))
    whole, sharded = (tiny_memgen(weaver, trigger, separate=True).train() for _ in range(2))
    ((loss_of(whole, 0) + loss_of(whole, 1)) / 2).backward()
    shard(sharded)
    if checkpointing == "1":
        sharded.gradient_checkpointing_enable()
    frozen = {n: p.to_local().clone() for n, p in sharded.named_parameters() if not p.requires_grad}
    optimiser = torch.optim.AdamW([p for p in sharded.parameters() if p.requires_grad], lr=1e-2)
    first = loss_of(sharded, int(rank))
    first.backward()
    expected = dict(whole.named_parameters())
    worst = 0.0
    for name, parameter in sharded.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            gradient, other = parameter.grad.full_tensor(), expected[name].grad
            worst = max(worst, ((gradient - other).norm() / other.norm().clamp(min=1e-6)).item())
    optimiser.step()
    unchanged = all(torch.equal(p.to_local(), frozen[n]) for n, p in sharded.named_parameters() if n in frozen)
    sharded.eval()
    with torch.no_grad():  # log-probs of a rollout: no gradients, and still the same number of layers
        second = loss_of(sharded, int(rank))
    blocks = sum(token == model_first for token in row(whole, int(rank))[0] for model_first in (152, 155))
    found = {"blocks": blocks, "worst": worst, "frozen": unchanged, "losses": [first.item(), second.item()]}
    Path(out).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
    # Not through the interpreter's end: on a busy machine it aborted once while gloo's threads, which FSDP's reference
    # cycles keep alive, still let go of tensors. What is tested is on disk.
    sys.stderr.flush()
    os._exit(0)
