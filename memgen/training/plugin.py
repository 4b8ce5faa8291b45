"""What verl loads by name: the platform's engines and rollouts, the latent model, its engines, and its serving.

verl imports this module where ``model.external_lib`` names it, in every process that builds a model.
"""

from __future__ import annotations

import memgen.training.engine  # noqa: F401
import memupdate.platform.plugin  # noqa: F401
from memgen.model import MemGenConfig
from memgen.serving.torch_model import LatentServedModel
from memupdate.platform.rollout.decoding import register_served_model

register_served_model(MemGenConfig.model_type, LatentServedModel)
