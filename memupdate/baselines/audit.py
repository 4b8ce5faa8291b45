"""What a reward pays for edits that nobody learnt: ``memupdate reward-audit --data DIR``.

It plays programs on the episodes of a preprocessed folder, and prints the mean reward of each: constant programs, which
ignore what is asked; vandals, which forget, stuff or pad; useful edits, each of which mends one planted fault; and an
oracle that knows the hidden questions. A reward is worth optimising if constant programs earn little of what the oracle
earns, vandals lose and useful edits gain. Nothing is trained, and no model is needed besides the scorer's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from tqdm import tqdm

from memupdate.baselines.constant import QUESTION_PROGRAMS, SESSION_PROGRAMS
from memupdate.baselines.episodes import Episode, read_episodes
from memupdate.baselines.program import Kind, Program
from memupdate.baselines.useful import ORACLE, USEFUL
from memupdate.baselines.vandals import vandals
from memupdate.checks import check_choice, check_positive_int
from memupdate.data.episodes import EPISODES, SESSION
from memupdate.data.layout import SPLITS, rows_path
from memupdate.data.questions import read_questions
from memupdate.errors import FieldError, MemupdateError
from memupdate.evaluation.intervals import Interval, mean_interval
from memupdate.extras import missing_extras_named
from memupdate.files import write_output
from memupdate.memory import make_embedder
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import Scorer
from memupdate.rewards.scorers import make_scorer

PARTS = ("delta", "delta_shown", "delta_hidden", "growth", "storage_cost", "refund")
NEUTRAL_WITHIN = 0.02


@dataclass(frozen=True)
class Earned:
    """What a program earned.

    Attributes:
        program: the program's name.
        kind: what it is an example of.
        expected: what the mean reward should be, in words.
        episodes: on how many episodes it had something to do.
        reward: the mean over conversations, with its interval; None if it never had anything to do.
        parts: the means over episodes of some parts of the reward.
        as_expected: whether the mean is what it should be; None where the kind says nothing exact.
    """

    program: str
    kind: str
    expected: str
    episodes: int
    reward: Interval | None
    parts: dict[str, float]
    as_expected: bool | None


def programs_for(episode: str, training_answers: Iterable[str]) -> tuple[Program, ...]:
    """Returns all programs for a kind of episode, ``question`` or ``session``."""
    constant = SESSION_PROGRAMS if episode == SESSION else QUESTION_PROGRAMS
    return (*constant, *vandals(training_answers), *USEFUL, ORACLE)


def earned_by(
    program: Program, episodes: Sequence[Episode], scorer: Scorer, config: RewardConfig, seed: int = 0
) -> Earned:
    """Plays a program on episodes and returns what it earned.

    Args:
        program: the program.
        episodes: the episodes.
        scorer: the scorer.
        config: the reward.
        seed: of the program's random choices.
    """
    played = [(episode, program.play(episode, seed)) for episode in episodes]
    results = [(episode, episode.score(banks[1], scorer, config)) for episode, banks in played if banks is not None]
    reward = None
    if results:
        clusters = [episode.sample_id for episode, _ in results]
        reward = mean_interval([parts.reward for _, parts in results], clusters=clusters)
    means = {
        name: sum(getattr(parts, name) for _, parts in results) / len(results) if results else 0.0 for name in PARTS
    }
    kind = program.kind
    return Earned(program.name, kind.name.lower(), kind.value, len(results), reward, means, _as_expected(kind, reward))


def _as_expected(kind: Kind, reward: Interval | None) -> bool | None:
    if reward is None or kind in (Kind.CONSTANT, Kind.ORACLE):
        return None
    return {
        Kind.NOTHING: reward.mean == 0,
        Kind.VANDAL: reward.mean < 0,
        Kind.USEFUL: reward.mean > 0,
        Kind.NEUTRAL: abs(reward.mean) <= NEUTRAL_WITHIN,
    }[kind]


def audit(
    data_dir: Path,
    *,
    episode: str = SESSION,
    split: str = "test",
    config: RewardConfig | None = None,
    embedder: str = "hashing",
    limit: int | None = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Plays all programs on episodes of a preprocessed folder.

    Args:
        data_dir: the preprocessed folder.
        episode: ``question`` or ``session``.
        split: ``train`` or ``test``.
        config: the reward, whose formula must be ``budgeted``; None for the defaults.
        embedder: the name of the embedder.
        limit: how many episodes at most; None for all.
        seed: of the choice of episodes, of the hidden questions and of the programs.

    Returns:
        The inputs; ``earned``, a list with the fields of :class:`Earned`; and ``best_constant`` with its name, its
        reward and its share of the oracle's.

    Raises:
        FieldError: an option is not allowed.
        DataError: the folder is not as preprocessing writes it.
    """
    check_choice("episode", episode, EPISODES)
    check_choice("split", split, SPLITS)
    if limit is not None:
        check_positive_int("episodes", limit)
    config = config or RewardConfig()
    if not config.is_budgeted:
        raise FieldError("reward.formula", config.formula, "budgeted, the formula that programs are played against")
    scorer = make_scorer(config.scorer)
    model = make_embedder(embedder)
    episodes = list(read_episodes(data_dir, split, episode, model, config, limit=limit, seed=seed))
    programs = programs_for(episode, training_answers(data_dir))
    earned = [
        earned_by(program, episodes, scorer, config, seed)
        for program in tqdm(programs, desc="programs", unit="program", disable=None)
    ]
    return {
        "episode": episode,
        "split": split,
        "episodes": len(episodes),
        "conversations": len({one.sample_id for one in episodes}),
        "scorer": config.scorer.name,
        "embedder": embedder,
        "seed": seed,
        "earned": [asdict(one) for one in earned],
        "best_constant": best_constant(earned),
    }


