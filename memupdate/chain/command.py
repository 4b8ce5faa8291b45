"""The command ``memupdate chain``: inject once, query many.

For every conversation, a policy reads all sessions in order and edits one bank of its own, which starts empty. Then all
questions are asked once: each is read from the final bank within a budget of characters, and scored. The command can be
stopped at any time; the same command continues after the last finished session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memupdate.chain.contract import TextPolicy
from memupdate.chain.data import ChainData, read_chain_data
from memupdate.chain.policies import make_text_policy
from memupdate.chain.report import ChainReport, make_report, render, write
from memupdate.chain.run import run_chain
from memupdate.chain.session import TurnLimits
from memupdate.chain.settings import ChainSettings
from memupdate.checks import check_integer, check_positive_int
from memupdate.errors import FieldError, MemupdateError
from memupdate.extras import missing_extras_named
from memupdate.memory import ReadBudget
from memupdate.rewards.scorers import ScorerConfig, make_scorer, scores_abstention

logger = logging.getLogger(__name__)


def chain(
    data: ChainData, policy: TextPolicy, output: Path, settings: ChainSettings, scorer: ScorerConfig
) -> ChainReport:
    """Begins or continues a chained run, and writes its report.

    Args:
        data: the conversations.
        policy: the policy.
        output: the run's folder.
        settings: how to play and to read.
        scorer: the scorer's config.

    Raises:
        FieldError: the folder is not this run's, or an input has a value that is not allowed.
        MemupdateError: the policy, the scorer or the disk failed. The same call continues the run.
    """
    if not scores_abstention(scorer):
        data = data.without_abstention()
    inputs = _inputs(data, policy, settings, scorer)
    scoring = make_scorer(scorer)
    results = asyncio.run(run_chain(data, policy, scoring, output, inputs, settings))
    report = make_report(results, inputs)
    write(report, output)
    return report


def _inputs(data: ChainData, policy: TextPolicy, settings: ChainSettings, scorer: ScorerConfig) -> dict[str, Any]:
    """Returns what a chained run is begun with, as JSON."""
    return {
        "input": data.input,
        "data": data.digest,
        "conversations": [conversation.sample_id for conversation in data.conversations],
        "policy": dict(policy.identity),
        "seed": settings.seed,
        "start": settings.start,
        **asdict(settings.limits),
        "embedder": settings.embedder,
        "scorer": {"name": scorer.name, **scorer.options},
        "abstention": scores_abstention(scorer),
        "read_memories": settings.budget.memories,
        "read_characters": settings.budget.characters,
    }


def _scorer(text: str) -> ScorerConfig:
    """Reads a scorer's name, or a JSON object of its fields."""
    if not text.startswith("{"):
        return ScorerConfig.parse(text)
    try:
        return ScorerConfig.parse(json.loads(text))
    except ValueError as error:
        raise FieldError("scorer", text, "a name, or a JSON object with name and the scorer's fields") from error


def _parser() -> argparse.ArgumentParser:
    limits = TurnLimits()
    parser = argparse.ArgumentParser(
        prog="memupdate chain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a preprocessed folder")
    parser.add_argument("--policy", required=True, help="a Hugging Face folder, or the address of a chat endpoint")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="the folder of this run")
    parser.add_argument("--model", help="the model's name at the endpoint")
    parser.add_argument("--split", default="test", help="train or test (default test)")
    parser.add_argument("--conversations", nargs="+", metavar="SAMPLE_ID", help="some of the split (default all)")
    parser.add_argument(
        "--start", type=int, metavar="N", help="start with the memories before session N (default: none)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-turns", type=int, default=limits.max_turns, metavar="N", help="turns per session")
    parser.add_argument("--max-calls", type=int, default=limits.max_calls, metavar="N", help="calls per turn")
    parser.add_argument("--max-tokens", type=int, default=512, metavar="N", help="tokens per turn (default 512)")
    parser.add_argument(
        "--tool-response-tokens",
        type=int,
        default=limits.tool_response_tokens,
        metavar="N",
        help="tokens of a tool's reply that the policy is shown",
    )
    parser.add_argument("--embedder", default="hashing", help="what banks are searched with (default hashing)")
    parser.add_argument(
        "--scorer",
        default=ScorerConfig().name,
        help=f"a scorer's name, or a JSON object of its fields (default {ScorerConfig().name}, as in training)",
    )
    parser.add_argument("--read-memories", type=float, default=5.0, metavar="N", help="mean memories read per question")
    parser.add_argument("--read-characters", type=int, metavar="N", help="characters read per question, instead")
    return parser


def _run(options: argparse.Namespace) -> str:
    settings = ChainSettings(
        seed=check_integer("seed", options.seed),
        start=options.start,
        limits=TurnLimits(options.max_turns, options.max_calls, options.tool_response_tokens),
        embedder=options.embedder,
        budget=ReadBudget(options.read_memories, options.read_characters),
    )
    scorer = _scorer(options.scorer)
    data = read_chain_data(options.data, options.split, options.conversations, options.start)
    max_tokens = check_positive_int("max_tokens", options.max_tokens)
    policy = make_text_policy(options.policy, model=options.model, max_tokens=max_tokens)
    return render(chain(data, policy, options.output, settings, scorer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 2 for wrong options or data or a failed policy, else 0."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with missing_extras_named():
            shown = _run(options)
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    sys.stdout.write(f"{shown}\n")
    return 0
