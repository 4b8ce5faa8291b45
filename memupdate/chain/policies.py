"""The text policies that a command can name: a Hugging Face folder, or a chat endpoint."""

from __future__ import annotations

from pathlib import Path

from memupdate.chain.contract import TextPolicy
from memupdate.errors import FieldError

ADDRESSES = ("http://", "https://")


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
