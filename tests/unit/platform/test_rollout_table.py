"""The table of rollout engines."""

from __future__ import annotations

import pytest

from memupdate.errors import FieldError
from memupdate.platform.rollout.snapshot import SnapshotReplica
from memupdate.platform.rollout.table import ROLLOUTS


def test_the_engines_of_the_platform_load() -> None:
    assert set(ROLLOUTS) >= {"sglang_cpu", "torch"}
    assert all(issubclass(ROLLOUTS.load(name), SnapshotReplica) for name in ("sglang_cpu", "torch"))
    with pytest.raises(FieldError, match=r"actor_rollout_ref\.rollout\.name: got 'vlm'; allowed: one of sglang_cpu"):
        ROLLOUTS.load("vlm")
