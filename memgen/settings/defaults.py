"""The default settings of a method."""

from __future__ import annotations

from memgen.methods import method_of
from memgen.sections import Dataset, Run, Settings

METHOD = "memgen"
LEARNING_RATE = 1e-5


def new_settings(method: str = METHOD) -> Settings:
    """Returns the default settings of a method.

    Raises:
        FieldError: no method has this name.
    """
    found = method_of(method)
    return Settings(
        model=found.settings(method=method),
        dataset=Dataset(),
        run=Run(stage=next(iter(found.stages)), grpo=found.grpo(lr=dict.fromkeys(found.stages, LEARNING_RATE))),
    )
