"""A chained run: every session of a conversation in order on one bank, then all questions once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from memupdate.broker.registry import OpenBank
from memupdate.broker.service import MemoryBroker
from memupdate.chain.asking import ConversationResult, ask, check_budget
from memupdate.chain.contract import TextPolicy
from memupdate.chain.data import ChainData, ChainedConversation
from memupdate.chain.folder import ChainFolder, FinishedSession
from memupdate.chain.session import Played, play_session, shortener
from memupdate.chain.settings import ChainSettings
from memupdate.data.bank_keys import bank_key
from memupdate.data.banks import bank_name
from memupdate.data.layout import MEMORIES
from memupdate.data.sessions import ShownPart
from memupdate.errors import DataError
from memupdate.memory import Memory
from memupdate.rewards.contract import Scorer

logger = logging.getLogger(__name__)


def session_namespace(sample_id: str, part: ShownPart) -> str:
    """Returns the namespace of the bank after a part of a session."""
    return f"{sample_id}-s{part.session}p{part.part}"


async def run_chain(
    data: ChainData,
    policy: TextPolicy,
    scorer: Scorer,
    output: Path,
    inputs: Mapping[str, Any],
    settings: ChainSettings,
) -> list[ConversationResult]:
    """Plays the sessions that are not finished yet, and asks all questions.

    Args:
        data: the conversations.
        policy: the policy.
        scorer: scores what is read for a question.
        output: the run's folder.
        inputs: what the run is begun with, as JSON.
        settings: how to play and to read.

    Returns:
        What came out, for each conversation.

    Raises:
        FieldError: the folder is not this run's, or a setting has a value that is not allowed.
        MemupdateError: the policy, the scorer or the disk failed. The same command continues the run.
    """
    stored = MemoryBroker(str(data.path / MEMORIES), settings.embedder)
    for conversation in data.conversations:
        await check_budget(conversation, stored, settings.budget)
    shortener(policy, settings.limits)  # the checks come first: a folder that was begun keeps its inputs
    folder = ChainFolder(output, inputs)
    broker = MemoryBroker(str(data.path / MEMORIES), settings.embedder, str(folder.journal))
    try:
        total = sum(len(conversation.parts) for conversation in data.conversations)
        with tqdm(total=total, desc="sessions", unit="session", disable=None) as bar:
            for conversation in data.conversations:
                await _Chain(conversation, broker, policy, folder, settings).play(bar)
        results = []
        for conversation in tqdm(data.conversations, desc="questions", unit="conversation", disable=None):
            sessions = [folder.finished[session_namespace(conversation.sample_id, part)] for part in conversation.parts]
            results.append(await ask(conversation, sessions, broker, stored, scorer, settings))
        return results
    finally:
        await broker.stop()


class _Chain:
    """Plays one conversation."""

    def __init__(
        self,
        conversation: ChainedConversation,
        broker: MemoryBroker,
        policy: TextPolicy,
        folder: ChainFolder,
        settings: ChainSettings,
    ) -> None:
        self._conversation = conversation
        self._broker = broker
        self._policy = policy
        self._folder = folder
        self._settings = settings

    async def play(self, bar: tqdm[None]) -> None:
        """Plays the sessions that are not finished yet, each on a fork of the bank before it."""
        sample_id, start = self._conversation.sample_id, self._settings.start
        namespace = f"{sample_id}-start"
        await self._broker.open(namespace, "" if start is None else bank_key(sample_id, f"D{start}:1"))
        digest = ""
        parts = self._conversation.parts
        for place, part in enumerate(parts):
            parent, namespace = namespace, session_namespace(sample_id, part)
            if namespace in self._folder.finished:
                digest = self._folder.finished[namespace].digest
            else:
                if digest:
                    await self._check(parent, digest)
                next_turn = parts[place + 1].first_turn if place + 1 < len(parts) else ""
                digest = (await self._session(namespace, parent, part, next_turn)).digest
            bar.update()
        await self._check(namespace, digest)

    async def _check(self, namespace: str, digest: str) -> None:
        """Checks that the journal has the bank that a line of the run's folder tells of."""
        known = await self._broker.namespaces()
        found = await self._broker.read(namespace, _digest) if namespace in known else "no such bank"
        if found != digest:
            raise DataError(f"{self._folder.journal}: bank {namespace!r}: expected the digest {digest}, got {found}")

    async def _session(self, namespace: str, parent: str, part: ShownPart, next_turn: str) -> FinishedSession:
        if namespace in await self._broker.namespaces():
            await self._broker.close(namespace)  # a run that ended within this session left it
        await self._broker.fork(namespace, parent)
        settings = self._settings
        played = await play_session(self._policy, self._broker, namespace, part.text, settings.limits, settings.seed)
        memories = await self._broker.read(namespace, _memories)
        digest = await self._broker.read(namespace, _digest)
        sample_id = self._conversation.sample_id
        finished = _finished(namespace, sample_id, part, bank_name(sample_id, next_turn), digest, memories, played)
        self._folder.add(finished, memories)
        if played.no_room:
            logger.warning("%s: the messages filled the model's context, and the session ended", namespace)
        return finished


def _finished(
    namespace: str, sample_id: str, part: ShownPart, bank: str, digest: str, memories: list[Memory], played: Played
) -> FinishedSession:
    counts = played.counts
    return FinishedSession(
        namespace=namespace,
        sample_id=sample_id,
        session=part.session,
        part=part.part,
        bank=bank,
        digest=digest,
        count=len(memories),
        characters=sum(len(memory.text) for memory in memories),
        turns=counts.turns,
        calls=sum(counts.calls.values()) + counts.malformed_calls + counts.unknown_calls + counts.ignored_calls,
        errors=sum(counts.errors.values()),
        malformed=counts.malformed_calls,
        unknown=counts.unknown_calls,
        ignored=counts.ignored_calls,
        no_room=played.no_room,
    )


def _memories(opened: OpenBank) -> list[Memory]:
    return list(opened.bank)


def _digest(opened: OpenBank) -> str:
    return opened.bank.digest()
