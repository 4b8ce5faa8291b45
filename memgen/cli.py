"""The ``memgen`` command: train, evaluate and generate.

If the input is wrong, the command prints the allowed values and returns exit code 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from memupdate.errors import STOPPED, MemupdateError, RunStoppedError
from memupdate.extras import missing_extras_named


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    root = argparse.ArgumentParser(prog="memgen", description="Latent memory for a frozen language model.")
    commands = root.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "train a stage of a method; run the same command again to continue a stopped run"),
        ("evaluate", "answer and score the examples of the test file, and write a summary"),
        ("generate", "answer the questions given with --prompt"),
        ("run", "do what run.mode in the settings says: train, evaluate or generate"),
    ):
        command = commands.add_parser(name, help=text)
        add_settings(command)
        if name in ("train", "run"):
            command.add_argument(
                "--max-hours",
                type=float,
                metavar="H",
                help="write a checkpoint and exit with code 75 before H hours are over; the same command continues",
            )
        if name in ("generate", "run"):
            command.add_argument("--prompt", action="append", default=[], help="a question; may be given several times")
    return root


def add_settings(command: argparse.ArgumentParser) -> None:
    """Adds the two options that all commands share."""
    command.add_argument("--cfg-path", type=Path, required=True, help="YAML settings file, see configs/latent_memory/")
    command.add_argument("--options", nargs="*", default=[], metavar="K V", help="settings to override: k v or k=v")


def run(options: argparse.Namespace) -> int:
    """Runs the parsed command and returns its exit code."""
    from memgen.settings import read_settings

    words = list(options.options)
    if options.command != "run":
        words.append(f"run.mode={options.command}")
    settings = read_settings(options.cfg_path, words)
    if settings.run.mode == "generate" and not options.prompt:
        parser().error("generate needs at least one --prompt")
    # Imported after the settings are checked, because this import takes seconds.
    from memgen.runner import MemGenRunner

    runner = MemGenRunner(settings)
    if settings.run.mode == "train":
        from memupdate.platform.stopping import stop_signals

        with stop_signals(options.max_hours):
            sys.stdout.write(f"{runner.train()}\n")
    elif settings.run.mode == "evaluate":
        sys.stdout.write(json.dumps(runner.evaluate(), indent=1) + "\n")
    else:
        for answer in runner.generate(options.prompt):
            sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses and runs a command line and returns its exit code."""
    logging.basicConfig(level=os.environ.get("MEMUPDATE_LOG_LEVEL", "INFO"), format="%(message)s")
    for noisy in ("httpx", "verl", "numexpr"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = parser().parse_args(arguments)
    try:
        with missing_extras_named():
            return run(options)
    except RunStoppedError as error:
        sys.stderr.write(f"memgen: {error}\n")
        return STOPPED
    except MemupdateError as error:
        sys.stderr.write(f"memgen: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
