"""The training forward on two ranks whose rows hold different numbers of blocks (G36)."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

RANK = Path(__file__).with_name("latent_ranks.py")


@pytest.mark.parametrize(("weaver", "trigger", "checkpointing"), [("shared", "head", 0), ("paper", "paper", 1)])
def test_sharded_gradients_are_those_of_one_process(
    weaver: str, trigger: str, checkpointing: int, tmp_path: Path
) -> None:
    """G36: FSDP2 on two gloo ranks, no block on one and four on the other: nobody waits for ever, gradients equal one
    process's, frozen weights stay, and the log-probs pass without gradients runs too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, str(RANK), str(rank), str(port), weaver, trigger, str(checkpointing), str(out)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, out in enumerate([tmp_path / "0.json", tmp_path / "1.json"])
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=120)
            assert rank.returncode == 0, errors[-3000:]
    finally:
        for rank in ranks:
            rank.kill()
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [rank["blocks"] for rank in found] == [0, 4]
    for rank in found:
        assert rank["worst"] < 1e-4 and rank["frozen"]
        assert rank["losses"][1] != rank["losses"][0]
