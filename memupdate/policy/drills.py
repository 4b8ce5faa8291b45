"""Copying drills: short conversations in which the policy mostly copies what is above.

A scripted trajectory has only a few copied words in hundreds of tokens. A drill has the same tool calls, no system
prompt, and random words and ids, which can only be predicted by copying. Drills let a model of half a million weights
learn to copy within a million tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from memupdate.memory import MAX_MERGED, SPLIT_CRITERIA
from memupdate.policy.trajectories import Message, merge_strategy, tool_call

TURNS = 4
QUESTION_WORDS = (4, 12)
HITS = 5
HIT_WORDS = (1, 2)


def vocabulary(texts: Iterable[str]) -> list[str]:
    """Returns the distinct words of ``texts``, sorted."""
    return sorted({word for text in texts for word in re.findall(r"[^\W\d_]+", text)})


class Drills:
    """Draws random drills.

    Args:
        questions: real questions. The questions of drills begin like them.
        words: the words that the questions and memories of drills are made of.
        ids: the memory ids that can occur. They should be those that occur in trajectories, because the policy must
            learn each of them.
        source: of all random choices.
    """

    def __init__(self, questions: Iterable[str], words: list[str], ids: Sequence[str], source: random.Random) -> None:
        self._openings = sorted({question.split()[0] for question in questions})
        self._words = words
        self._ids = ids
        self._random = source

    def draw(self) -> list[Message]:
        """Returns ``TURNS`` user or tool messages, each followed by a tool call that copies from it."""
        # Without replacement: a word that stood twice would have two continuations.
        words = self._random.sample(self._words, min(len(self._words), TURNS * (QUESTION_WORDS[1] + 1)))
        ids = self._random.sample(self._ids, TURNS * HITS)
        messages: list[Message] = []
        for turn in range(TURNS):
            if self._random.random() < 0.5:
                opening, rest = self._random.choice(self._openings), self._random.randint(*QUESTION_WORDS)
                question = f"{opening} {self._take(words, rest)}?"
                messages.append({"role": "user", "content": question})
                messages.append({"role": "assistant", "content": tool_call("search_memory", {"query": question})})
            else:
                shown = ids[turn * HITS : (turn + 1) * HITS]
                messages.append({"role": "tool", "content": self._hits(shown, words)})
                messages.append({"role": "assistant", "content": self._edit(shown)})
        return messages

    def _take(self, words: list[str], count: int) -> str:
        return " ".join(words.pop() for _ in range(min(count, len(words))))

    def _hits(self, shown: list[str], words: list[str]) -> str:
        scores = sorted((self._random.random() for _ in shown), reverse=True)
        return "\n".join(
            f"[{memory_id}] {score:.2f} {self._take(words, self._random.randint(*HIT_WORDS))}."
            for memory_id, score in zip(shown, scores, strict=True)
        )

    def _edit(self, shown: list[str]) -> str:
        kind = self._random.random()
        if kind < 0.1:
            return tool_call("delete_memory", {"memory_id": shown[0]})
        if kind < 0.2:
            criterion = self._random.choice(SPLIT_CRITERIA)
            return tool_call("split_memory", {"memory_id": shown[0], "split_criteria": criterion})
        chosen = shown[: self._random.randint(2, MAX_MERGED)]
        return tool_call("merge_memory", {"memory_ids": chosen, "strategy": merge_strategy(self._random)})
