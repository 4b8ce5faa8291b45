"""Runs verl's SFT trainer, also on the CPU platform: ``torchrun -m memupdate.platform.sft CONFIG.yaml``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from memupdate.platform.supervisor import die_with_parent


@contextmanager
def process_group() -> Iterator[None]:
    """Opens and closes the process group of a torchrun process, on the device that verl found.

    From then on, the process dies with its torchrun.
    """
    die_with_parent()
    from verl.utils.device import get_device_name
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    if get_device_name() == "cpu":
        import torch.distributed

        # verl would request "cpu:gloo,cpu:gloo", and torch refuses a repeated device
        torch.distributed.init_process_group(backend="cpu:gloo")
    else:
        initialize_global_process_group()
    yield
    # FSDP's modules form reference cycles that keep the group and its threads alive. Without this collection, the
    # threads would still run when the interpreter exits.
    gc.collect()
    destroy_global_process_group()


def run(config: DictConfig) -> None:
    """Trains with a config and saves the model in ``trainer.default_local_dir/global_step_N/huggingface``."""
    from verl.trainer.sft_trainer import SFTTrainer

    with process_group():
        SFTTrainer(config=config).fit()


if __name__ == "__main__":
    run(OmegaConf.load(Path(sys.argv[1])))  # type: ignore[arg-type]
