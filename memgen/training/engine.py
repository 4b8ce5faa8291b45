"""verl's FSDP engine for latent models: reproducible steps after a restart, and an export of the whole model."""

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
    """Trains the components in ``trainable`` of the model's config. Everything else is frozen."""

    def _build_module(self) -> PreTrainedModel:
        config = self.model_config
        key, config.model_type = config.model_type, "language_model"  # verl accepts only this and "value_model"
        try:
            module = super()._build_module()  # type: ignore[no-untyped-call]
        finally:
            config.model_type = key
        assert isinstance(module, PreTrainedModel)
        return module

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """Runs one step. Its dropout depends only on seed, step and rank, so a resumed run repeats it exactly.

        verl restores the random states of a checkpoint. But in a restarted process, the data loader draws from them
        before the first step.
        """
        step = int(self.lr_scheduler.last_epoch)
        torch.manual_seed((self.engine_config.seed * 1_000_003 + step) * 4096 + self.rank)
        return super().train_batch(data, loss_function)

    def export(self, folder: Path) -> None:
        """Gathers the model from all ranks and writes it with its tokenizer in Hugging Face's format.

        The files are first written to a temporary folder, which is then renamed. So ``folder`` is never incomplete.
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
    """The engine of a policy. Its log-probs must equal those of the rollouts, so adapters have no dropout."""

    def _build_module(self) -> PreTrainedModel:
        module = super()._build_module()
        # With dropout, the ratios of the first update would not be 1. The config, and so the export, is not changed.
        for layer in module.modules():
            if isinstance(layer, LoraLinear):
                layer.settings = {name: replace(one, dropout=0.0) for name, one in layer.settings.items()}
        return module

    def prepare_model_inputs(self, micro_batch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Adds the method's extra arguments of ``forward`` to verl's inputs."""
        inputs, output_arguments = super().prepare_model_inputs(micro_batch)
        config = self.model_config.hf_config
        arguments = method_of(config.model_type).forward_arguments(config, micro_batch["prompts"].unbind())
        return {**inputs, **arguments}, output_arguments
