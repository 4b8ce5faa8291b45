"""The contract of a text policy, which plays a chained run: it gets chat messages and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memupdate.errors import MemupdateError

Message = Mapping[str, str]
Schemas = Sequence[Mapping[str, Any]]


class NoRoomError(MemupdateError):
    """The messages leave no room for a reply in the model's context."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(tokens, context)
        self.tokens = tokens
        self.context = context

    def __str__(self) -> str:
        return (
            f"session_characters: the messages have {self.tokens:,} tokens; allowed: fewer than {self.context:,}, the "
            "context of this model (preprocess with a smaller --session-characters)"
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """What a policy writes in one turn.

    Attributes:
        text: the text, without the token that ends the turn.
        finished: whether the policy ended the turn. If not, the limit of its length did, and a call that is cut off is
            dropped, as in training.
    """

    text: str
    finished: bool = True


class TextPolicy(Protocol):
    """A policy that is given chat messages and returns text, with tool calls in Qwen's hermes format.

    Attributes:
        identity: what tells this policy from another, as JSON. A chained run continues with the same policy only.
        tokenizer: a fast Hugging Face tokenizer, by which the replies of tools are cut; None if there is none.
    """

    identity: Mapping[str, str]
    tokenizer: Any

    def reply(self, messages: Sequence[Message], tools: Schemas, seed: int) -> Completion:
        """Returns the policy's next turn.

        Args:
            messages: the chat so far. Roles are system, user, assistant and tool; a content is text.
            tools: the OpenAI schemas of the tools.
            seed: of the sampling.

        Raises:
            NoRoomError: the messages leave no room for a reply.
            MemupdateError: there is no reply. The run ends, and the same command continues it.
        """
