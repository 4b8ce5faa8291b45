from __future__ import annotations

import json
import pickle

import pytest

from memupdate.errors import FieldError
from memupdate.memory import MAX_CONTENT_CHARACTERS, Memory


def test_text_adds_the_sessions_day_once() -> None:
    dated = Memory("m1", "Melanie ran a race.", session_date="1:56 pm on 8 May, 2023")
    assert dated.text == "Melanie ran a race. (8 May, 2023)"
    assert (
        Memory("m1", "On 8 May, 2023 she ran.", session_date="1:56 pm on 8 May, 2023").text == "On 8 May, 2023 she ran."
    )
    assert Memory("m1", "She ran.", session_date="2023/05/20 (Sat) 02:21").text == "She ran. (2023/05/20 (Sat) 02:21)"
    assert Memory("m1", "She ran.").text == "She ran."


def test_json_keeps_every_field() -> None:
    memory = Memory(
        "m7",
        "She ran.",
        "semantic",
        "Melanie",
        3,
        "9 May, 2023",
        ("D1:2",),
        "observation",
        {"tags": ["sport", 1, None]},
    )
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory
    assert pickle.loads(pickle.dumps(memory)) == memory
    assert Memory.from_json({"id": "m1", "content": "She ran."}) == Memory("m1", "She ran.")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("content", ""),
        ("content", " \n"),
        ("content", None),
        ("content", "half a pair \ud83d"),
        ("content", "x" * (MAX_CONTENT_CHARACTERS + 1)),
        ("memory_type", "procedure"),
        ("memory_type", ["episodic"]),
        ("speaker", None),
        ("session", "3"),
        ("session", True),
        ("evidence", "D1:2"),
        ("evidence", (3,)),
        ("metadata", []),
        ("metadata", {"x": float("nan")}),
        ("metadata", {"x": object()}),
        ("metadata", {"x": "y" * MAX_CONTENT_CHARACTERS}),
        ("colour", "red"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    record = {"id": "m1", "content": "She ran."} | {field: value}
    with pytest.raises(FieldError) as error:
        Memory.from_json(record)
    assert error.value.field == field
    assert len(str(error.value)) < 400


def test_metadata_is_copied_on_the_way_in() -> None:
    metadata = {"tags": ["sport"]}
    memory = Memory("m1", "She ran.", metadata=metadata)
    metadata["tags"].append("edited")
    assert memory.metadata == {"tags": ["sport"]}


def test_digest_changes_with_every_field() -> None:
    record = Memory("m1", "She ran.").to_json()
    changes: dict[str, object] = {
        "id": "m2",
        "content": "She ran!",
        "memory_type": "semantic",
        "speaker": "Melanie",
        "session": 1,
        "session_date": "8 May, 2023",
        "evidence": ["D1:1"],
        "source": "chat",
        "metadata": {"a": 1},
    }
    assert set(changes) == set(record)
    digests = {Memory.from_json(record | {name: value}).digest() for name, value in changes.items()}
    assert len(digests | {Memory.from_json(record).digest()}) == len(record) + 1
