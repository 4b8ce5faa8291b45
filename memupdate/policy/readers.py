"""Scripted trajectories of session episodes: the policy reads a session, and notes, searches and edits at random.

Every call is valid. Which turns become notes, and which memory that a search found is changed, is left to chance: small
talk is noted as often as a fact. Reinforcement learning finds what pays.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from memupdate.memory import MemoryBank
from memupdate.policy.disguise import disguised
from memupdate.policy.notes import NoteWriter
from memupdate.policy.sessions import ShownSession, read_session
from memupdate.policy.trajectories import ID, LAST_REPLY, Call, Message, answer, tool_call
from memupdate.tools import CallContext

# How often a trajectory ends at once.
IDLE_SHARE = 0.05
# How many turns become notes in one message, and how many turns are looked up in the bank: so many for a share each.
NOTES = (0, 1, 2, 3, 4, 5)
LOOK_UPS = (0, 0, 0, 1, 1, 2)
# What follows a look-up. Most hits are about something else, so an update or a deletion costs more than it brings on
# average; were they frequent, to stop editing would be the first thing that reinforcement learning finds.
AFTER_SHARES = {"note": 0.35, "update": 0.3, "delete": 0.15, "merge": 0.05, "nothing": 0.15}


class ScriptedReader:
    """Plays scripted trajectories of session episodes.

    Args:
        source: of all random choices.
    """

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._writer = NoteWriter(source)

    def play(self, bank: MemoryBank, prompt: Sequence[Message]) -> list[Message]:
        """Plays one trajectory.

        Args:
            bank: the bank before the session, which is edited.
            prompt: the chat messages that the trajectory starts with. The last one shows the session, which the
                trajectory shows in disguise.

        Returns:
            All messages of the trajectory. The last one is the policy's reply without a call.

        Raises:
            DataError: the prompt shows no session.
        """
        messages = [dict(message) for message in prompt]
        messages[-1]["content"] = disguised(messages[-1]["content"], self._random)
        session = read_session(messages[-1]["content"])
        if self._random.random() >= IDLE_SHARE:
            looks = min(self._random.choice(LOOK_UPS), len(session.turns))
            noting_first = self._random.random() < 0.5
            if noting_first:
                self._note(messages, bank, session)
            for place in self._in_order(session, looks):
                self._look_up(messages, bank, session, place)
            if not noting_first:
                self._note(messages, bank, session)
        messages.append({"role": "assistant", "content": LAST_REPLY})
        return messages

    def _in_order(self, session: ShownSession, count: int) -> list[int]:
        """Returns the places of random turns, ascending: what is noted next stands below what was noted last."""
        return sorted(self._random.sample(range(len(session.turns)), count))

    def _note(self, messages: list[Message], bank: MemoryBank, session: ShownSession) -> None:
        count = min(self._random.choice(NOTES), len(session.turns))
        if count:
            self._call(messages, bank, [self._new(session, place) for place in self._in_order(session, count)])

    def _look_up(self, messages: list[Message], bank: MemoryBank, session: ShownSession, place: int) -> None:
        found = self._call(messages, bank, [("search_memory", {"query": self._writer.write(session, place)})])
        seen = ID.findall(found)
        kind = self._random.choices(list(AFTER_SHARES), list(AFTER_SHARES.values()))[0]
        if kind == "note" or (kind != "nothing" and not seen):
            self._call(messages, bank, [self._new(session, place)])
        elif kind == "update":
            note = self._writer.write(session, place)
            edit = {"operation": "update", "memory_id": seen[0], "content": note}
            self._call(messages, bank, [("manage_memory", edit)])
        elif kind == "delete":
            self._call(messages, bank, [("delete_memory", {"memory_id": seen[0]})])
        elif kind == "merge" and len(seen) >= 2:
            self._call(messages, bank, [("merge_memory", {"memory_ids": seen[:2], "strategy": "concatenate"})])

    def _new(self, session: ShownSession, place: int) -> Call:
        return "manage_memory", {"operation": "create", "content": self._writer.write(session, place)}

    def _call(self, messages: list[Message], bank: MemoryBank, calls: Sequence[Call]) -> str:
        """Makes the calls of one assistant message, and returns the tools' replies."""
        written = "\n".join(tool_call(name, arguments) for name, arguments in calls)
        messages.append({"role": "assistant", "content": written})
        replies = []
        for name, arguments in calls:
            context = CallContext("demonstration", self._random.randrange(2**31))
            replies.append(answer(bank, name, arguments, context))
            messages.append({"role": "tool", "content": replies[-1]})
        return "\n".join(replies)
