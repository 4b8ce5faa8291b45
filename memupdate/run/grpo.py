"""Runs GRPO in this process from a resolved config: ``python -m memupdate.run.grpo CONFIG.yaml``."""

from __future__ import annotations

import sys
from pathlib import Path

from memupdate.platform import launcher
from memupdate.run.trainer import MemoryTaskRunner

if __name__ == "__main__":
    sys.exit(launcher.main(Path(sys.argv[1]), MemoryTaskRunner, "memory"))
