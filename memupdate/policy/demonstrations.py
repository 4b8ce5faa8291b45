"""Demonstrations: the rows of the warm start, in the format of verl's multi-turn SFT dataset."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memupdate.data.episodes import SESSION
from memupdate.memory import make_embedder
from memupdate.policy.corpus import ShuffledBanks, TrainingConversation, known_ids, read_training_conversations
from memupdate.policy.drills import Drills, vocabulary
from memupdate.policy.readers import ScriptedReader
from memupdate.policy.session_drills import SessionDrills
from memupdate.policy.settings import PolicySettings
from memupdate.policy.trajectories import Message, ScriptedPolicy
from memupdate.tools.schemas import tool_schemas

Row = dict[str, Any]


def write_demonstrations(output: Path, corpus: Path, settings: PolicySettings | None = None) -> None:
    """Writes the training rows to ``output`` and the validation rows to ``{stem}-validation.parquet`` beside it.

    Each row has ``messages`` and ``tools``; the rows of drills have no tools. The validation rows are trajectories of
    the same conversations with other random choices. The loss on them shows whether the policy has learnt to copy or
    has memorised the training rows.

    Args:
        output: a parquet file.
        corpus: a preprocessed directory. Only its train split is read.
        settings: the numbers of rows and the seed; None for the defaults.

    Raises:
        DataError: ``corpus`` is not as preprocessing writes it.
    """
    settings = settings or PolicySettings()
    conversations = read_training_conversations(corpus, settings.episode)
    source = random.Random(settings.seed)
    tools = _shown(tool_schemas())
    played = trajectories(conversations, settings, source)
    rows = [{"messages": next(played), "tools": tools} for _ in range(settings.trajectories)]
    drills = _drills(conversations, settings, source)
    rows += [{"messages": drills.draw(), "tools": []} for _ in range(settings.drills)]
    source.shuffle(rows)
    held_back = [{"messages": next(played), "tools": tools} for _ in range(settings.validation_rows)]
    output.parent.mkdir(parents=True, exist_ok=True)
    _write(output, rows)
    _write(validation_path(output), held_back)


def validation_path(output: Path) -> Path:
    """Returns the path to which ``write_demonstrations`` writes the validation rows."""
    return output.with_name(f"{output.stem}-validation{output.suffix}")


def trajectories(
    conversations: list[TrainingConversation], settings: PolicySettings, source: random.Random
) -> Iterator[list[Message]]:
    """Yields scripted trajectories without end. Each is a random episode of any conversation."""
    embedder = make_embedder(settings.embedder)
    banks = [ShuffledBanks(conversation.memories, embedder) for conversation in conversations]
    starts = [
        (bank, each.places(start), start.prompt)
        for bank, each in zip(banks, conversations, strict=True)
        for start in each.starts
    ]
    policy = ScriptedReader(source) if settings.episode == SESSION else ScriptedPolicy(source)
    while True:
        bank, places, prompt = source.choice(starts)
        yield policy.play(bank.draw(source, places), prompt)


def _drills(
    conversations: list[TrainingConversation], settings: PolicySettings, source: random.Random
) -> Drills | SessionDrills:
    shown = [start.shown for conversation in conversations for start in conversation.starts]
    words = vocabulary([memory.content for each in conversations for memory in each.memories] + shown)
    if settings.episode == SESSION:
        return SessionDrills(words, known_ids(conversations), source)
    return Drills(shown, words, known_ids(conversations), source)


def _shown(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the part of the schemas that the template shows. Rows are read often, so they hold nothing else."""
    return [
        {
            "type": "function",
            "function": {
                "name": schema["function"]["name"],
                "parameters": {
                    "properties": {
                        name: {"type": parameter["type"], "enum": parameter.get("enum")}
                        for name, parameter in schema["function"]["parameters"]["properties"].items()
                    },
                    "required": schema["function"]["parameters"]["required"],
                },
            },
        }
        for schema in schemas
    ]


def _write(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)
