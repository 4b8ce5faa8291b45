"""MemGen as a latent method. :class:`memgen.methods.LatentMethod` describes each member."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from memgen.base.server import Send
from memgen.data.examples import Example
from memgen.data.rows import TrainingRow
from memgen.methods import Answer, LatentMethod, OnIds, Rollout
from memgen.sections import Grpo, Run
from memgen.weaver import settings as settings_module
from memgen.weaver.actions import action_mask
from memgen.weaver.generated import Generated
from memgen.weaver.invocation import invocation_penalties, invocation_rate
from memgen.weaver.settings import STAGES, MemGenGrpo, MemGenSettings
from memupdate.errors import FieldError

if TYPE_CHECKING:
    # The methods below import the model: torch takes seconds to load, and wrong settings are reported without it.
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from memgen.base.sampling import SamplingSettings
    from memgen.weaver.config import MemGenConfig
    from memgen.weaver.modeling import MemGenModel
    from memgen.weaver.served import LatentServedModel


class MemGenMethod(LatentMethod[MemGenSettings, "MemGenConfig", "MemGenModel"]):
    """MemGen: a weaver writes latents into a frozen model's stream, and a trigger decides when.

    It keeps no state between turns.
    """

    settings = MemGenSettings
    grpo: ClassVar[type[Grpo]] = MemGenGrpo
    stages: ClassVar[Mapping[str, Sequence[str]]] = STAGES
    penalty_name: ClassVar[str] = "invocation_penalty"

    # -- settings and model

    def check(self, model: MemGenSettings, run: Run) -> None:
        """Checks the settings, see :func:`memgen.weaver.settings.check`."""
        settings_module.check(model, run)

    def register(self) -> None:
        """Imports the model. The import registers it."""
        import memgen.weaver.modeling  # noqa: F401

    def build(self, settings: MemGenSettings, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> MemGenModel:
        """Builds the model, see :func:`memgen.weaver.build.build_from_settings`."""
        from memgen.weaver.build import build_from_settings

        return build_from_settings(settings, base, tokenizer)

    def read(self, settings: MemGenSettings, folder: Path, tokenizer: PreTrainedTokenizerBase) -> MemGenModel:
        """Loads a checkpoint, see :func:`memgen.weaver.build.read_checkpoint`."""
        from memgen.weaver.build import read_checkpoint

        return read_checkpoint(settings, folder, tokenizer)

    def read_config(self, folder: Path) -> MemGenConfig:
        """Loads ``config.json``."""
        from memgen.weaver.config import MemGenConfig

        config = MemGenConfig.from_pretrained(folder)
        assert isinstance(config, MemGenConfig)
        return config

    # -- training

    def training_rows(
        self, examples: Iterable[Example], config: MemGenConfig, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[TrainingRow]:
        """Returns the turns with latents on the published schedule, or only their text if the mode is ``never``."""
        from memgen.weaver.rows import weave_examples, without_latents

        rules = config.rules()
        rows = weave_examples(examples, tokenizer, rules, config.generation_prefix_ids, max_length)
        return [without_latents(row, rules) for row in rows] if config.mode == "never" else rows

    def forward_arguments(self, config: MemGenConfig, prompts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns the prompt lengths and the turns.

        The model cannot find them reliably, because a response may itself contain the ids that open an assistant turn.
        """
        import torch

        from memgen.base.prompts import turn_of

        device = prompts[0].device
        return {
            "prompt_lengths": torch.tensor([len(ids) for ids in prompts], device=device),
            "turns": torch.tensor(
                [turn_of(ids.tolist(), config.generation_prefix_ids) for ids in prompts], device=device
            ),
        }

    def prepare_policy(self, config: MemGenConfig, grpo: Grpo) -> None:
        """Stores the rollouts' temperature in the config, because the gate needs the temperature of the trainer."""
        config.temperature = grpo.temperature

    # -- rollouts

    def check_prompts(self, config: MemGenConfig, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Checks prompts, see :func:`memgen.weaver.prompts.check_stream_prompts`."""
        from memgen.weaver.prompts import check_stream_prompts

        check_stream_prompts(prompts, max_new_tokens, config)

    def most_latents(self, config: MemGenConfig) -> int:
        """Returns the maximum number of latents in one response."""
        return config.rules().most_latents()

    async def roll_out(
        self,
        config: MemGenConfig,
        prompt: Sequence[int],
        send: Send,
        *,
        stage: str,
        max_new_tokens: int,
        temperature: float,
        stop_ids: Collection[int],
    ) -> Rollout:
        """Generates one response with :class:`memgen.weaver.client.LatentClient`, which serving uses too.

        Raises:
            FieldError: ``temperature`` is not ``config.temperature``.
        """
        from memgen.base.prompts import turn_of
        from memgen.weaver.client import LatentClient

        if temperature != config.temperature:
            raise FieldError("actor_rollout_ref.rollout.temperature", temperature, f"{config.temperature}, the model's")
        rules = config.rules()
        generated = await LatentClient(rules, config.mode, send).generate(
            prompt, max_new_tokens, temperature, stop_ids, turn=turn_of(prompt, config.generation_prefix_ids)
        )
        answer = _answer(generated)
        return Rollout(**vars(answer), actions=action_mask(stage, generated, rules.reserved))

    def penalty_weight(self, run: Run) -> float:
        """Returns λ, ``run.grpo.invocation_penalty``, if the trigger is trained, else 0."""
        assert isinstance(run.grpo, MemGenGrpo)
        return 0.0 if run.stage == "weaver" else run.grpo.invocation_penalty

    def penalties(
        self, groups: Sequence[str], rewards: Sequence[float], counts: Sequence[Mapping[str, float]], weight: float
    ) -> list[float]:
        """Returns the penalties, see :func:`memgen.weaver.invocation.invocation_penalties`."""
        return invocation_penalties(groups, rewards, [one["invocation_rate"] for one in counts], weight)

    # -- generation and serving

    def generate(
        self,
        model: MemGenModel,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: SamplingSettings,
        stop_ids: Collection[int],
        seeds: Sequence[int],
        on_ids: OnIds | None = None,
    ) -> list[Answer]:
        """Generates responses, see :meth:`memgen.weaver.modeling.MemGenForCausalLM.generate`."""
        batch = model.generate(
            prompts, max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids, seeds=seeds, on_ids=on_ids
        )
        return [_answer(row) for row in batch.rows]

    def summary(self, counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns the mean of ``latents`` and ``invocation_rate``.

        ``invocation_rate`` is the number of inserted blocks divided by the number of times the trigger was asked, over
        all answers.
        """
        blocks, asked = (sum(one[name] for one in counts) for name in ("blocks", "asked"))
        return {"invocation_rate": blocks / asked if asked else 0.0, **super().summary(counts)}

    def served_model(self, model: MemGenModel) -> LatentServedModel:
        """Returns the wrapper for the torch rollout server. It supports every weaver and trigger."""
        from memgen.weaver.served import LatentServedModel

        return LatentServedModel(model)

    def export_for_sglang(self, model: MemGenModel, folder: Path) -> None:
        """Writes a checkpoint for SGLang, see :func:`memgen.weaver.export.export_for_sglang`."""
        from memgen.weaver.export import export_for_sglang

        export_for_sglang(model, folder)


def _answer(generated: Generated) -> Answer:
    blocks, asked, text = generated.blocks, generated.asked, len(generated.text_ids)
    return Answer(
        response_ids=generated.response_ids,
        text_ids=generated.text_ids,
        log_probs=generated.log_probs,
        finish_reason=generated.finish_reason,
        counts={
            "blocks": blocks,
            "asked": asked,
            "invocation_rate": invocation_rate(blocks, asked),
            "latents": len(generated.response_ids) - text,
            "tokens": text,
        },
    )
