"""The questions of a chained run: each is read once from the final bank, and once from each bank to compare with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memupdate.broker.results import Reading
from memupdate.broker.service import MemoryBroker
from memupdate.chain.data import ChainedConversation
from memupdate.chain.folder import FinishedSession
from memupdate.chain.settings import ChainSettings
from memupdate.data.questions import StoredQuestion
from memupdate.memory import ReadBudget
from memupdate.rewards.contract import ScoreItem, Scorer, score_items

# The banks that the questions are read from.
CHAIN, MEMORIES_FILE, START = "chain", "memories", "start"


@dataclass(frozen=True, slots=True)
class BankResult:
    """What a bank is worth to a conversation's questions, and what it stores.

    Attributes:
        scores: one score from 0 to 1 for each question, in order.
        count: how many memories the bank has.
        characters: how many characters their texts have.
    """

    scores: tuple[float, ...]
    count: int
    characters: int


@dataclass(frozen=True, slots=True)
class ConversationResult:
    """What came out of one conversation.

    Attributes:
        sample_id: the conversation.
        questions: the questions that were asked.
        read_characters: how many characters of a bank were read for one question at most.
        banks: the agent's final bank (``CHAIN``), the conversation's own memories (``MEMORIES_FILE``), and, if the run
            did not start on an empty bank, the bank that it started on (``START``).
        sessions: the sessions that were played.
    """

    sample_id: str
    questions: tuple[StoredQuestion, ...]
    read_characters: int
    banks: Mapping[str, BankResult]
    sessions: tuple[FinishedSession, ...]


async def check_budget(conversation: ChainedConversation, stored: MemoryBroker, budget: ReadBudget) -> None:
    """Checks the budget before anything is played.

    Args:
        conversation: the conversation.
        stored: a broker of the preprocessed folder's memories.
        budget: how much is read for a question.

    Raises:
        FieldError: the budget is below one memory of the conversation's file, or the file is empty and no number of
            characters is given.
    """
    await stored.open(conversation.sample_id, conversation.sample_id)
    await stored.readings(conversation.sample_id, [], budget)


async def ask(
    conversation: ChainedConversation,
    sessions: Sequence[FinishedSession],
    chained: MemoryBroker,
    stored: MemoryBroker,
    scorer: Scorer,
    settings: ChainSettings,
) -> ConversationResult:
    """Asks all questions of a conversation once.

    Every bank is read with the same number of characters: the budget on the conversation's own memories. An item that
    several banks give is scored once.

    Args:
        conversation: the conversation.
        sessions: its finished sessions. The last one's bank is asked.
        chained: the broker of the run's banks.
        stored: a broker of the preprocessed folder's memories, with this conversation open.
        scorer: the scorer.
        settings: the budget, and where the run started.

    Raises:
        FieldError: the scorer returned something that is not a score.
    """
    texts = [question.question for question in conversation.questions]
    of_file = await stored.readings(conversation.sample_id, texts, settings.budget)
    characters = of_file["read_characters"]
    of_chain = await chained.readings(sessions[-1].namespace, texts, ReadBudget(characters=characters))
    readings = {CHAIN: of_chain["after"], MEMORIES_FILE: of_file["before"]}
    if settings.start is not None:
        readings[START] = of_chain["before"]
    scores = await asyncio.to_thread(_scores, conversation.questions, readings, scorer)
    banks = {
        name: BankResult(scores[name], reading["count"], reading["characters"]) for name, reading in readings.items()
    }
    return ConversationResult(conversation.sample_id, conversation.questions, characters, banks, tuple(sessions))


def _scores(
    questions: Sequence[StoredQuestion], readings: Mapping[str, Reading], scorer: Scorer
) -> dict[str, tuple[float, ...]]:
    items = {
        name: [
            ScoreItem(question.question, question.answer, texts, question.category)
            for question, texts in zip(questions, reading["texts"], strict=True)
        ]
        for name, reading in readings.items()
    }
    different = list(dict.fromkeys(item for of_bank in items.values() for item in of_bank))
    scores = dict(zip(different, score_items(scorer, different), strict=True)) if different else {}
    return {name: tuple(scores[item] for item in of_bank) for name, of_bank in items.items()}
