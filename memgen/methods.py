"""The contract of a latent method, and the table of methods.

A method is one class. Settings, data, training, serving, evaluation, runner and command line know only this contract.
They load the class by the name in ``model.method``. The name is also the ``model_type`` in the ``config.json`` of the
method's checkpoints.

Importing this module does not import torch, so that a wrong setting is reported quickly. A method's module should not
import torch either. It should import its model inside the methods that need it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from memgen.base.server import Send
from memgen.data.examples import Example
from memgen.data.rows import TrainingRow, text_rows
from memgen.sections import Grpo, ModelSettings, Run
from memupdate.errors import FieldError
from memupdate.tables import Table

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from memgen.base.sampling import SamplingSettings
    from memupdate.platform.rollout.decoding import ServedModel

SettingsT = TypeVar("SettingsT", bound=ModelSettings)
ConfigT = TypeVar("ConfigT", bound="PreTrainedConfig")
ModelT = TypeVar("ModelT", bound="PreTrainedModel")

# Called with a row's index and the new ids of its response. All ids of one block of latents come in the same call.
OnIds = Callable[[int, list[int]], None]


@dataclass(frozen=True)
class Answer:
    """One response.

    Attributes:
        response_ids: ids of the response as the model's ``forward`` takes them, including the ids of latents.
        text_ids: ids of the response without latents.
        log_probs: log-prob of each response id under the policy; exactly 0 for an id that was forced.
        finish_reason: ``stop`` if an end id was sampled, else ``length``.
        counts: numbers of this response for metrics. They include ``tokens`` and ``latents``.
    """

    response_ids: list[int]
    text_ids: list[int]
    log_probs: list[float]
    finish_reason: str
    counts: dict[str, float]


@dataclass(frozen=True)
class Rollout(Answer):
    """A response to train on.

    Attributes:
        actions: 1 for each response id that is an action of the stage, else 0. The policy gradient is computed over
            the actions.
    """

    actions: list[int]


class LatentMethod(ABC, Generic[SettingsT, ConfigT, ModelT]):
    """The base class of latent methods.

    The model is an ordinary Hugging Face causal LM. verl trains it through its ``forward``. The name of its class ends
    in ``ForCausalLM``. Its config has the list ``trainable`` of component names. When a model is built or loaded, these
    components are trainable and everything else is frozen.

    Attributes:
        settings: class of the ``model`` section of the settings.
        grpo: class of the ``run.grpo`` section.
        stages: maps each training stage to the components that it trains. The first stage is the default.
        penalty_name: name of the penalties in the trainer's metrics, if the method has penalties.
        keeps_state: whether a model keeps state between turns.
    """

    settings: type[SettingsT]
    grpo: ClassVar[type[Grpo]] = Grpo
    stages: ClassVar[Mapping[str, Sequence[str]]]
    penalty_name: ClassVar[str] = "penalty"
    keeps_state: ClassVar[bool] = False

    # -- settings and model

    @abstractmethod
    def check(self, model: SettingsT, run: Run) -> None:
        """Checks the method's own settings, alone and together with ``run``.

        Raises:
            FieldError: a value or a combination of values is not allowed.
        """

    @abstractmethod
    def register(self) -> None:
        """Registers the config and the model with Hugging Face's Auto classes. A second call changes nothing."""

    @abstractmethod
    def build(self, settings: SettingsT, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ModelT:
        """Builds an untrained model around a base model.

        Args:
            settings: the ``model`` section.
            base: the causal LM of ``model.reasoner``, in fp32. It becomes part of the model.
            tokenizer: the tokenizer of ``base``. A method that reserves ids adds them to it.

        Raises:
            FieldError: the settings do not fit the base model or the tokenizer.
        """

    @abstractmethod
    def read(self, settings: SettingsT, folder: Path, tokenizer: PreTrainedTokenizerBase) -> ModelT:
        """Loads a checkpoint in fp32.

        The settings must match the checkpoint. A key without effect would mislead the user.

        Raises:
            FieldError: the settings or the tokenizer do not match the checkpoint.
        """

    @abstractmethod
    def read_config(self, folder: Path) -> ConfigT:
        """Loads the config of a checkpoint."""

    # -- training

    def training_rows(
        self, examples: Iterable[Example], config: ConfigT, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[TrainingRow]:
        """Returns the rows of supervised training, one for each assistant turn. By default rows hold only text.

        Raises:
            FieldError: a row has more than ``max_length`` ids, or the method cannot use a text.
            DataError: the chat template cannot be used for training, see :func:`memgen.base.chat.turns_of`.
        """
        return text_rows(examples, tokenizer, max_length)

    def forward_arguments(self, config: ConfigT, prompts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns extra keyword arguments of the policy's ``forward``, besides ids, mask and positions.

        The default is no extra arguments.

        Args:
            config: the model's config.
            prompts: ids of each row's prompt.
        """
        return {}

    def prepare_policy(self, config: ConfigT, grpo: Grpo) -> None:
        """Writes settings of reinforcement learning into the model's config. By default it writes nothing."""

    # -- rollouts

    def check_prompts(self, config: ConfigT, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Checks that a response to every prompt can be generated.

        Raises:
            FieldError: there are no prompts, a prompt is empty, it holds an id outside the vocabulary, the response
                does not fit into the context, or ``max_new_tokens`` is below 1.
        """
        from memgen.base.prompts import check_prompts

        check_prompts(prompts, max_new_tokens, config, self.most_latents(config))

    def most_latents(self, config: ConfigT) -> int:
        """Returns the maximum number of latents in one response, by default 0."""
        return 0

    async def roll_out(
        self,
        config: ConfigT,
        prompt: Sequence[int],
        send: Send,
        *,
        stage: str,
        max_new_tokens: int,
        temperature: float,
        stop_ids: Collection[int],
    ) -> Rollout:
        """Generates one response on a rollout server. By default it sends one request, and every id is an action.

        Args:
            config: the model's config.
            prompt: text ids of the prompt.
            send: function that sends one request to the server.
            stage: the stage that is being trained.
            max_new_tokens: maximum number of text ids in the response.
            temperature: sampling temperature, above 0.
            stop_ids: ids that end the response.

        Raises:
            FieldError: the model does not support this temperature.
        """
        sampling = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "stop_token_ids": sorted(stop_ids),
            "logit_bias": {},
        }
        answer = await send(list(prompt), sampling, -1)
        ids = answer.token_ids
        return Rollout(
            response_ids=ids,
            text_ids=ids,
            log_probs=answer.log_probs,
            finish_reason="stop" if answer.stopped else "length",
            counts={"tokens": len(ids), "latents": 0},
            actions=[1] * len(ids),
        )

    def penalty_weight(self, run: Run) -> float:
        """Returns the weight of :meth:`penalties` in a run. The default is 0, which means no penalties."""
        return 0.0

    def penalties(
        self, groups: Sequence[str], rewards: Sequence[float], counts: Sequence[Mapping[str, float]], weight: float
    ) -> list[float]:
        """Returns the penalty of each rollout, which is subtracted from its advantage. Penalties are at least 0.

        The trainer calls it only if the weight is above 0.

        Args:
            groups: for each rollout, an identifier of its question.
            rewards: reward of each rollout.
            counts: counts of each rollout, see :class:`Answer`.
            weight: result of :meth:`penalty_weight`.
        """
        raise NotImplementedError(f"{type(self).__name__} has a penalty_weight and no penalties")

    # -- generation and serving

    def generate(
        self,
        model: ModelT,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: SamplingSettings,
        stop_ids: Collection[int],
        seeds: Sequence[int],
        on_ids: OnIds | None = None,
    ) -> list[Answer]:
        """Generates a response to each prompt. The response to one prompt does not depend on the other prompts.

        The default uses the model as a plain causal LM, one prompt after another.

        Args:
            model: the model.
            prompts: text ids of each row.
            max_new_tokens: maximum number of text ids per response; latents do not count.
            sampling: how ids are sampled.
            stop_ids: ids that end a response.
            seeds: random seed of each row.
            on_ids: function that is called with a row's index and the new ids of its response.

        Raises:
            FieldError: see :meth:`check_prompts`.
        """
        from memgen.base.generation import continue_prompt

        self.check_prompts(cast("ConfigT", model.config), prompts, max_new_tokens)
        answers = []
        for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            found = continue_prompt(
                model,
                prompt,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                stop_ids=stop_ids,
                seed=seed,
                on_ids=None if on_ids is None else partial(on_ids, row),
            )
            answers.append(
                Answer(
                    response_ids=found.ids,
                    text_ids=found.ids,
                    log_probs=found.log_probs,
                    finish_reason="stop" if found.stopped else "length",
                    counts={"tokens": len(found.ids), "latents": 0},
                )
            )
        return answers

    def state(self, model: ModelT) -> dict[str, torch.Tensor]:
        """Returns the state that the model keeps between turns, by default none. Weights are not part of it."""
        return {}

    def set_state(self, model: ModelT, state: Mapping[str, torch.Tensor]) -> None:
        """Restores a state that :meth:`state` returned.

        Raises:
            FieldError: the state does not belong to this model.
        """
        raise FieldError("state", sorted(state), f"none: {model.config.model_type} keeps nothing between turns")

    def summary(self, counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns the method's metrics of an evaluation, from the counts of all answers.

        The default is the mean of ``latents``.
        """
        return {"latents": sum(one["latents"] for one in counts) / len(counts)}

    def served_model(self, model: ModelT) -> ServedModel | None:
        """Returns the wrapper that the torch rollout server uses for this model.

        The default is None: the server uses the model as a plain causal LM.
        """
        return None

    def export_for_sglang(self, model: ModelT, folder: Path) -> None:
        """Writes a checkpoint that SGLang can load. By default SGLang cannot serve a method.

        Raises:
            FieldError: SGLang cannot serve this model.
        """
        raise FieldError("model.method", model.config.model_type, "a method that SGLang can serve")


METHODS: Table[type[LatentMethod[Any, Any, Any]]] = Table(
    "memgen.methods", "model.method", {"memgen": "memgen.weaver.method:MemGenMethod"}
)


def method_of_checkpoint(folder: Path) -> LatentMethod[Any, Any, Any]:
    """Returns the method of a checkpoint.

    Raises:
        FieldError: the folder has no ``config.json``, or its ``model_type`` is not the name of a method.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise FieldError("model.load_model_path", str(folder), "a folder of a checkpoint, with config.json")
    return METHODS.load(json.loads(config.read_text()).get("model_type"), field=f"{config}: model_type")()


def method_of(name: str) -> LatentMethod[Any, Any, Any]:
    """Returns the method with this name.

    Raises:
        FieldError: no method has this name.
    """
    return METHODS.load(name)()
