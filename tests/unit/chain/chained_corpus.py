"""A small corpus in LoCoMo's format, and policies that play it by a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memupdate.chain.contract import Completion
from memupdate.data.preprocess import preprocess

SESSIONS = 4


def conversation(name: str, who: str, pets: Sequence[str]) -> dict[str, Any]:
    """Four sessions of three turns. The second has only chat, so no question needs it and no row shows it."""
    talk: dict[str, Any] = {"speaker_a": who, "speaker_b": "Bo"}
    observation: dict[str, Any] = {}
    questions: list[dict[str, Any]] = []
    for number in range(1, SESSIONS + 1):
        pet = pets[number - 1]
        said = "Nice weather." if number == 2 else f"I bought a {pet} called {pet.title()}ino in town {number}."
        talk[f"session_{number}_date_time"] = f"1:0{number} pm on {number} May, 2023"
        talk[f"session_{number}"] = [
            {"speaker": who, "dia_id": f"D{number}:1", "text": "Hello there, Bo."},
            {"speaker": who, "dia_id": f"D{number}:2", "text": said},
            {"speaker": "Bo", "dia_id": f"D{number}:3", "text": "How lovely to hear."},
        ]
        facts = [] if number == 2 else [[f"{who} has a {pet}.", f"D{number}:2"]]
        observation[f"session_{number}_observation"] = {who: facts}
        if number != 2:
            evidence = [f"D{number}:2"]
            questions += [
                {"question": f"How is the {pet} of {who} called?", "answer": f"{pet.title()}ino", "category": 4},
                {"question": f"In which town was the {pet} bought?", "answer": f"town {number}", "category": 1},
                {"question": f"What does the {pet} eat?", "adversarial_answer": "hay", "category": 5},
            ]
            for question in questions[-3:]:
                question["evidence"] = evidence
    return {
        "sample_id": name,
        "qa": questions,
        "conversation": talk,
        "observation": observation,
        "event_summary": {},
        "session_summary": {},
    }


PETS = {
    "conv-a": ("rabbit", "frog", "parrot", "lizard"),
    "conv-b": ("hamster", "toad", "canary", "gecko"),
    "conv-c": ("poodle", "newt", "goose", "viper"),
}


def write_corpus(folder: Path) -> Path:
    """Writes the dataset's file."""
    path = folder / "corpus.json"
    path.write_text(json.dumps([conversation(name, name[-1].upper() + "nn", pets) for name, pets in PETS.items()]))
    return path


def write_data(folder: Path, **options: Any) -> Path:
    """Preprocesses the corpus. conv-a and conv-b are held out."""
    preprocess(write_corpus(folder), folder / "rows", test=["conv-a", "conv-b"], **options)
    return folder / "rows"


def call(name: str, **arguments: Any) -> str:
    """A tool call as a policy writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


class Scripted:
    """Plays each turn by a function of the session's text and the number of the turn.

    Attributes:
        seen: the session line of each session, in the order of its first turn.
        chats: the messages of each request.
    """

    def __init__(self, script: Callable[[str, int], str], name: str = "scripted", tokenizer: Any = None) -> None:
        self.identity: Mapping[str, str] = {"name": name}
        self.tokenizer = tokenizer
        self.seen: list[str] = []
        self.chats: list[list[dict[str, str]]] = []
        self.seeds: list[int] = []
        self._script = script

    def reply(self, messages: Sequence[Mapping[str, str]], tools: Sequence[Mapping[str, Any]], seed: int) -> Completion:
        turn = sum(message["role"] == "assistant" for message in messages)
        shown = messages[1]["content"]
        if turn == 0:
            self.seen.append(f"{re.findall('[ABC]nn', shown)[0]} {shown.splitlines()[0].split(',')[0]}")
        self.chats.append([dict(message) for message in messages])
        self.seeds.append(seed)
        return Completion(self._script(shown, turn))


def keep_everything(shown: str, turn: int) -> str:
    """Writes every turn of the session into a memory of its own, with one broken and one unknown call behind them."""
    if turn:
        return "Done."
    kept = [call("manage_memory", operation="create", content=line) for line in shown.splitlines()[1:]]
    return "\n".join([*kept, "<tool_call>oops</tool_call>", call("forget_it"), call("delete_memory", memory_id="m999")])
