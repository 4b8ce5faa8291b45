"""The generated dataset: conversations in LoCoMo's format in which memory is needed.

Speakers tell new facts, replace earlier ones, repeat themselves in other words, date events by the day of the session,
let lists grow over sessions, and chat. The observations that a bank starts with lack facts, have some twice, keep what
was replaced, and leave dates unresolved. Training and held-out conversations share no name, no thing and no sentence
frame. ``memupdate synthetic --output corpus.json`` writes 60 training and 24 held-out conversations.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from memupdate.checks import check_int_between
from memupdate.data.conversation import Conversation
from memupdate.data.locomo import conversations_or_raise
from memupdate.data.shape import Node
from memupdate.data.synthetic_conversation import Author
from memupdate.data.synthetic_held_out_words import HELD_OUT_WORDS
from memupdate.data.synthetic_training_words import TRAINING_WORDS
from memupdate.errors import DataError, FieldError, MemupdateError
from memupdate.files import make_folder, new_file

logger = logging.getLogger(__name__)

CONVERSATIONS = 60
HELD_OUT = 24
SESSIONS = 6
MAX_CONVERSATIONS = 10_000
# Fewer sessions would be too long for what is said, and in more of them there would be little but small talk.
MIN_SESSIONS, MAX_SESSIONS = 5, 12


def synthetic_corpus(
    conversations: int = CONVERSATIONS, held_out: int = HELD_OUT, seed: int = 0, *, sessions: int = SESSIONS
) -> Iterator[dict[str, Any]]:
    """Generates conversations, one at a time: first those that train (``syn-train-1`` …), then ``syn-test-1`` ….

    Args:
        conversations: how many train, from 1 to 10,000.
        held_out: how many are held out, from 1 to 10,000.
        seed: of all random choices. Conversation ``n`` of a split depends only on ``seed``, ``sessions`` and ``n``, so
            a longer corpus has the conversations of a shorter one.
        sessions: how many sessions a conversation has, from 5 to 12.

    Returns:
        An iterator over elements of a LoCoMo file. Each has its split, "train" or "test", as ``split``.

    Raises:
        FieldError: a number is not allowed.
    """
    check_int_between("conversations", conversations, 1, MAX_CONVERSATIONS)
    check_int_between("held_out", held_out, 1, MAX_CONVERSATIONS)
    check_int_between("sessions", sessions, MIN_SESSIONS, MAX_SESSIONS)
    return _samples(conversations, held_out, seed, sessions)


def _samples(conversations: int, held_out: int, seed: int, sessions: int) -> Iterator[dict[str, Any]]:
    for split, words, parity, count in (
        ("train", TRAINING_WORDS, 0, conversations),
        ("test", HELD_OUT_WORDS, 1, held_out),
    ):
        for number in range(1, count + 1):
            chance = random.Random(f"{seed}:{split}:{number}")
            name = f"syn-{split}-{number}"
            yield Author(name, split, words, sessions=sessions, parity=parity, chance=chance).sample()


def write_corpus(
    path: Path,
    conversations: int = CONVERSATIONS,
    held_out: int = HELD_OUT,
    seed: int = 0,
    *,
    sessions: int = SESSIONS,
) -> None:
    """Writes a corpus, one conversation at a time. The file is a JSON list with one conversation per line.

    Args:
        path: the file. It appears whole or not at all.
        conversations: as for :func:`synthetic_corpus`, like the arguments that follow.
        held_out: how many are held out.
        seed: of all random choices.
        sessions: how many sessions a conversation has.

    Raises:
        FieldError: a number is not allowed, or the path cannot be written.
    """
    samples = synthetic_corpus(conversations, held_out, seed, sessions=sessions)
    progress = tqdm(samples, desc="corpus", total=conversations + held_out, unit="conversation", disable=None)
    try:
        make_folder(path.parent)
        with new_file(path) as partial, partial.open("w", encoding="utf-8") as file:
            before = "[\n"
            for sample in progress:
                file.write(before + json.dumps(sample, ensure_ascii=False))
                before = ",\n"
            file.write("\n]\n")
    except OSError as error:
        raise FieldError("output", str(path), f"a file that can be written ({error.strerror})") from error


def load_synthetic(path: Path) -> Iterator[Conversation]:
    """Reads a corpus that ``memupdate synthetic`` wrote, one conversation at a time.

    Yields:
        The conversations, in the order of the file.

    Raises:
        DataError: the file is missing, cut off, or of another shape.
    """
    ended = False
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if ended or (number == 1) != (text == "["):
                    raise DataError(f"{path}:{number}: expected what memupdate synthetic writes, got {line[:80]!r}")
                if number == 1:
                    continue
                if text == "]":
                    ended = True
                    continue
                sample = json.loads(text.removesuffix(","))
                yield from conversations_or_raise(Node([sample], f"{path}:{number}"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a corpus, with one conversation per line: {error}") from error
    if not ended:
        raise DataError(f"{path}: expected a complete corpus that ends with ']'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 2 for a wrong option, else 0."""
    parser = argparse.ArgumentParser(prog="memupdate.data.synthetic", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS, help="how many train (default 60)")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="how many are held out (default 24)")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions of each, 5 to 12 (default 6)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        write_corpus(options.output, options.conversations, options.held_out, options.seed, sessions=options.sessions)
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    logger.info("wrote %d and %d conversations to %s", options.conversations, options.held_out, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
