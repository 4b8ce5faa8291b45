"""What verl loads by name: the platform's engines and rollouts, the latent methods, their engines, and their serving.

verl imports this module where ``model.external_lib`` names it, in every process that builds a model.
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


# verl opens a checkpoint before it says which: every method must be known to Hugging Face's Auto classes by then.
for name in METHODS:
    method = method_of(name)
    method.register()
    register_served_model(name, _served_by(method))
