"""Runs the stages of a job as processes, each with its own log, and shows their progress."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path

from tqdm import tqdm

from memupdate.errors import STOPPED, MemupdateError, RunStoppedError
from memupdate.platform.root_cause import Beginning
from memupdate.platform.stopping import STOPPED_FILE, signals
from memupdate.platform.supervisor import ENDING_DEADLINE_S, NO_FILE

logger = logging.getLogger(__name__)

POLL_S = 0.5
LOG_TAIL = 25


class StageError(MemupdateError):
    """The process of a stage failed. The message is the first cause, the path of the log, and the end of the log."""


def run_stage(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None] | None = None,
    stop_file: Path | None = None,
) -> None:
    """Runs a stage's process and writes its output to a file. When it returns, every process of the stage has ended.

    Args:
        command: the command line of the process.
        log: the file to which standard output and standard error are appended.
        environment: environment variables to add to those of this process.
        watch: a function to call every half second while the process runs, and once after it ends.
        stop_file: the file that asks the process to write a checkpoint and to stop; None if it has no checkpoints.

    Raises:
        StageError: the process failed.
        RunStoppedError: the stage was asked to stop and did so.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    beginning = Beginning.of(log)
    supervised = [sys.executable, "-m", "memupdate.platform.supervisor", str(stop_file or NO_FILE), *command]
    reading, writing = os.pipe()
    with log.open("a") as file, os.fdopen(writing, "wb", buffering=0) as requests, signals.deferred():
        process = subprocess.Popen(
            supervised,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=reading,
            env={**os.environ, **environment},
            start_new_session=True,  # a signal to this process's group reaches the stage through this process only
            close_fds=False,  # it keeps the lease of the run's folder
        )
        os.close(reading)
        try:
            sent = 0
            while process.poll() is None:
                if signals.count > sent:
                    _pass_on(requests, sent, signals.count, stop_file)
                    sent = signals.count
                if watch is not None:
                    watch()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=POLL_S)
            if watch is not None:
                watch()
        except BaseException:
            requests.close()  # the supervisor ends the stage
            process.wait(timeout=2 * ENDING_DEADLINE_S)
            raise
    if process.returncode == STOPPED:
        answer = (stop_file or log).with_name(STOPPED_FILE)
        text = answer.read_text().strip() if answer.is_file() else "ended at once; the same command continues the job"
        raise RunStoppedError(f"{text} (log: {log})")
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        code = 128 - process.returncode if process.returncode > 128 else process.returncode  # -9: killed by SIGKILL
        raise StageError(f"{beginning.why(code)}\nexit code {code}; the log's end:\n{tail}")


def _pass_on(requests: FileIO, sent: int, count: int, stop_file: Path | None) -> None:
    """Passes requests to stop on to the supervisor, one byte each."""
    if sent == 0 and count == 1 and stop_file is not None:
        logger.info("asked to stop: the run writes a checkpoint and ends; the next signal ends it at once")
    with suppress(BrokenPipeError):  # the stage has just ended
        requests.write(b"s" * (count - sent))


class SFTProgress:
    """A progress bar that reads the log of verl's SFT trainer. It shows nothing if there is no terminal.

    Args:
        log: the trainer's log.
        steps: the total number of steps.
        name: the label of the bar.
    """

    def __init__(self, log: Path, steps: int, name: str) -> None:
        self._log = log
        self._bar = tqdm(total=steps, desc=name, unit="step", disable=None)

    def __call__(self) -> None:
        """Updates the bar with the newest step in the log."""
        if self._bar.disable:
            return
        # a line of the log: step:17 - train/loss:0.25 ...
        found = re.findall(r"step:(\d+) - .*?train/loss:([0-9.]+)", self._log.read_text(errors="replace"))
        if found:
            self._bar.n = int(found[-1][0])
            self._bar.set_postfix(loss=found[-1][1], refresh=True)


class TrainingProgress:
    """A progress bar that reads ``metrics.jsonl``. Without a terminal it logs one line per validation instead.

    Args:
        run_dir: the run's folder.
        steps: the total number of steps.
        section: the prefix of the metrics of a step's trajectories.
    """

    def __init__(self, run_dir: Path, steps: int, section: str) -> None:
        self._reward = f"{section}/reward"
        self._file = run_dir / "metrics.jsonl"
        self._bar = tqdm(total=steps, desc="GRPO", unit="step", disable=None)
        self._seen = 0

    def __call__(self) -> None:
        """Updates the bar with the new lines of the file."""
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
