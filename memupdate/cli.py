"""The ``memupdate`` command. On invalid input it prints one message with the allowed values and exits with code 2."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from memupdate.errors import STOPPED, MemupdateError, RunStoppedError
from memupdate.extras import missing_extras_named

if TYPE_CHECKING:
    from memupdate.run.job import Job


def _job(options: argparse.Namespace) -> Job:
    from memupdate.policy import PolicySettings
    from memupdate.run.job import Job

    locomo = options.locomo or (Path(os.environ["LOCOMO_JSON"]) if os.environ.get("LOCOMO_JSON") else None)
    policy = PolicySettings.parse(options.policy)
    return Job(options.profile, locomo, options.runs, options.run_dir, tuple(options.overrides), policy)


def run(options: argparse.Namespace) -> int:
    """Runs the whole job. With ``--dry-run`` it only checks the job and writes the resolved config."""
    from memupdate.platform import config as run_config
    from memupdate.platform.stopping import stop_signals
    from memupdate.run import pipeline

    job = _job(options)
    if options.dry_run:
        config = pipeline.check(job)
        target = options.runs / f"{options.profile}-dry-run.yaml"
        run_config.save(config, target)
        sys.stdout.write(f"{options.profile} profile is valid; its config: {target}\n")
        return 0
    with stop_signals(options.max_hours):
        run_dir = pipeline.run(job)
    sys.stdout.write((run_dir / "report.txt").read_text())
    sys.stdout.write(
        f"\nfiles of this run: {run_dir}\n"
        "  report.json, report.txt   this table\n"
        "  metrics.jsonl             every logged figure, one line a step\n"
        "  trace/                    rollouts to read, one JSON line each\n"
        "  checkpoints/              the newest, with the model in global_step_N/actor/huggingface\n"
        "  config.yaml, train.log    the resolved config, and what the processes printed\n"
        "  wandb/                    `wandb sync` uploads it\n"
    )
    return 0


def train_config(options: argparse.Namespace) -> int:
    """Runs GRPO from a resolved config file, in processes that end with this one."""
    from memupdate.platform import config as run_config
    from memupdate.platform import lease
    from memupdate.platform.stopping import STOP_FILE, stop_signals
    from memupdate.platform.supervisor import supervise
    from memupdate.run.preflight import validate

    config = run_config.load(options.config)
    validate(config)
    run_dir = Path(config.memory.run_dir)
    command = [sys.executable, "-m", "memupdate.run.grpo", str(options.config)]
    with stop_signals(options.max_hours), lease.hold(run_dir):
        return supervise(command, run_dir / STOP_FILE)


def make_policy(options: argparse.Namespace) -> int:
    """Makes the untrained tiny policy with its tokenizer and chat template."""
    from memupdate.platform.screen import without_weight_bars
    from memupdate.policy import PolicySettings
    from memupdate.policy import make_policy as make

    with without_weight_bars():
        make(options.output, options.corpus, PolicySettings.parse([f"seed={options.seed}", *options.policy]))
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Checks this machine and prints the findings. Returns 1 if any finding is a fault."""
    from memupdate.run.doctor import examine

    healthy = True
    for finding in examine(options.profile):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        healthy &= finding.ok
    return 0 if healthy else 1


def report(options: argparse.Namespace) -> int:
    """Prints the tables that compare a run's policy before and after training, and with programs."""
    from memupdate.evaluation import report as reports
    from memupdate.run.reporting import report_of

    sys.stdout.write(reports.render(report_of(options.run_dir)) + "\n")
    return 0


def checkpoint_digest(options: argparse.Namespace) -> int:
    """Prints the SHA-256 of the content of each part of a checkpoint."""
    from memupdate.platform.checkpoints import checkpoint_digests

    for name, value in checkpoint_digests(options.checkpoint).items():
        sys.stdout.write(f"{value}  {name}\n")
    return 0


