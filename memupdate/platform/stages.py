"""The processes of a run, each with a log of its own, and the progress bars that watch them."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from memupdate.errors import MemupdateError

logger = logging.getLogger(__name__)

POLL_S = 0.5
LOG_TAIL = 25


class StageError(MemupdateError):
    """A stage's process ended with an error. The message holds the end of its log and says where the log is."""


def run_stage(
    command: Sequence[str], log: Path, environment: Mapping[str, str], watch: Callable[[], None] | None = None
) -> None:
    """Runs a stage's process with its output in a file.

    Args:
        command: the process.
        log: the file that gets standard output and standard error.
        environment: environment variables, beside those of this process.
        watch: called every half second while it runs.

    Raises:
        StageError: the process failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        try:
            while process.poll() is None:
                if watch is not None:
                    watch()
                time.sleep(POLL_S)
            if watch is not None:
                watch()
        except BaseException:
            process.terminate()
            process.wait(timeout=30)
            raise
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        raise StageError(f"exit code {process.returncode}; the end of {log}:\n{tail}")


class SFTProgress:
    """A progress bar that reads the log of verl's SFT trainer. It is quiet if there is no terminal.

    Args:
        log: the trainer's output.
        steps: how many there will be.
        name: what the bar says.
    """

    def __init__(self, log: Path, steps: int, name: str) -> None:
        self._log = log
        self._bar = tqdm(total=steps, desc=name, unit="step", disable=None)

    def __call__(self) -> None:
        """Looks for the newest step in the log."""
        if self._bar.disable:
            return
        # a line of the log: step:17 - train/loss:0.25 ...
        found = re.findall(r"step:(\d+) - .*?train/loss:([0-9.]+)", self._log.read_text(errors="replace"))
        if found:
            self._bar.n = int(found[-1][0])
            self._bar.set_postfix(loss=found[-1][1], refresh=True)


class TrainingProgress:
    """A progress bar that reads ``metrics.jsonl``. Without a terminal it is one log line for each validation.

    Args:
        run_dir: the run's folder.
        steps: how many there will be.
        section: the prefix of the metrics of a step's trajectories.
    """

    def __init__(self, run_dir: Path, steps: int, section: str) -> None:
        self._reward = f"{section}/reward"
        self._file = run_dir / "metrics.jsonl"
        self._bar = tqdm(total=steps, desc="GRPO", unit="step", disable=None)
        self._seen = 0

    def __call__(self) -> None:
        """Looks for new lines in the file."""
        if not self._file.is_file():
            return
        lines = self._file.read_text().splitlines()
        for text in lines[self._seen :]:
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break  # still being written
            self._seen += 1
            if self._reward in line:
                self._bar.n = line["step"]
                self._bar.set_postfix(reward=f"{line[self._reward]:.3f}", refresh=True)
            elif "validation/reward" in line:
                reward, n = line["validation/reward"], line["validation/n"]
                message = f"step {line['step']}: held-out reward {reward:.4f} (n={n:.0f})"
                if self._bar.disable:
                    logger.info(message)
                else:
                    self._bar.write(message)
