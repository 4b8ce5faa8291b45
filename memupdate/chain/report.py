"""The report of a chained run: QA with intervals over conversations, what is stored, and the errors of the calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memupdate.chain.asking import CHAIN, MEMORIES_FILE, START, ConversationResult
from memupdate.chain.folder import REPORT_TEXT
from memupdate.data.banks import REPORT
from memupdate.evaluation.intervals import Interval, mean_interval
from memupdate.evaluation.report import CATEGORY_NAMES
from memupdate.files import write_atomically
from memupdate.rewards.contract import ABSTENTION_CATEGORY

BANK_TITLES = {CHAIN: "chain", MEMORIES_FILE: "memories file", START: "start"}


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The report of a chained run. All figures are means over conversations, each with the same weight.

    Attributes:
        inputs: what the run was begun with.
        conversations: figures of each conversation, by name.
        qa: the score of the questions with an answer, for each bank, and the difference to each bank to compare with.
            An empty bank has 0. Abstention questions (category 5) are not in it: whoever stores nothing abstains right.
        categories: the same for each category, with the number of questions.
        stored: memories and characters of each bank.
        calls: turns and calls per session, and errors per call.
    """

    inputs: Mapping[str, Any]
    conversations: dict[str, dict[str, Any]]
    qa: dict[str, Interval]
    categories: dict[int, tuple[int, dict[str, Interval]]]
    stored: dict[str, Interval]
    calls: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {
            "inputs": dict(self.inputs),
            "qa": _json(self.qa),
            "categories": {
                str(category): {"n": count, **_json(qa)} for category, (count, qa) in self.categories.items()
            },
            "stored": _json(self.stored),
            "calls": _json(self.calls),
            "conversations": self.conversations,
        }


def make_report(results: Sequence[ConversationResult], inputs: Mapping[str, Any]) -> ChainReport:
    """Computes the report from what came out of each conversation."""
    categories = sorted({question.category for result in results for question in result.questions})
    answered = [category for category in categories if category != ABSTENTION_CATEGORY]
    return ChainReport(
        inputs=inputs,
        conversations={result.sample_id: _conversation(result) for result in results},
        qa=_qa(results, answered) if answered else {},
        categories={
            category: (
                sum(question.category == category for result in results for question in result.questions),
                _qa(results, [category]),
            )
            for category in categories
        },
        stored={
            f"{figure} {BANK_TITLES[bank]}": _over(results, lambda result: getattr(result.banks[bank], figure))  # noqa: B023
            for figure in ("count", "characters")
            for bank in results[0].banks
        },
        calls={
            "turns per session": _over(results, lambda result: _mean(result, "turns")),
            "calls per session": _over(results, lambda result: _mean(result, "calls")),
            **_errors(results),
        },
    )


def _qa(results: Sequence[ConversationResult], categories: Sequence[int]) -> dict[str, Interval]:
    """Returns the score of each bank on questions of these categories, and the paired differences."""
    clusters: list[str] = []
    scores: dict[str, list[float]] = {bank: [] for bank in results[0].banks}
    for result in results:
        for place, question in enumerate(result.questions):
            if question.category in categories:
                clusters.append(result.sample_id)
                for bank, of_bank in scores.items():
                    of_bank.append(result.banks[bank].scores[place])
    figures = {BANK_TITLES[bank]: mean_interval(of_bank, clusters) for bank, of_bank in scores.items()}
    for bank in [bank for bank in scores if bank != CHAIN]:
        gains = [new - old for new, old in zip(scores[CHAIN], scores[bank], strict=True)]
        figures[f"chain - {BANK_TITLES[bank]}"] = mean_interval(gains, clusters)
    return figures


def _over(results: Sequence[ConversationResult], figure: Callable[[ConversationResult], float]) -> Interval:
    return mean_interval([figure(result) for result in results], [result.sample_id for result in results])


def _mean(result: ConversationResult, name: str) -> float:
    return _sum(result, name) / len(result.sessions)


def _sum(result: ConversationResult, *names: str) -> int:
    return sum(getattr(session, name) for session in result.sessions for name in names)


def _errors(results: Sequence[ConversationResult]) -> dict[str, Interval]:
    """Returns the share of calls that failed. A conversation without calls has no such share and is left out."""
    called = [result for result in results if _sum(result, "calls")]
    if not called:
        return {}
    return {"errors per call": _over(called, _errors_per_call)}


def _errors_per_call(result: ConversationResult) -> float:
    return _sum(result, "errors", "malformed", "unknown") / _sum(result, "calls")


def _conversation(result: ConversationResult) -> dict[str, Any]:
    answered = [place for place, one in enumerate(result.questions) if one.category != ABSTENTION_CATEGORY]
    return {
        "sessions": len(result.sessions),
        "questions": len(result.questions),
        "read_characters": result.read_characters,
        "banks": {
            BANK_TITLES[name]: {
                "qa": sum(bank.scores[place] for place in answered) / len(answered) if answered else None,
                "count": bank.count,
                "characters": bank.characters,
            }
            for name, bank in result.banks.items()
        },
        **{name: _sum(result, name) for name in ("turns", "calls", "errors", "malformed", "unknown", "ignored")},
        "no_room": _sum(result, "no_room"),
        "scores": [
            {"index": question.index, "category": question.category}
            | {BANK_TITLES[name]: bank.scores[place] for name, bank in result.banks.items()}
            for place, question in enumerate(result.questions)
        ],
    }


def _json(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in intervals.items()}


def render(report: ChainReport) -> str:
    """Returns the report as a table for a terminal."""
    names = list(report.conversations)
    methods = sorted({one.method for one in (*report.qa.values(), *report.stored.values(), *report.calls.values())})
    lines = [
        f"chained run, {len(names)} conversations ({', '.join(names)})",
        f"mean over conversations [95 % interval]; {'; '.join(methods)}",
        "an empty bank has QA 0 by definition",
    ]
    if not report.inputs["abstention"]:
        lines.append("abstention questions are left out: the scorer cannot score them")
    no_room = sum(one["no_room"] for one in report.conversations.values())
    if no_room:
        lines.append(f"{no_room} sessions ended because the messages filled the model's context")
    sections: list[tuple[str, dict[str, Interval]]] = [("QA, categories 1 to 4", report.qa)]
    for category, (count, qa) in report.categories.items():
        sections.append((f"QA, {category} {CATEGORY_NAMES.get(category, '')} (n={count})", qa))
    sections += [("stored", report.stored), ("calls", report.calls)]
    for title, figures in sections:
        if figures:
            lines += ["", title, *(_row(name, interval) for name, interval in figures.items())]
    return "\n".join(lines)


def _row(name: str, interval: Interval) -> str:
    bounds = "" if interval.low is None else f"[{interval.low:.4f}, {interval.high:.4f}]"
    return f"  {name:<28}{interval.mean:>14.4f}  {bounds}".rstrip()


def write(report: ChainReport, folder: Path) -> None:
    """Writes ``report.json`` and ``report.txt`` to the run's folder."""
    write_atomically(folder / REPORT_TEXT, render(report) + "\n")
    # Written last, because its existence marks the run as finished.
    write_atomically(folder / REPORT, json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n")
