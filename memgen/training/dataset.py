"""The data sets that verl's trainers are given: rows of supervised training, and questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from memgen.data.questions import read_questions
from memgen.data.rows import read_rows


class TrainingRows(Dataset[dict[str, torch.Tensor]]):
    """Rows of a parquet file of :func:`memgen.data.rows.write_rows`, in its order."""

    def __init__(
        self, parquet_files: str, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        """Reads the file.

        Args:
            parquet_files: one file.
            tokenizer: verl's, not needed: the file holds ids.
            config: verl's, likewise.
            processor: verl's, likewise.
            max_samples: verl's, likewise.
        """
        self.rows = read_rows(Path(parquet_files))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """``input_ids``, ``position_ids`` and ``loss_mask``, each (L,)."""
        row = self.rows[index]
        return {
            "input_ids": torch.tensor(row.input_ids),
            "position_ids": torch.arange(len(row.input_ids)),
            "loss_mask": torch.tensor(row.loss_mask),
        }


class Questions(Dataset[dict[str, Any]]):
    """Questions of a parquet file of :func:`memgen.data.questions.write_questions`, in its order."""

    def __init__(self, data_files: str, tokenizer: Any, processor: Any, config: Any, max_samples: int = -1) -> None:
        """Reads the file.

        Args:
            data_files: one file.
            tokenizer: verl's, not needed: the agent loop makes the prompt's ids.
            processor: verl's, likewise.
            config: verl's, likewise.
            max_samples: verl's, likewise.
        """
        self.questions = read_questions(Path(data_files))

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``raw_prompt`` (messages) and ``reference``, and what verl wants of every row."""
        question = self.questions[index]
        return {
            "raw_prompt": question.messages,
            "reference": question.reference,
            "index": index,
            "data_source": "memgen",
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),
        }
