"""Converts chat messages to token ids with the tokenizer's chat template: prompts and the turns of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from memupdate.errors import DataError, FieldError

if TYPE_CHECKING:
    # Not imported at run time: the import takes seconds, and wrong settings are reported without it.
    from transformers import PreTrainedTokenizerBase

# A chat message with the keys ``role`` and ``content``.
Message = Mapping[str, str]


class Turn(NamedTuple):
    """One assistant turn.

    Attributes:
        prompt: ids of everything before the response.
        response: ids of the response, up to and including ``eos_token``.
        number: index of the turn among the assistant turns of the conversation, 0-based.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    number: int


def generation_prefix(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns the text with which a tokenizer's chat template opens an assistant turn.

    Raises:
        FieldError: the tokenizer has no chat template, or the template has no generation prompt.
    """
    if tokenizer.chat_template is None:
        raise FieldError("model.reasoner", tokenizer.name_or_path, "a model whose tokenizer has a chat template")
    user = [{"role": "user", "content": "x"}]
    before = _written(tokenizer, user)
    after = _written(tokenizer, user, opens_turn=True)
    prefix = after.removeprefix(before)
    if not prefix or prefix == after:
        raise FieldError("model.reasoner", tokenizer.name_or_path, "a chat template with a generation prompt")
    return prefix


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Returns the ids of a prompt. It ends with the generation prompt, where the assistant's response begins."""
    return _encode(tokenizer, _written(tokenizer, messages, opens_turn=True))


def turns_of(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, place: str) -> list[Turn]:
    """Returns the assistant turns of a conversation. The prompt of a turn is the whole text before it.

    Args:
        messages: the conversation.
        tokenizer: a tokenizer with a chat template.
        place: file and line of the conversation, for error messages.

    Raises:
        DataError: the chat template writes the prompt differently when the reply follows, or it does not end a turn
            with ``eos_token``.
    """
    found: list[Turn] = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = prompt_ids(tokenizer, messages[:index])
        whole = _encode(tokenizer, _written(tokenizer, messages[: index + 1]))
        if whole[: len(prompt)] != prompt:
            raise DataError(
                f"{place}: messages[{index}]: the chat template changes the prompt when the reply follows it; "
                "training needs a chat template that keeps the prompt"
            )
        response = whole[len(prompt) :]
        if tokenizer.eos_token_id not in response:
            raise DataError(
                f"{place}: messages[{index}]: the chat template must end a turn with eos_token {tokenizer.eos_token!r}"
            )
        end = response.index(tokenizer.eos_token_id) + 1
        found.append(Turn(tuple(prompt), tuple(response[:end]), len(found)))
    return found


def _written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], opens_turn: bool = False) -> str:
    conversation = [dict(message) for message in messages]
    return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=opens_turn))


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))
