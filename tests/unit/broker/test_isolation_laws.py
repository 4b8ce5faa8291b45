"""Isolation as a law (U19, U23): clients at once, repeated calls and kills at any moment, against plain dicts."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from in_process_broker import write_conversation

from memupdate.broker import MemoryBroker, UnknownNamespaceError
from memupdate.errors import FieldError
from memupdate.memory import Operation

INITIAL = {"conv-a": ["Ana sings", "Ana has a cat", "Ana likes tea"], "conv-b": ["Ben plays the cello"], "": []}
# Prefixes, case, wildcards of SQL, globs and regular expressions, paths, and texts that look or fold alike.
NAMES = [
    *("a", "A", "ab", "a/b", "a/", "a.b", "a*", "a%", "a_", "a?", "a[b]", ".*", "*", "%", "../a", " a", "a ", "a\0"),
    *(
        "é",
        unicodedata.normalize("NFD", "é"),
        "ß",
        "ss",
        "ﬁ",
        "fi",
        "İ",
        "i̇",
        "K",
        "\u212a",
        "а",
        "\U0001f600",
        "a\u200b",
    ),
]
names = st.sampled_from(NAMES)


class Model:
    """A bank as a dict."""

    def __init__(self, contents: list[str]) -> None:
        self.memories = {f"m{n}": content for n, content in enumerate(contents, start=1)}
        self.created = len(contents)

    def copy(self) -> Model:
        twin = Model([])
        twin.memories, twin.created = dict(self.memories), self.created
        return twin

    def turn(self, draw: Any, text: str) -> list[tuple[str, dict[str, Any]]]:
        """Two edits, already done here."""
        edits = []
        for part in range(2):
            kind = draw(st.sampled_from(["create", "update", "delete"])) if self.memories else "create"
            content = f"{text} {part}"
            if kind == "create":
                self.created += 1
                self.memories[f"m{self.created}"] = content
                edits.append((kind, {"content": content}))
            else:
                memory_id = draw(st.sampled_from(sorted(self.memories)))
                if kind == "delete":
                    del self.memories[memory_id]
                    edits.append((kind, {"memory_id": memory_id}))
                else:
                    self.memories[memory_id] = content
                    edits.append((kind, {"memory_id": memory_id, "content": content}))
        return edits


def copy_disk(disk: Path, copy: Path) -> None:
    """What a directory holds, while a thread may be writing there."""
    for _ in range(100):
        try:
            shutil.copytree(disk, copy)
            return
        except shutil.Error:  # a compaction has renamed a file since it was listed: look again
            shutil.rmtree(copy)
    raise AssertionError(f"{disk} never stood still")


class Banks(RuleBasedStateMachine):
    """The broker with a journal, and the model of what it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        for sample_id in ("conv-a", "conv-b"):
            write_conversation(self.folder, sample_id, INITIAL[sample_id])
        self.runner = asyncio.Runner()
        self.lives = itertools.count(1)
        self.keys = itertools.count()
        self.journal = self.folder / "journal-0"
        self.broker = self.start()
        self.models: dict[str, Model] = {}

    def start(self) -> MemoryBroker:
        return MemoryBroker(str(self.folder), journal_dir=str(self.journal), compact_at=4000)

    def teardown(self) -> None:
        self.runner.run(self.broker.stop())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(namespace=names, sample_id=st.sampled_from(sorted(INITIAL)))
    def open(self, namespace: str, sample_id: str) -> None:
        if namespace not in self.models:
            answer = self.runner.run(self.broker.open(namespace, sample_id))
            assert answer == {"count": len(INITIAL[sample_id]), "created": True}
            self.models[namespace] = Model(INITIAL[sample_id])

    @precondition(lambda self: bool(self.models))
    @rule(namespace=names, data=st.data())
    def fork(self, namespace: str, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(sorted(self.models)))
        if namespace not in self.models:
            assert self.runner.run(self.broker.fork(namespace, parent))["created"]
            self.models[namespace] = self.models[parent].copy()

    @precondition(lambda self: bool(self.models))
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        namespace = data.draw(st.sampled_from(sorted(self.models)))
        self.runner.run(self.broker.close(namespace))
        del self.models[namespace]

    @rule(namespace=names, other=names)
    def a_name_that_is_not_open(self, namespace: str, other: str) -> None:
        if namespace not in self.models:
            for call in (self.broker.close(namespace), self.broker.stats(namespace)):
                with pytest.raises(UnknownNamespaceError):
                    self.runner.run(call)
            if other not in self.models:
                with pytest.raises(UnknownNamespaceError):
                    self.runner.run(self.broker.fork(other, namespace))

    @rule()
    def the_process_ends(self) -> None:
        self.runner.run(self.die())

    @rule(wrong=st.sampled_from(["", None, 7, "\ud800"]))
    def a_name_that_is_none(self, wrong: Any) -> None:
        for call in (self.broker.open(wrong), self.broker.stats(wrong), self.broker.close(wrong)):
            with pytest.raises(FieldError, match="namespace"):
                self.runner.run(call)

    @precondition(lambda self: bool(self.models))
    @rule(data=st.data(), killed_after=st.one_of(st.none(), st.integers(0, 12)))
    def clients_at_once(self, data: st.DataObject, killed_after: int | None) -> None:
        """Each sends a turn; the process may die before, while or after they are answered. They send again until they
        have an answer, as clients do.
        """
        calls = []
        for _ in range(data.draw(st.integers(1, 4))):
            namespace = data.draw(st.sampled_from(sorted(self.models)))
            number = next(self.keys)
            edits = self.models[namespace].turn(data.draw, f"text {number}")
            turn = [Operation(kind, given, f"k{number}-{part}") for part, (kind, given) in enumerate(edits)]
            calls.append((namespace, turn))

        async def sending() -> None:
            first = [asyncio.create_task(self.broker.run(*call)) for call in calls]
            if killed_after is not None:
                for _ in range(killed_after):
                    await asyncio.sleep(0)
                await self.die()
                await asyncio.gather(*first, return_exceptions=True)  # of the process that ended: nobody hears them
            for call, task in zip(calls, first, strict=True):
                outcomes = await (self.broker.run(*call) if killed_after is not None else task)
                assert [outcome.error for outcome in outcomes] == ["", ""]

        self.runner.run(sending())

    async def die(self) -> None:
        """The process ends; the next one has what is on disk at this moment."""
        disk, left = self.journal, self.broker
        self.journal = self.folder / f"journal-{next(self.lives)}"
        copy_disk(disk, self.journal)
        self.broker = self.start()
        await left.stop()

    @invariant()
    def every_bank_is_its_model(self) -> None:
        async def reading() -> None:
            assert set(await self.broker.namespaces()) == set(self.models)
            for namespace, model in self.models.items():
                held = await self.broker.list_memories(namespace)
                assert {memory["id"]: memory["content"] for memory in held} == model.memories
                (found,) = await self.broker.run(namespace, [Operation("search", {"query": "text Ana", "top_k": 50})])
                assert {hit["id"]: hit["content"] for hit in found.value} == model.memories

        self.runner.run(reading())


TestIsolation = Banks.TestCase
TestIsolation.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
