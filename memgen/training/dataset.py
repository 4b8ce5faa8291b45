"""The data sets of verl's trainers: rows of supervised training, and questions of reinforcement learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from memgen.data.questions import QUESTIONS
from memgen.data.rows import ROWS


class TrainingRows(Dataset[dict[str, torch.Tensor]]):
    """The rows of a parquet file that ``ROWS`` wrote, in the order of the file."""

    def __init__(
        self, parquet_files: str, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        """Reads the file.

        Args:
            parquet_files: path of the one file.
            tokenizer: not used: the file holds ids. verl passes it.
            config: not used; verl passes it.
            processor: not used; verl passes it.
            max_samples: not used; verl passes it.
        """
        self.rows = ROWS.read(Path(parquet_files))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Returns ``input_ids``, ``position_ids`` and ``loss_mask`` of a row, each of shape (L,)."""
        row = self.rows[index]
        return {
            "input_ids": torch.tensor(row.input_ids),
            "position_ids": torch.arange(len(row.input_ids)),
            "loss_mask": torch.tensor(row.loss_mask),
        }


class Questions(Dataset[dict[str, Any]]):
    """The questions of a parquet file that ``QUESTIONS`` wrote, in the file's order."""

    def __init__(self, data_files: str, tokenizer: Any, processor: Any, config: Any, max_samples: int = -1) -> None:
        """Reads the file.

        Args:
            data_files: path of the one file.
            tokenizer: not used: the agent loop encodes the prompts. verl passes it.
            processor: not used; verl passes it.
            config: not used; verl passes it.
            max_samples: not used; verl passes it.
        """
        self.questions = QUESTIONS.read(Path(data_files))

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns ``raw_prompt`` (messages) and ``reference`` of a question, and the fields that verl requires."""
        question = self.questions[index]
        return {
            "raw_prompt": question.messages,
            "reference": question.reference,
            "index": index,
            "data_source": "memgen",
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),
        }
