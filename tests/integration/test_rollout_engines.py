"""verl resolves every entry of the table of rollout engines, on the server's side and on the trainer's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from installed_package import install_into

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


def test_verl_resolves_an_engine_of_another_package(tmp_path: Path) -> None:
    """In a process of its own: what verl registers stays registered."""
    install_into(tmp_path, "[memupdate.rollouts]\necho = echo_engine:EchoReplica\n")
    (tmp_path / "echo_engine.py").write_text(ENGINE)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{RESOLVE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["EchoReplica", "SnapshotWeightPush", "TorchReplica", "SnapshotWeightPush"]