# Commands that a module parses by itself: the module, and the help text in the list of commands.
MODULES = {
    "preprocess": ("memupdate.data.preprocess", "convert a dataset to verl's parquet files"),
    "check-data": ("memupdate.data.check", "report counts and schema errors of a LoCoMo file or a preprocessed folder"),
    "chain": ("memupdate.chain.command", "let a policy read whole conversations on a bank of its own, then ask it"),
    "reward-audit": ("memupdate.baselines.audit", "print what a reward pays for edits that nobody learnt"),
    "mcp": ("memupdate.integrations.mcp_command", "serve a durable bank to clients of the Model Context Protocol"),
    "synthetic": ("memupdate.data.synthetic", "write a generated corpus in LoCoMo's format"),
}


def parser() -> argparse.ArgumentParser:
    """Returns the command-line parser."""
    root = argparse.ArgumentParser(prog="memupdate", description="Train language models to manage memory.")
    commands = root.add_subparsers(dest="command", required=True)

    command = commands.add_parser("run", help="run the whole job: data, policy, warm start, GRPO, report")
    command.add_argument("--profile", default="local", help="local (default) or cluster")
    command.add_argument(
        "--locomo", type=Path, help="LoCoMo's JSON file (default: $LOCOMO_JSON, or a generated corpus if it is not set)"
    )
    command.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    command.add_argument(
        "--run-dir",
        type=Path,
        help="folder of this run (default: the unfinished last run if it is the same job, or the next number)",
    )
    command.add_argument(
        "--policy", action="append", default=[], metavar="NAME=VALUE", help="a setting of the tiny policy; repeatable"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="check the job and write the resolved config, but start nothing"
    )
    add_limit(command)
    command.add_argument("overrides", nargs="*", metavar="-- KEY=VALUE", help="hydra overrides, after --")
    command.set_defaults(call=run)

    command = commands.add_parser("train-config", help="run GRPO from a resolved config file")
    command.add_argument("config", type=Path, help="a resolved config file, such as config.yaml of a run")
    add_limit(command)
    command.set_defaults(call=train_config)

    command = commands.add_parser("make-policy", help="make the untrained tiny policy")
    command.add_argument("--output", type=Path, required=True, help="the folder to write")
    command.add_argument("--corpus", type=Path, required=True, help="a preprocessed folder")
    command.add_argument("--seed", type=int, default=0, help="seed of the initial weights (default: 0)")
    command.add_argument(
        "--policy", action="append", default=[], metavar="NAME=VALUE", help="a setting of the tiny policy; repeatable"
    )
    command.set_defaults(call=make_policy)

    command = commands.add_parser("doctor", help="check versions, devices, verl, SGLang, memory and disk")
    command.add_argument("--profile", default="local", help="local (default) or cluster")
    command.set_defaults(call=doctor)

    command = commands.add_parser(
        "report", help="compare the policy before and after a finished run, and with programs"
    )
    command.add_argument("run_dir", type=Path, help="the run's folder")
    command.set_defaults(call=report)

    command = commands.add_parser("checkpoint-digest", help="print the SHA-256 of each part of a checkpoint")
    command.add_argument("checkpoint", type=Path, help="a global_step_N folder")
    command.set_defaults(call=checkpoint_digest)

    for name, (_, text) in MODULES.items():
        commands.add_parser(name, help=text)  # only for the list of commands: main() passes the arguments to the module
    return root


def add_limit(command: argparse.ArgumentParser) -> None:
    """Adds the option that limits the time of a run."""
    command.add_argument(
        "--max-hours",
        type=float,
        metavar="H",
        help="write a checkpoint and exit with code 75 before H hours are over; the same command continues",
    )


def _run_command(words: Sequence[str]) -> int:
    """Runs the command named by the first word and returns its exit code."""
    if words and words[0] in MODULES:
        return int(import_module(MODULES[words[0]][0]).main(words[1:]))
    options = parser().parse_args(words)
    for noisy in ("httpx", "ray", "verl", "numexpr"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return int(options.call(options))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with missing_extras_named():
            return _run_command(words)
    except RunStoppedError as error:
        sys.stderr.write(f"memupdate: {error}\n")
        return STOPPED
    except MemupdateError as error:
        sys.stderr.write(f"memupdate: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
