"""Reports what is in a data file, and what is wrong with it.

``memupdate check-data --input locomo10.json`` counts conversations, questions and facts, and the faults that the loader
tolerates. ``memupdate check-data --preprocessed DIR`` checks a directory that ``memupdate preprocess`` wrote. With
``--leaks``, it also reports which questions, answers and facts of held-out conversations occur in training ones. The
report is JSON on stdout. The exit code is 1 with schema errors, or if ``--leaks`` finds a question or a fact that the
splits share up to names, 2 if the data cannot be read, else 0.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from memupdate.data.check_preprocessed import check_preprocessed
from memupdate.data.conversation import CATEGORIES, Conversation, Evidence
from memupdate.data.facts import initial_memories
from memupdate.data.leaks import find_leaks
from memupdate.data.locomo import parse_locomo
from memupdate.data.shape import collecting, read_json
from memupdate.errors import FieldError, MemupdateError


@dataclass(frozen=True, slots=True)
class EvidenceCounts:
    """Counts over the evidence of all questions, or of all facts.

    Attributes:
        malformed: strings that are not one plain dialog id: several ids in one, zero padding, fragments.
        dangling: cited ids of turns that do not exist.
        empty: items that cite nothing.
        duplicate_ids: ids that an item cites again.
        several: items that cite more than one turn.
    """

    malformed: int
    dangling: int
    empty: int
    duplicate_ids: int
    several: int


@dataclass(frozen=True, slots=True)
class LocomoReport:
    """Counts over a LoCoMo file, and its schema errors.

    Attributes:
        conversations: number of conversations that could be read.
        sessions: number of sessions that have turns.
        turns: number of utterances.
        questions: number of questions.
        questions_per_category: by category number, 1 to 5.
        facts: number of facts, each of which becomes one initial memory.
        facts_per_conversation: number of facts by sample id.
        question_evidence: counts over the evidence of questions.
        fact_evidence: counts over the evidence of facts.
        duplicate_questions: questions whose text repeats that of an earlier question of the same conversation.
        answers_not_text: answers that the file holds as integers.
        adversarial_only: adversarial questions without a gold answer.
        dates_without_session: dates of sessions that have no turns.
        schema_errors: one message per error: the file, the place, what is expected and what was found.
    """

    conversations: int
    sessions: int
    turns: int
    questions: int
    questions_per_category: dict[int, int]
    facts: int
    facts_per_conversation: dict[str, int]
    question_evidence: EvidenceCounts
    fact_evidence: EvidenceCounts
    duplicate_questions: int
    answers_not_text: int
    adversarial_only: int
    dates_without_session: int
    schema_errors: list[str]


def check_locomo(path: Path | str) -> LocomoReport:
    """Counts what a LoCoMo file holds.

    Returns:
        The counts. If the file has another shape, its ``schema_errors`` say where.

    Raises:
        DataError: the file cannot be read as JSON.
    """
    conversations, problems = parse_locomo(read_json(Path(path)))
    for conversation in conversations:
        with collecting(problems):
            initial_memories(conversation)
    questions = [question for conversation in conversations for question in conversation.questions]
    categories = Counter(question.category for question in questions)
    return LocomoReport(
        conversations=len(conversations),
        sessions=sum(len(conversation.sessions) for conversation in conversations),
        turns=sum(len(session.turns) for conversation in conversations for session in conversation.sessions),
        questions=len(questions),
        questions_per_category={category: categories[category] for category in CATEGORIES},
        facts=sum(len(conversation.facts) for conversation in conversations),
        facts_per_conversation={conversation.sample_id: len(conversation.facts) for conversation in conversations},
        question_evidence=_count_evidence([question.evidence for question in questions]),
        fact_evidence=_count_evidence([fact.evidence for conversation in conversations for fact in conversation.facts]),
        duplicate_questions=sum(map(_duplicate_questions, conversations)),
        answers_not_text=sum(question.answer_was_number for question in questions),
        adversarial_only=sum(question.answer is None for question in questions),
        dates_without_session=sum(len(conversation.dates_without_session) for conversation in conversations),
        schema_errors=problems,
    )


def _count_evidence(evidence: Sequence[Evidence]) -> EvidenceCounts:
    return EvidenceCounts(
        malformed=sum(len(one.malformed) for one in evidence),
        dangling=sum(len(one.dangling) for one in evidence),
        empty=sum(not (one.ids or one.dangling or one.malformed) for one in evidence),
        duplicate_ids=sum(one.duplicates for one in evidence),
        several=sum(len(one.ids) > 1 for one in evidence),
    )


def _duplicate_questions(conversation: Conversation) -> int:
    return len(conversation.questions) - len({question.text for question in conversation.questions})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit code: 1 for schema errors or leaks, 2 for data that cannot be read or a wrong option, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="memupdate.data.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, help="a LoCoMo JSON file")
    what.add_argument("--preprocessed", type=Path, metavar="DIR", help="a directory that preprocess wrote")
    parser.add_argument("--leaks", action="store_true", help="also report what the splits share; needs --preprocessed")
    options = parser.parse_args(arguments)
    try:
        if options.leaks and not options.preprocessed:
            raise FieldError("leaks", "--input", "--preprocessed DIR, which has the splits")
        report = check_locomo(options.input) if options.input else check_preprocessed(options.preprocessed)
        # Rows with schema errors may lack what is compared.
        leaks = find_leaks(options.preprocessed) if options.leaks and not report.schema_errors else None
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    shown = asdict(report)
    if options.leaks:
        shown["leaks"] = asdict(leaks) if leaks else None
    sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    return 1 if report.schema_errors or (leaks and leaks.found) else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
