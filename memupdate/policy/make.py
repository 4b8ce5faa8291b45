"""``memupdate make-policy``: makes the untrained tiny policy for one preprocessed corpus."""

from __future__ import annotations

import logging
import random
from pathlib import Path

from memupdate.data.episodes import SESSION
from memupdate.memory import MEMORY_TYPES, MERGE_STRATEGIES, SAMPLE_STRATEGIES, SPLIT_CRITERIA
from memupdate.policy.corpus import TrainingConversation, read_training_conversations
from memupdate.policy.dates import MONTHS
from memupdate.policy.disguise import invented_word
from memupdate.policy.model import new_model
from memupdate.policy.settings import PolicySettings
from memupdate.policy.template import render
from memupdate.policy.tokenizer import train_tokenizer
from memupdate.policy.trajectories import LAST_REPLY, tool_call
from memupdate.tools.schemas import tool_schemas

logger = logging.getLogger(__name__)

# A question stands in the prompt and in every query; its words should be whole before those of memories are.
QUESTION_WEIGHT = 5
# Invented words that the tokenizer learns from, so that it has pieces for words that it has not seen.
INVENTED = 20_000


def make_policy(output: Path, corpus: Path, settings: PolicySettings | None = None) -> None:
    """Trains the tokenizer on the training conversations and saves it with an untrained model.

    The same corpus and settings always write the same bytes.

    Args:
        output: the folder to write. It becomes a Hugging Face model folder with config, weights (safetensors),
            tokenizer and chat template.
        corpus: a preprocessed directory.
        settings: the sizes and the seed; None for the defaults.

    Raises:
        DataError: ``corpus`` is not as preprocessing writes it.
        FieldError: ``settings.vocab_size`` is too small.
    """
    settings = settings or PolicySettings()
    conversations = read_training_conversations(corpus, settings.episode)
    texts = [text for conversation in conversations for text in _texts(conversation)]
    if settings.episode == SESSION:
        source = random.Random(settings.seed)
        words = [invented_word(source) for _ in range(INVENTED)]
        texts += [f" {word}\n{word.capitalize()}" for word in words]  # in a line, and as the name that begins one
    protocol = protocol_texts(conversations[0].starts[0].prompt[0]["content"])
    tokenizer = train_tokenizer(texts, protocol, settings.vocab_size)
    model = new_model(settings, tokenizer)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(output)
    model.save_pretrained(output)
    logger.info("%s: %d parameters, %d tokens", output, sum(p.numel() for p in model.parameters()), len(tokenizer))


def _texts(conversation: TrainingConversation) -> list[str]:
    shown = [start.shown for start in conversation.starts]
    return [memory.text for memory in conversation.memories] + QUESTION_WEIGHT * shown


def protocol_texts(system_prompt: str) -> list[str]:
    """Returns the texts that all trajectories share: the frame of the prompt, the calls, and the replies of tools.

    Args:
        system_prompt: the system prompt.
    """
    frame = render(
        [{"role": "system", "content": system_prompt}, {"role": "user", "content": ""}], tools=tool_schemas()
    )
    ids = {"memory_ids": ["m1", "m2"]}
    calls = [
        tool_call("search_memory", {"query": ""}),
        tool_call("sample_memory", {"k": 3, "strategy": "random"}),
        tool_call("manage_memory", {"operation": "create", "content": ""}),
        tool_call("manage_memory", {"operation": "update", "memory_id": "m1", "content": ""}),
        tool_call("delete_memory", {"memory_id": "m1"}),
        *(tool_call("merge_memory", {**ids, "strategy": strategy}) for strategy in MERGE_STRATEGIES),
        *(tool_call("split_memory", {"memory_id": "m1", "split_criteria": by}) for by in SPLIT_CRITERIA),
    ]
    answers = ["[m1] Created [m1].\nUpdated [m1].\nDeleted [m1].\nMerged into [m1].\nSplit into [m1] [m2].\nError:"]
    numbers = [str(number) for number in (*range(60), *range(2015, 2031))]
    dates = [
        f"assistant Session on in the week weekend month year before am pm {' '.join(MONTHS)}",
        *numbers,
        " ".join(numbers),
    ]
    return [frame, *calls, *answers, *dates, LAST_REPLY, " ".join([*MEMORY_TYPES, *SAMPLE_STRATEGIES])]
