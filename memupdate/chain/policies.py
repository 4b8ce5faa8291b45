"""What plays a chained run: a policy that gets chat messages and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from memupdate.errors import FieldError, MemupdateError

Message = Mapping[str, str]
Schemas = Sequence[Mapping[str, Any]]

ADDRESSES = ("http://", "https://")


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


def make_text_policy(what: str, *, model: str | None, max_tokens: int) -> TextPolicy:
    """Makes the policy that a command names.

    Args:
        what: a Hugging Face folder, or the http(s) address of an OpenAI-compatible chat endpoint.
        model: the model's name at the endpoint; None for a folder.
        max_tokens: the largest number of tokens of one turn.

    Raises:
        FieldError: ``what`` is neither, a folder has a ``model`` or an address has none, or there is no API key.
    """
    if what.startswith(ADDRESSES):
        from memupdate.chain.endpoint import EndpointPolicy

        if not model:
            raise FieldError("model", model, "the name of a model that the endpoint serves")
        return EndpointPolicy(what, model, max_tokens)
    if model:
        raise FieldError("model", model, "nothing for a folder; it names the model of an endpoint")
    if not (Path(what) / "config.json").is_file():
        allowed = "a Hugging Face folder (with config.json), or an http(s) address of a chat endpoint"
        raise FieldError("policy", what, allowed)
    from memupdate.chain.huggingface import HuggingFacePolicy

    return HuggingFacePolicy(Path(what), max_tokens)
