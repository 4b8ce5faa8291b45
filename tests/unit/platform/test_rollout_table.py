"""The table of rollout engines, and that verl resolves its entries on both sides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memupdate.errors import FieldError
from memupdate.platform.rollout.table import ROLLOUTS

ENGINE = """
from memupdate.platform.rollout.snapshot import SnapshotReplica

class EchoReplica(SnapshotReplica):
    pass
"""

RESOLVE = """
import sys
import memupdate.platform.plugin
from verl.workers.rollout.base import get_rollout_class
from verl.workers.rollout.replica import RolloutReplicaRegistry
assert "echo_engine" not in sys.modules and "memupdate.platform.rollout.torch_server" not in sys.modules
for name in ("echo", "torch"):
    print(RolloutReplicaRegistry.get(name).__name__, get_rollout_class(name).__name__)
"""


def test_the_engines_of_the_platform_load() -> None:
    from memupdate.platform.rollout.snapshot import SnapshotReplica

    assert set(ROLLOUTS) >= {"sglang_cpu", "torch"}
    assert all(issubclass(ROLLOUTS.load(name), SnapshotReplica) for name in ("sglang_cpu", "torch"))
    with pytest.raises(FieldError, match=r"actor_rollout_ref\.rollout\.name: got 'vlm'; allowed: one of sglang_cpu"):
        ROLLOUTS.load("vlm")


def test_verl_resolves_an_engine_of_another_package(tmp_path: Path) -> None:
    """In a process of its own: what verl registers stays registered."""
    info = tmp_path / "echo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[memupdate.rollouts]\necho = echo_engine:EchoReplica\n")
    (tmp_path / "echo_engine.py").write_text(ENGINE)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{RESOLVE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["EchoReplica", "SnapshotWeightPush", "TorchReplica", "SnapshotWeightPush"]
