"""The settings of a method with its defaults."""

from __future__ import annotations

from memgen.methods import method_of
from memgen.sections import Dataset, Run, Settings

METHOD = "memgen"
LEARNING_RATE = 1e-5


def new_settings(method: str = METHOD) -> Settings:
    """Returns the settings of a method with their defaults.

    Raises:
        FieldError: no method has that name.
    """
    found = method_of(method)
    return Settings(
        model=found.settings(method=method),
        dataset=Dataset(),
        run=Run(stage=next(iter(found.stages)), grpo=found.grpo(lr=dict.fromkeys(found.stages, LEARNING_RATE))),
    )
