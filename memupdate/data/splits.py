"""Chooses which conversations train and which test, and which of their questions become rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from memupdate.checks import check_choice, check_positive_int
from memupdate.data.conversation import ADVERSARIAL, CATEGORIES, SPLITS, Conversation, Question
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
    """Splits conversations into those that train and those that test.

    Args:
        conversations: all conversations, in the order of the file.
        seed: of the random split: ``random.Random(seed)`` shuffles the indexes of the conversations.
        train_conversations: how many of the shuffled conversations train. The others test. None for the split that the
            dataset names; if it names none, for 7.
        test: names of the conversations that test, instead of a random split. The others train, in the order of the
            file.

    Returns:
        The train conversations and the test conversations.

    Raises:
        FieldError: a split would be empty, a name is unknown or repeated, or both ``train_conversations`` and ``test``
            are given.
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

    if train_conversations is None and any(conversation.split for conversation in conversations):
        named = {
            split: [conversation for conversation in conversations if conversation.split == split] for split in SPLITS
        }
        for split, members in named.items():
            if not members:
                other = conversations[0].split
                allowed = f"splits of which at least one {split}; or choose with train_conversations or test"
                raise FieldError("split", f"{other} for all conversations", allowed)
        return named["train"], named["test"]

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
    """Chooses the questions of a conversation that become rows.

    Args:
        conversation: the conversation.
        seed: of the random choice under ``limit``. The choice in one conversation does not depend on the others.
        categories: the categories to keep; None for all.
        adversarial: "abstain" keeps category 5, "drop" leaves it out.
        limit: how many questions to keep at most; None for all.

    Returns:
        The questions, in the order of the file.

    Raises:
        FieldError: an option has a value that is not allowed.
    """
    for category in categories or ():
        if category not in CATEGORIES:
            raise FieldError("categories", category, ", ".join(f"{key} ({name})" for key, name in CATEGORIES.items()))
    check_choice("adversarial", adversarial, ADVERSARIAL_MODES)
    if limit is not None:
        check_positive_int("limit_questions", limit)
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
