"""Products in float64: in a process of their own, because switching over is for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
import torch, torch.nn.functional as F
torch.manual_seed(0)
torch.set_num_threads(1)
x, w, b = torch.randn(12, 50, 96), torch.randn(80, 96, requires_grad=True), torch.randn(80)
q, k, v = (3 * torch.randn(4, 2, 40, 16, requires_grad=True) for _ in "qkv")
seen = torch.ones(40, 40, dtype=torch.bool).tril()

def gradients():
    loss = F.linear(x, w).square().mean() + F.scaled_dot_product_attention(q, k, v, attn_mask=seen).square().sum()
    return torch.autograd.grad(loss, (w, q, k, v))

before = gradients()
from memupdate.platform import batch_invariant
batch_invariant.enable_if_asked()

def exact(found, wide):
    assert found.dtype == torch.float32 and torch.equal(found, wide.float()), (found - wide).abs().max()

wide = x.double() @ w.double().T
exact(F.linear(x, w), wide)
exact(F.linear(x, w, b), wide + b)
exact(F.linear(x[3:4, 7:8], w), wide[3:4, 7:8])
exact(torch.baddbmm(x @ x.mT, x, x.mT), (x.double() @ x.double().mT).float().double() + x.double() @ x.double().mT)
exact(torch.bmm(x, x.transpose(1, 2)), x.double() @ x.double().transpose(1, 2))
with torch.inference_mode():
    exact(F.linear(x, w), wide)
assert torch.equal(F.linear(x.bfloat16(), w.bfloat16())[:1], F.linear(x[:1].bfloat16(), w.bfloat16()))

scores = (q.double() @ k.double().transpose(2, 3)) / 4
expected = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v.double()
together = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
exact(together, expected)
alone = F.scaled_dot_product_attention(q[2:3, :, 30:31], k[2:3, :, :31], v[2:3, :, :31])  # a decoding step
assert torch.equal(alone, together[2:3, :, 30:31])
grouped = F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], is_causal=True, enable_gqa=True)
exact(grouped[:, :1], expected[:, :1])
for found, was in zip(gradients(), before, strict=True):
    assert (found - was).norm() < 1e-4 * was.norm()
"""


@pytest.mark.parametrize("asked", ["1", "0"])
def test_a_row_alone_is_the_row_in_a_batch(asked: str) -> None:
    """Every product equals the float64 one, rounded; switched off, the same checks fail."""
    environment = {"MEMUPDATE_BATCH_INVARIANT": asked, "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if asked == "1":
        assert found.returncode == 0, found.stderr[-2000:]
        assert "Warning" not in found.stderr
    else:
        assert "AssertionError" in found.stderr