def best_constant(earned: Sequence[Earned]) -> dict[str, Any]:
    """Returns the constant program that earned most: its name, its mean reward and its share of the oracle's."""
    rewards = {one.program: one.reward.mean for one in earned if one.kind == "constant" and one.reward}
    oracle = next(one.reward.mean for one in earned if one.kind == "oracle" and one.reward)
    best = max(rewards, key=lambda name: rewards[name])
    return {"program": best, "reward": rewards[best], "oracle": oracle, "share_of_oracle": rewards[best] / oracle}


def training_answers(data_dir: Path) -> list[str]:
    """Returns the answers of the training questions of a preprocessed folder."""
    infos = pq.read_table(rows_path(data_dir, "train"), columns=["extra_info"]).to_pylist()
    names = dict.fromkeys(row["extra_info"]["sample_id"] for row in infos)
    return [question.answer for name in names for question in read_questions(data_dir, name)]


def render(found: dict[str, Any]) -> str:
    """Returns the audit as a table for a terminal."""
    width = max(len(row["program"]) for row in found["earned"]) + 2
    best = found["best_constant"]
    lines = [
        f"{found['episodes']} {found['episode']} episodes of {found['conversations']} conversations "
        f"({found['split']}); scorer {found['scorer']}, embedder {found['embedder']}",
        "",
        f"{'program':<{width}}{'n':>5}{'reward':>9}{'[95 % interval]':>20}{'dQ shown':>10}{'hidden':>9}{'growth':>9}"
        f"  should be",
    ]
    for row in found["earned"]:
        reward, parts = row["reward"], row["parts"]
        if reward is None:
            lines.append(f"{row['program']:<{width}}{0:>5}{'-':>9}{'':>48}  {row['expected']} (nothing to do here)")
            continue
        bounds = "" if reward["low"] is None else f"[{reward['low']:.3f}, {reward['high']:.3f}]"
        mark = "  NOT SO" if row["as_expected"] is False else ""
        lines.append(
            f"{row['program']:<{width}}{row['episodes']:>5}{reward['mean']:>9.4f}{bounds:>20}"
            f"{parts['delta_shown']:>10.3f}{parts['delta_hidden']:>9.3f}{parts['growth']:>9.2f}  "
            f"{row['expected']}{mark}"
        )
    lines += [
        "",
        f"the best constant program, {best['program']!r}, earns {100 * best['share_of_oracle']:.1f} % of the oracle's "
        f"{best['oracle']:.3f}",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 1 if a program earned what it should not, 2 for wrong input, else 0."""
    parser = argparse.ArgumentParser(
        prog="memupdate reward-audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder that preprocess wrote")
    parser.add_argument("--episode", default=SESSION, help=f"{' or '.join(EPISODES)} (default {SESSION})")
    parser.add_argument("--split", default="test", help=f"{' or '.join(SPLITS)} (default test)")
    parser.add_argument("--episodes", type=int, default=200, metavar="N", help="episodes at most (default 200)")
    parser.add_argument("--embedder", default="hashing", help="what searches the bank (default hashing)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--reward",
        default="{}",
        metavar="YAML",
        help="fields of memory.reward, such as '{scorer: overlap}'",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all figures to this file too")
    options = parser.parse_args(arguments)
    try:
        with missing_extras_named():
            found = audit(
                options.data,
                episode=options.episode,
                split=options.split,
                config=RewardConfig.from_mapping(_mapping(options.reward)),
                embedder=options.embedder,
                limit=options.episodes,
                seed=options.seed,
            )
            if options.json:
                write_output(options.json, json.dumps(found, indent=1) + "\n")
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    sys.stdout.write(render(found))
    return 1 if any(row["as_expected"] is False for row in found["earned"]) else 0


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FieldError("--reward", text, f"a YAML mapping ({error})") from error
    if not isinstance(value, dict):
        raise FieldError("--reward", text, "a YAML mapping of fields of memory.reward")
    return value
