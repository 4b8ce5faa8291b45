"""Which conversations train and which test, and which of their questions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from memupdate.data.conversation import ADVERSARIAL, CATEGORIES, Conversation, Question
from memupdate.errors import FieldError

DEFAULT_TRAIN_CONVERSATIONS = 7
ADVERSARIAL_MODES = ("abstain", "drop")


def split_conversations(
    conversations: Sequence[Conversation],
    *,
    seed: int,
    train_conversations: int | None = None,
    test: Sequence[str] | None = None,
) -> tuple[list[Conversation], list[Conversation]]:
    """Train and test conversations.

    By default ``random.Random(seed)`` shuffles the conversations' indexes and the first seven train. With ``test``, the
    named ones test, in that order, and the others train, in the file's order.

    Raises:
        FieldError: if a split would be empty, an id is unknown or repeated, or both ways are given.
    """
    if test is not None:
        if train_conversations is not None:
            raise FieldError("train_conversations", train_conversations, "nothing where test conversations are named")
        by_id = {conversation.sample_id: conversation for conversation in conversations}
        for sample_id in test:
            if sample_id not in by_id:
                raise FieldError("test", sample_id, "one of " + ", ".join(by_id))
        if not 0 < len(test) < len(conversations) or len(set(test)) != len(test):
            raise FieldError("test", list(test), f"1 to {len(conversations) - 1} different conversations")
        chosen = set(test)
        train_split = [conversation for conversation in conversations if conversation.sample_id not in chosen]
        return train_split, [by_id[sample_id] for sample_id in test]

    count = DEFAULT_TRAIN_CONVERSATIONS if train_conversations is None else train_conversations
    if not 0 < count < len(conversations):
        allowed = f"1 to {len(conversations) - 1}, so that both splits have some of the {len(conversations)}"
        if len(conversations) == 1:
            allowed = "a file of two or more conversations"
        raise FieldError("train_conversations", count, allowed)
    order = list(range(len(conversations)))
    random.Random(seed).shuffle(order)
    shuffled = [conversations[index] for index in order]
    return shuffled[:count], shuffled[count:]


def select_questions(
    conversation: Conversation,
    *,
    seed: int,
    categories: Sequence[int] | None = None,
    adversarial: str = "abstain",
    limit: int | None = None,
) -> list[Question]:
    """The questions of a conversation that become rows, in the file's order.

    Args:
        conversation: where they come from.
        seed: for the choice under ``limit``; each conversation draws on its own.
        categories: which to keep; None for all.
        adversarial: "abstain" keeps category 5, "drop" leaves it out.
        limit: how many to keep at most; None for all.

    Raises:
        FieldError: if an option has a value that is not allowed.
    """
    for category in categories or ():
        if category not in CATEGORIES:
            raise FieldError("categories", category, ", ".join(f"{key} ({name})" for key, name in CATEGORIES.items()))
    if adversarial not in ADVERSARIAL_MODES:
        raise FieldError("adversarial", adversarial, " or ".join(ADVERSARIAL_MODES))
    if limit is not None and limit < 1:
        raise FieldError("limit_questions", limit, "1 or more")
    keep = set(CATEGORIES) if categories is None else set(categories)
    if adversarial == "drop":
        keep.discard(ADVERSARIAL)
    if not keep:
        raise FieldError("categories", list(categories or ()), "at least one category that is not dropped")
    questions = [question for question in conversation.questions if question.category in keep]
    if limit is None or limit >= len(questions):
        return questions
    chosen = random.Random(f"{seed}:{conversation.sample_id}").sample(range(len(questions)), limit)
    return [questions[position] for position in sorted(chosen)]
