"""Registers engines, rollouts, latent methods and their serving with verl and Hugging Face.

``model.external_lib`` in verl's config names this module. verl then imports it in every process that builds a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

import memgen.training.engine  # noqa: F401
import memupdate.platform.plugin  # noqa: F401
from memgen.methods import METHODS, LatentMethod, method_of
from memupdate.platform.rollout.decoding import CausalModel, ServedModel, register_served_model


def _served_by(method: LatentMethod[Any, Any, Any]) -> Callable[[PreTrainedModel], ServedModel]:
    return lambda model: method.served_model(model) or CausalModel(model)


# The method of verl's checkpoint is not known here, so every method is registered with Hugging Face's Auto classes.
for name in METHODS:
    method = method_of(name)
    method.register()
    register_served_model(name, _served_by(method))
