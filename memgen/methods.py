"""The contract of a latent method, and the table of methods.

A method is one class. Settings, data, training, serving, evaluation, runner and command line know this contract only,
and load the class by the name that ``model.method`` says. The name is also the ``model_type`` in the ``config.json`` of
the method's checkpoints.

Importing this loads no torch: a wrong setting is reported before that. A method's module should do the same, and import
its model inside the methods that need it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

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

# Called with a row's index and the ids that its response just grew by; latents that belong together come together.
OnIds = Callable[[int, list[int]], None]


@dataclass(frozen=True)
class Answer:
    """One response.

    Attributes:
        response_ids: the response as the model's forward takes it, latents included.
        text_ids: the response without latents.
        log_probs: log-prob of each response id under the policy; exactly 0 where the id was forced.
        finish_reason: ``stop`` (an end id was drawn) or ``length``.
        counts: numbers of this answer for metrics, ``tokens`` and ``latents`` among them.
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
        actions: for each response id, 1 where it is an action of the stage: the policy gradient is taken over these.
    """

    actions: list[int]


class LatentMethod(ABC, Generic[SettingsT, ConfigT, ModelT]):
    """What a latent method is made of.

    The model is an ordinary Hugging Face causal LM: verl trains it by its ``forward``, and its class is named
    ``…ForCausalLM``. Its config has ``trainable``, a list of components: a model that was just made or loaded trains
    these, and freezes everything else.

    Attributes:
        settings: the ``model`` section of the settings.
        grpo: the ``run.grpo`` section.
        stages: what can be trained: stage -> components that it trains. The first stage is the default.
        penalty_name: what the trainer's metrics call the penalties, where the method takes any.
        keeps_state: whether a model keeps anything between turns.
    """

    settings: type[SettingsT]
    grpo: ClassVar[type[Grpo]] = Grpo
    stages: ClassVar[Mapping[str, Sequence[str]]]
    penalty_name: ClassVar[str] = "penalty"
    keeps_state: ClassVar[bool] = False

    # -- settings and model

    @abstractmethod
    def check(self, model: SettingsT, run: Run) -> None:
        """Checks the method's own settings, and which of them go together with ``run``.

        Raises:
            FieldError: a value, or a combination of values, that is not allowed.
        """

    @abstractmethod
    def register(self) -> None:
        """Registers config and model with Hugging Face's Auto classes; a second call changes nothing."""

    @abstractmethod
    def build(self, settings: SettingsT, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> ModelT:
        """Makes an untrained model around a base model.

        Args:
            settings: the ``model`` section.
            base: the causal LM that ``model.reasoner`` names, in fp32. It becomes part of the model.
            tokenizer: its tokenizer. A method that reserves ids adds them here.

        Raises:
            FieldError: the settings do not fit the base model or the tokenizer.
        """

    @abstractmethod
    def read(self, settings: SettingsT, folder: Path, tokenizer: PreTrainedTokenizerBase) -> ModelT:
        """Reads a checkpoint in fp32.

        Raises:
            FieldError: the settings, or the tokenizer, are not what the checkpoint is: a key that changes nothing would
                mislead.
        """

    @abstractmethod
    def read_config(self, folder: Path) -> ConfigT:
        """Reads the config of a checkpoint."""

    # -- training

    def training_rows(
        self, examples: Iterable[Example], config: ConfigT, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> list[TrainingRow]:
        """Returns the rows of supervised training: one for each turn of the assistant, by default of text alone.

        Raises:
            FieldError: a row of more than ``max_length`` ids, or a text that the method cannot take.
            DataError: a chat template that does not fit.
        """
        return text_rows(examples, tokenizer, max_length)

    def forward_arguments(self, config: ConfigT, prompts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns what the forward of a policy takes beside ids, mask and positions; by default nothing.

        Args:
            config: the model's.
            prompts: ids of each row's prompt.
        """
        return {}

    def prepare_policy(self, config: ConfigT, grpo: Grpo) -> None:
        """Writes into a config what reinforcement learning fixes; by default nothing."""

    # -- rollouts

    def check_prompts(self, config: ConfigT, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        """Checks that a response to every prompt can be generated.

        Raises:
            FieldError: a prompt that is empty, holds an id beyond the vocabulary, or leaves no room in the context.
        """
        from memgen.base.prompts import check_prompts

        check_prompts(prompts, max_new_tokens, config, self.most_latents(config))

    def most_latents(self, config: ConfigT) -> int:
        """Returns how many ids a response may hold beside its text; by default 0."""
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
        """Generates one response on a rollout server; by default by one request, and every id is an action.

        Args:
            config: the model's.
            prompt: text ids.
            send: sends one request.
            stage: the stage that is trained.
            max_new_tokens: text ids of the response.
            temperature: above 0.
            stop_ids: ids that end the response.

        Raises:
            FieldError: a temperature that the model was not made for.
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
        """Returns the weight of :meth:`penalties` in a run; by default 0, which takes none."""
        return 0.0

    def penalties(
        self, groups: Sequence[str], rewards: Sequence[float], counts: Sequence[Mapping[str, float]], weight: float
    ) -> list[float]:
        """Returns what each rollout's reward loses, at least 0. It is called where the weight is above 0.

        Args:
            groups: each rollout's question.
            rewards: their rewards.
            counts: their counts.
            weight: of :meth:`penalty_weight`.
        """
        raise NotImplementedError(f"{type(self).__name__} has a penalty_weight and no penalties")

    # -- generation and serving

    @abstractmethod
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
        """Generates a response to each prompt; a row's response does not depend on the others.

        Args:
            model: the model.
            prompts: text ids of each row.
            max_new_tokens: text ids per response; latents do not count.
            sampling: how ids are drawn.
            stop_ids: ids that end a response.
            seeds: each row's seed.
            on_ids: called with a row's index and the ids its response grows by, as they come.
        """

    def state(self, model: ModelT) -> dict[str, torch.Tensor]:
        """Returns what the model keeps between turns; by default nothing. Weights are no part of it."""
        return {}

    def set_state(self, model: ModelT, state: Mapping[str, torch.Tensor]) -> None:
        """Gives a model a state of :meth:`state`.

        Raises:
            FieldError: the state is of another model.
        """
        raise FieldError("state", sorted(state), f"none: {model.config.model_type} keeps nothing between turns")

    def summary(self, counts: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns what an evaluation reports of its answers' counts; by default the mean of ``latents``."""
        return {"latents": sum(one["latents"] for one in counts) / len(counts)}

    def served_model(self, model: ModelT) -> ServedModel | None:
        """Returns the model as the torch rollout server asks it; by default None: it is served as a causal LM."""
        return None

    def export_for_sglang(self, model: ModelT, folder: Path) -> None:
        """Writes a checkpoint as SGLang loads it; by default a method has none.

        Raises:
            FieldError: SGLang cannot serve this model.
        """
        raise FieldError("model.method", model.config.model_type, "a method that SGLang can serve")


METHODS: Table[type[LatentMethod[Any, Any, Any]]] = Table(
    "memgen.methods", "model.method", {"memgen": "memgen.weaver.method:MemGenMethod"}
)


def method_of_checkpoint(folder: Path) -> LatentMethod[Any, Any, Any]:
    """Returns the method that a checkpoint is of.

    Raises:
        FieldError: the folder holds no checkpoint of a method.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise FieldError("model.load_model_path", str(folder), "a folder of a checkpoint, with config.json")
    return METHODS.load(json.loads(config.read_text()).get("model_type"), field=f"{config}: model_type")()


def method_of(name: str) -> LatentMethod[Any, Any, Any]:
    """Returns the method of a name.

    Raises:
        FieldError: no method has that name.
    """
    return METHODS.load(name)()
