"""verl's FSDP engine for a latent model: steps that repeat after a restart, and an export of the whole model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from verl.utils.fsdp_utils import get_fsdp_full_state_dict
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from memgen.base.adapters import LoraLinear
from memgen.methods import method_of
from memupdate.platform.plugin import CPUEngineMixin

ENGINE = "memgen"
POLICY_ENGINE = "memgen_policy"


@EngineRegistry.register(model_type=ENGINE, backend=["fsdp2"], device=["cpu", "cuda"])
class LatentEngine(CPUEngineMixin, FSDPEngineWithLMHead):
    """Trains the components that ``trainable`` of the model's config names, and freezes the rest."""

    def _build_module(self) -> PreTrainedModel:
        config = self.model_config
        key, config.model_type = config.model_type, "language_model"  # verl's method knows that and "value_model"
        try:
            module = super()._build_module()  # type: ignore[no-untyped-call]
        finally:
            config.model_type = key
        assert isinstance(module, PreTrainedModel)
        return module

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """Runs one step. Its dropout depends on seed, step and rank alone, so that a resumed run repeats it.

        verl restores random states, but the loader of a restarted process draws from them before the first step.
        """
        step = int(self.lr_scheduler.last_epoch)
        torch.manual_seed((self.engine_config.seed * 1_000_003 + step) * 4096 + self.rank)
        return super().train_batch(data, loss_function)

    def export(self, folder: Path) -> None:
        """Writes model and tokenizer in Hugging Face layout, gathered from all ranks.

        The folder appears when it is whole.
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


@EngineRegistry.register(model_type=POLICY_ENGINE, backend=["fsdp2"], device=["cpu", "cuda"])
class LatentPolicyEngine(LatentEngine):
    """The same for a policy, whose log-probs must be those of its rollouts."""

    def _build_module(self) -> PreTrainedModel:
        module = super()._build_module()
        # With dropout the first update's ratios would not be 1. The config, and so the export, keeps its own.
        for layer in module.modules():
            if isinstance(layer, LoraLinear):
                layer.settings = {name: replace(one, dropout=0.0) for name, one in layer.settings.items()}
        return module

    def prepare_model_inputs(self, micro_batch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Adds what the method's forward takes beside ids."""
        inputs, output_arguments = super().prepare_model_inputs(micro_batch)
        config = self.model_config.hf_config
        arguments = method_of(config.model_type).forward_arguments(config, micro_batch["prompts"].unbind())
        return {**inputs, **arguments}, output_arguments
