"""verl's FSDP engine for a latent model, under one key for each stage: it trains one component, the rest is frozen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import AutoModel
from verl.utils.fsdp_utils import get_fsdp_full_state_dict
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from memgen.model import MemGenConfig, MemGenModel
from memupdate.platform.plugin import CPUEngineMixin

WEAVER_KEY = "memgen_weaver"

# verl picks the Auto class by the architecture's name: AutoModelForCausalLM only for names that say so.
AutoModel.register(MemGenConfig, MemGenModel)


class LatentEngine(CPUEngineMixin, FSDPEngineWithLMHead):
    """Trains the components of :attr:`trained` of a :class:`MemGenModel`."""

    trained: ClassVar[tuple[str, ...]]

    def _build_module(self) -> MemGenModel:
        config = self.model_config
        key, config.model_type = config.model_type, "language_model"  # the only two that verl's method knows
        try:
            module = super()._build_module()
        finally:
            config.model_type = key
        assert isinstance(module, MemGenModel)
        module.train_only(*self.trained)
        return module

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """One step, whose dropout depends on seed, step and rank alone: a resumed run repeats it.

        verl restores random states, but the loader of a restarted process draws from them before the first step.
        """
        step = int(self.lr_scheduler.last_epoch)
        torch.manual_seed((self.engine_config.seed * 1_000_003 + step) * 4096 + self.rank)
        return super().train_batch(data, loss_function)

    def export(self, folder: Path) -> None:
        """Writes the model in Hugging Face layout, gathered from all ranks; ``folder`` appears when it is whole.

        verl's own export picks a class by the name of the architecture and knows none of other names.
        """
        state = get_fsdp_full_state_dict(self.module, offload_to_cpu=True, rank0_only=True)
        if self.rank == 0:
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            self.module.save_pretrained(partial, state_dict=state)
            self.model_config.tokenizer.save_pretrained(partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        torch.distributed.barrier()


@EngineRegistry.register(model_type=WEAVER_KEY, backend=["fsdp2"], device=["cpu", "cuda"])
class WeaverEngine(LatentEngine):
    """The weaver's stage."""

    trained = ("weaver",)
