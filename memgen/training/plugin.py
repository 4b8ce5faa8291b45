"""Registers engines, rollouts, latent methods and their serving with verl and Hugging Face.

``model.external_lib`` in verl's config names this module. verl then imports it in every process that builds a model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

import memgen.training.engine  # noqa: F401
import memupdate.platform.plugin  # noqa: F401
from memgen.methods import METHODS, LatentMethod, method_of
from memupdate.platform.config import one_line
from memupdate.platform.rollout.decoding import CausalModel, ServedModel, register_served_model

logger = logging.getLogger(__name__)


def _served_by(method: LatentMethod[Any, Any, Any]) -> Callable[[PreTrainedModel], ServedModel]:
    return lambda model: method.served_model(model) or CausalModel(model)


def register_methods() -> None:
    """Registers every installed method with Hugging Face's Auto classes and with the torch rollout server.

    The method of verl's checkpoint is not known when verl imports the plug-in. A method that cannot be registered is
    logged and left out, because this run may use another. A run that asks for it has ended with its error before:
    ``method_of`` raises it when the run's settings are read.
    """
    for name in METHODS:
        try:
            method = method_of(name)
            method.register()
        except Exception as error:  # noqa: BLE001  other packages raise anything
            logger.warning("the latent method %r cannot be used here: %s", name, one_line(error))
        else:
            register_served_model(name, _served_by(method))


register_methods()
