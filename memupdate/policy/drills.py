"""Copying drills: short conversations in which most of what the policy writes stands above it.

A scripted trajectory holds a few copied words in hundreds of tokens. A drill is the same tool calls without the system
prompt, over words and ids drawn at random, so that nothing but copying predicts them; it is what lets a model of half
a million weights learn to copy within a million tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from memupdate.memory import MAX_MERGED, MERGE_STRATEGIES, SPLIT_CRITERIA
from memupdate.policy.trajectories import Message, tool_call

TURNS = 4
QUESTION_WORDS = (3, 8)
HITS = 5
HIT_WORDS = (1, 6)
# How many words have their letters shuffled: names that no training text holds have to be copied too.
UNKNOWN_SHARE = 0.2


def vocabulary(texts: Iterable[str]) -> list[str]:
    """The words of ``texts``, sorted."""
    return sorted({word for text in texts for word in re.findall(r"[^\W\d_]+", text)})


class Drills:
    """Draws drills.

    Args:
        questions: real ones, for how a question begins.
        words: what questions and memories are made of.
        ids: memory ids to draw from; as many as trajectories hold, for each further one has to be learnt too.
        source: of all choices.
    """

    def __init__(self, questions: Iterable[str], words: list[str], ids: Sequence[str], source: random.Random) -> None:
        self._openings = sorted({question.split()[0] for question in questions})
        self._words = words
        self._ids = ids
        self._random = source

    def draw(self) -> list[Message]:
        """A conversation of ``TURNS`` user or tool messages, each answered by a tool call that copies from it."""
        # Without replacement: a word that stood twice would have two continuations.
        words = self._random.sample(self._words, min(len(self._words), TURNS * HITS * HIT_WORDS[1]))
        ids = self._random.sample(self._ids, TURNS * HITS)
        messages: list[Message] = []
        question = self._question(words)
        for turn in range(TURNS):
            # The first message must be a user's: an update needs a question before it.
            if turn == 0 or self._random.random() < 0.4:
                question = self._question(words) if turn else question
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": self._about(question)})
            else:
                shown = ids[turn * HITS : (turn + 1) * HITS]
                messages.append({"role": "tool", "content": self._hits(shown, words)})
                messages.append({"role": "assistant", "content": self._edit(shown, question)})
        return messages

    def _question(self, words: list[str]) -> str:
        return f"{self._random.choice(self._openings)} {self._take(words, self._random.randint(*QUESTION_WORDS))}?"

    def _about(self, question: str) -> str:
        if self._random.random() < 0.2:
            return tool_call("manage_memory", {"operation": "create", "content": question})
        return tool_call("search_memory", {"query": question})

    def _take(self, words: list[str], count: int) -> str:
        return " ".join(self._written(words.pop()) for _ in range(min(count, len(words))))

    def _written(self, word: str) -> str:
        if self._random.random() >= UNKNOWN_SHARE:
            return word
        return "".join(self._random.sample(word, len(word))).capitalize()

    def _hits(self, shown: list[str], words: list[str]) -> str:
        scores = sorted((self._random.random() for _ in shown), reverse=True)
        return "\n".join(
            f"[{memory_id}] {score:.2f} {self._take(words, self._random.randint(*HIT_WORDS))}."
            for memory_id, score in zip(shown, scores, strict=True)
        )

    def _edit(self, shown: list[str], question: str) -> str:
        kind = self._random.random()
        if kind < 0.15:
            return tool_call("delete_memory", {"memory_id": shown[0]})
        if kind < 0.3:
            criterion = self._random.choice(SPLIT_CRITERIA)
            return tool_call("split_memory", {"memory_id": shown[0], "split_criteria": criterion})
        if kind < 0.45:
            update = {"operation": "update", "content": question, "memory_id": shown[0]}
            return tool_call("manage_memory", update)
        chosen = shown[: self._random.randint(2, MAX_MERGED)]
        return tool_call("merge_memory", {"memory_ids": chosen, "strategy": self._random.choice(MERGE_STRATEGIES)})
