"""Runs GRPO in this process from a resolved config: ``python -m memgen.training.grpo CONFIG.yaml``."""

from __future__ import annotations

import sys
from pathlib import Path

from memgen.training.latent_trainer import LatentTaskRunner
from memupdate.platform import launcher

if __name__ == "__main__":
    sys.exit(launcher.main(Path(sys.argv[1]), LatentTaskRunner, "memgen"))
