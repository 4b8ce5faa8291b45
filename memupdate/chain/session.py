"""One session of a chained run: the policy reads it and edits the bank, as in a rollout of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memupdate.agents.token_limit import TokenLimit, defuse_special_tokens
from memupdate.agents.tool_calls import (
    MALFORMED_CALL,
    ParsedCall,
    ignored_reply,
    malformed_reply,
    read_tool_calls,
    unknown_reply,
)
from memupdate.broker.protocol import BankService
from memupdate.chain.contract import NoRoomError, TextPolicy
from memupdate.checks import check_positive_int
from memupdate.data.prompts import build_session_prompt
from memupdate.platform.seeds import request_seed
from memupdate.tools import CallContext, TrajectoryCounts, load_tool, tool_names
from memupdate.tools.calling import answer_call
from memupdate.tools.schemas import tool_schemas


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The limits of a trajectory. The defaults are those of training (``configs/memory_grpo_base.yaml``).

    Attributes:
        max_turns: how many turns the policy has at most. Calls in the last of them are not run, as in training.
        max_calls: how many calls of one turn are run.
        tool_response_tokens: how many tokens of a tool's reply the policy is shown, if its tokenizer is known.

    Raises:
        FieldError: a limit is not positive.
    """

    max_turns: int = 6
    max_calls: int = 8
    tool_response_tokens: int = 512

    def __post_init__(self) -> None:
        check_positive_int("max_turns", self.max_turns)
        check_positive_int("max_calls", self.max_calls)
        check_positive_int("tool_response_tokens", self.tool_response_tokens)


@dataclass(frozen=True, slots=True)
class Played:
    """What happened in a session.

    Attributes:
        counts: turns and calls.
        no_room: whether the session ended because the messages filled the model's context.
    """

    counts: TrajectoryCounts
    no_room: bool


async def play_session(
    policy: TextPolicy, banks: BankService, namespace: str, text: str, limits: TurnLimits, seed: int
) -> Played:
    """Plays one session, or one part of it.

    Args:
        policy: the policy.
        banks: the broker.
        namespace: the session's bank, which is edited.
        text: the session, as the policy is shown it.
        limits: the limits of the trajectory.
        seed: of the run. Every turn has a seed of its own, a hash of this one, the namespace and the turn.

    Raises:
        NoRoomError: the session does not fit into the model's context.
        MemupdateError: the policy gives no reply, or the broker cannot write.
        FieldError: as ``shortener``.
    """
    messages = build_session_prompt(text)
    shorten = shortener(policy, limits)
    caller = _Caller(banks, namespace)
    counts = caller.counts
    schemas = tool_schemas()
    while True:
        try:
            completion = policy.reply(messages, schemas, request_seed(seed, 0, namespace, 0, counts.turns))
        except NoRoomError:
            if not counts.turns:
                raise
            return Played(counts, no_room=True)
        counts.turns += 1
        if counts.turns >= limits.max_turns:
            break
        _, calls = read_tool_calls(completion.text, finished=completion.finished)
        if not calls:
            break
        messages.append({"role": "assistant", "content": completion.text})
        run, ignored = calls[: limits.max_calls], max(0, len(calls) - limits.max_calls)
        counts.ignored_calls += ignored
        for place, call in enumerate(run, 1):
            reply = shorten(await caller.answer(call))
            if ignored and place == len(run):
                reply += "\n" + ignored_reply(ignored, limits.max_calls)
            messages.append({"role": "tool", "content": reply})
    return Played(counts, no_room=False)


class _Caller:
    """Answers the calls of one trajectory, and counts them."""

    def __init__(self, banks: BankService, namespace: str) -> None:
        self._banks = banks
        self._namespace = namespace
        self._number = 0
        self.counts = TrajectoryCounts()

    async def answer(self, call: ParsedCall) -> str:
        if call.name == MALFORMED_CALL:
            self.counts.malformed_calls += 1
            return malformed_reply(call)
        if call.name not in tool_names():
            self.counts.unknown_calls += 1
            return unknown_reply(call.name, tool_names())
        context = CallContext(self._namespace, self._number)
        self._number += 1
        answer = await answer_call(self._banks, load_tool(call.name), call.arguments, context)
        self.counts.calls[call.name] += 1
        self.counts.errors[call.name] += answer.is_error
        return answer.text


def shortener(policy: TextPolicy, limits: TurnLimits) -> Callable[[str], str]:
    """Returns what is done to a tool's reply before the policy reads it.

    Raises:
        FieldError: ``tool_response_tokens`` is too small for any text.
    """
    tokenizer = policy.tokenizer
    if tokenizer is None:
        return str
    limit = TokenLimit(limits.tool_response_tokens, tokenizer)
    return lambda text: limit.cut(defuse_special_tokens(text, tokenizer))
