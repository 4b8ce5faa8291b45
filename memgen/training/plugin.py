"""What verl loads by name, ``model.external_lib: memgen.training.plugin``: the platform's engines, MemGen's model."""

import memgen.model  # noqa: F401  registers the model with Hugging Face's Auto classes
import memupdate.platform.plugin  # noqa: F401  registers engines and rollouts with verl
