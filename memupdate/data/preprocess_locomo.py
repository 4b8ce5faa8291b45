"""LoCoMo to verl's parquet: ``python -m memupdate.data.preprocess_locomo --input locomo10.json --output DIR``.

Writes ``DIR/train.parquet``, ``DIR/test.parquet``, ``DIR/memories/{sample_id}.jsonl`` and ``DIR/manifest.json``; two
runs with the same input and options write the same bytes.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from memupdate.data.conversation import Conversation
from memupdate.data.facts import initial_memories, write_memories
from memupdate.data.layout import MANIFEST, MEMORIES, OUTPUTS, SPLITS, memories_path, rows_path
from memupdate.data.locomo import conversations_or_raise
from memupdate.data.rows import ROW_SCHEMA, build_row
from memupdate.data.shape import read_json
from memupdate.data.splits import (
    ADVERSARIAL_MODES,
    DEFAULT_TRAIN_CONVERSATIONS,
    select_questions,
    split_conversations,
)
from memupdate.errors import FieldError, MemupdateError
from memupdate.files import new_directory

logger = logging.getLogger(__name__)


def preprocess(
    input_path: Path | str,
    output: Path | str,
    *,
    seed: int = 42,
    train_conversations: int | None = None,
    test: Sequence[str] | None = None,
    categories: Sequence[int] | None = None,
    adversarial: str = "abstain",
    limit_questions: int | None = None,
) -> dict[str, Any]:
    """Write a directory that verl and the broker read; it appears whole or not at all.

    Args:
        input_path: a LoCoMo JSON file.
        output: the directory; one that this function wrote before is replaced.
        seed: for the split, the trajectory ids and the choice under ``limit_questions``.
        train_conversations: how many conversations train (default 7); the others test.
        test: names of the test conversations, instead of a drawn split.
        categories: question categories to keep; None for all.
        adversarial: "abstain" scores category 5 as abstention, "drop" leaves it out.
        limit_questions: questions per conversation at most; None for all.

    Returns:
        The manifest: input hash, options, and counts per split and conversation.

    Raises:
        DataError: if the input is missing, cut off or of another shape.
        FieldError: if an option has a value that is not allowed, or leaves a split without rows.
    """
    source = read_json(Path(input_path))
    conversations = conversations_or_raise(source.root)
    train_split, test_split = split_conversations(
        conversations, seed=seed, train_conversations=train_conversations, test=test
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, members in zip(SPLITS, (train_split, test_split), strict=True):
        rows[split] = []
        for conversation in members:
            chosen = select_questions(
                conversation, seed=seed, categories=categories, adversarial=adversarial, limit=limit_questions
            )
            for question in chosen:
                index = len(rows[split])
                rows[split].append(build_row(conversation.sample_id, question, split=split, index=index, seed=seed))
        if not rows[split]:
            names = ", ".join(conversation.sample_id for conversation in members)
            raise FieldError("categories", categories, f"some that the {split} conversations have ({names})")
    manifest = {
        "format": 1,
        "input": {"name": Path(input_path).name, "sha256": source.sha256},
        "options": {
            "seed": seed,
            "train_conversations": len(train_split),
            "test": None if test is None else list(test),
            "categories": None if categories is None else sorted(set(categories)),
            "adversarial": adversarial,
            "limit_questions": limit_questions,
        },
        "splits": {
            split: _split_counts(members, rows[split])
            for split, members in zip(SPLITS, (train_split, test_split), strict=True)
        },
        "memories": {conversation.sample_id: len(conversation.facts) for conversation in conversations},
    }
    with new_directory(Path(output), OUTPUTS) as directory:
        for split in SPLITS:
            pq.write_table(pa.Table.from_pylist(rows[split], schema=ROW_SCHEMA), rows_path(directory, split))
        (directory / MEMORIES).mkdir()
        for conversation in tqdm(conversations, desc="memories", unit="conversation", disable=None):
            write_memories(memories_path(directory, conversation.sample_id), initial_memories(conversation))
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _split_counts(members: Sequence[Conversation], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    categories = Counter(row["extra_info"]["category"] for row in rows)
    return {
        "rows": len(rows),
        "conversations": [conversation.sample_id for conversation in members],
        "categories": {str(category): categories[category] for category in sorted(categories)},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code is 2 for wrong options or data."""
    parser = argparse.ArgumentParser(prog="memupdate.data.preprocess_locomo", description=__doc__)
    parser.add_argument("--input", type=Path, required=True, help="a LoCoMo JSON file, such as locomo10.json")
    parser.add_argument("--output", type=Path, required=True, help="the directory to write")
    parser.add_argument("--seed", type=int, default=42)
    split = parser.add_mutually_exclusive_group()
    split.add_argument(
        "--train-conversations", type=int, help=f"how many train (default {DEFAULT_TRAIN_CONVERSATIONS})"
    )
    split.add_argument("--test", nargs="+", metavar="SAMPLE_ID", help="the test conversations, by name")
    parser.add_argument("--categories", type=int, nargs="+", metavar="N", help="categories to keep (default all)")
    parser.add_argument(
        "--adversarial",
        default="abstain",
        help=f"{' or '.join(ADVERSARIAL_MODES)}: score category 5 as abstention (default) or leave it out",
    )
    parser.add_argument("--limit-questions", type=int, metavar="N", help="questions per conversation at most")
    options = vars(parser.parse_args(arguments))
    try:
        manifest = preprocess(options.pop("input"), **options)
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    for name, counts in manifest["splits"].items():
        logger.info("%s: %d rows of %s", name, counts["rows"], ", ".join(counts["conversations"]))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
