"""What is in a data file, and what is wrong with it.

``python -m memupdate.data.check --input locomo10.json`` counts conversations, questions, facts and the blemishes that
the loader copes with; ``--preprocessed DIR`` checks a directory that ``preprocess_locomo`` wrote. The report is JSON
on stdout. Exit code 0: no schema errors; 1: schema errors; 2: unreadable.
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
from memupdate.data.locomo import parse_locomo
from memupdate.data.shape import collecting, read_json
from memupdate.errors import MemupdateError


@dataclass(frozen=True, slots=True)
class EvidenceCounts:
    """Blemishes of the evidence of questions or of facts.

    Attributes:
        malformed: strings that are not one plain dialog id (several ids in one, zero padding, fragments).
        dangling: ids of turns that do not exist.
        empty: items that cite nothing.
        duplicate_ids: ids that an item repeats.
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
        conversations: how many conversations could be read.
        sessions: sessions with turns.
        turns: utterances.
        questions: how many questions.
        questions_per_category: by category number, 1 to 5.
        facts: observation facts, one initial memory each.
        facts_per_conversation: by sample id.
        question_evidence: blemishes of what questions cite.
        fact_evidence: blemishes of what facts cite.
        duplicate_questions: questions whose text an earlier one of the conversation has.
        answers_not_text: answers given as integers.
        adversarial_only: adversarial questions without a gold answer.
        dates_without_session: session dates without turns.
        schema_errors: one message per error, with file, place and expectation.
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
    """Count what a LoCoMo file holds.

    Raises:
        DataError: if the file cannot be read as JSON. A file of another shape is reported in ``schema_errors``.
    """
    conversations, problems = parse_locomo(read_json(Path(path)).root)
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
    """The command line; the exit code is 1 for schema errors and 2 for what cannot be read."""
    parser = argparse.ArgumentParser(
        prog="memupdate.data.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--input", type=Path, help="a LoCoMo JSON file")
    what.add_argument("--preprocessed", type=Path, metavar="DIR", help="a directory of preprocess_locomo")
    options = parser.parse_args(arguments)
    try:
        report = check_locomo(options.input) if options.input else check_preprocessed(options.preprocessed)
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    sys.stdout.write(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n")
    return 1 if report.schema_errors else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
