"""What verl loads by name: the platform's engines and rollouts, the latent model, and its engine keys.

verl imports this module where ``model.external_lib`` names it, in every process that builds a model.
"""

from __future__ import annotations

import memgen.training.engine  # noqa: F401
import memupdate.platform.plugin  # noqa: F401
