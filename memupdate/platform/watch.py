"""Watches a run while it trains: the processes that it needs, and the deadline of the step.

A thread in the task runner sends a ping to every watched actor and waits for no answer: a busy actor answers late, and
that is no fault. Ray fails the ping of a dead actor at once. The trainer asks for the fault while it waits for
rollouts. If it does not end then, for example because it waits for something that will never come, this process exits.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from memupdate.errors import MemupdateError
from memupdate.failures import describe, one_line, process_log
from memupdate.platform import root_cause

logger = logging.getLogger(__name__)

POLL_S = 1.0
GRACE_S = 60.0
# A dead actor is known after two failed pings; each is sent at one poll and read at a later one.
SETTLING_POLLS = 5
# SGLang's scheduler and detokenizer have process names that start with this.
ENGINE_PROCESS = "sglang"


class RunFaultError(MemupdateError):
    """A process that the run needs has died, or a step has passed its deadline."""


@dataclass(frozen=True)
class Watched:
    """An actor that a run needs.

    Attributes:
        name: what it does in the run, for the error.
        handle: Ray's handle.
        engine: whether its engine processes are watched too. Not for a server that Ray restarts when they die.
    """

    name: str
    handle: Any
    engine: bool = False


@dataclass(frozen=True)
class Answer:
    """What an actor answers to a ping.

    Attributes:
        pid: its process.
        host: its machine.
        log: the log of its process.
        engine: the pids of the engine processes that are alive.
    """

    pid: int
    host: str
    log: str
    engine: frozenset[int]

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, log {self.log or 'unknown'}"


def answer(actor: Any, engine: bool, known: frozenset[int]) -> Answer:
    """Runs in the watched actor.

    Args:
        actor: the actor's object. Not used.
        engine: whether to look for engine processes.
        known: the pids of the engine processes that were found before. Only these are looked at then, because a search
            reads every process of the machine.
    """
    pids = known or {child.pid for child in psutil.Process().children(recursive=True)} if engine else set()
    return Answer(os.getpid(), os.uname().nodename, process_log(), frozenset(filter(_serves, pids)))


def _serves(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.name().startswith(ENGINE_PROCESS) and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Probe:
    """The pings to one actor, one after the other.

    Attributes:
        watched: the actor.
        known: its last answer; None before the first one.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.known: Answer | None = None
        self._failed_before = False
        self._pending: Any = None

    def fault(self) -> str:
        """Looks at the pending ping and returns what is wrong with the actor; empty if nothing is known."""
        if self._pending is None:
            self._send()
            return ""
        ready, _ = ray.wait([self._pending], timeout=0)
        if not ready:
            return ""
        try:
            found = ray.get(self._pending)
        except ActorUnavailableError:  # Ray restarts it, or a connection broke
            self._send()
            return ""
        except RayActorError as error:
            # A ping that was on its way when Ray began to restart the actor fails like that of a dead one.
            if self._failed_before:
                # Ray's text begins with what is known here of the actor, and ends with advice.
                reason = str(error).partition("The actor is dead because ")[2].partition(" Some common causes")[0]
                return self._told(f"has died: {reason or error}")
            self._failed_before = True
            self._send()
            return ""
        self._failed_before = False
        gone = self.known.engine - found.engine if self.known is not None and self.known.pid == found.pid else ()
        self.known = found
        self._send()
        return self._told(f"has lost its engine process {min(gone)}") if gone else ""

    def _send(self) -> None:
        known = self.known.engine if self.known is not None else frozenset()
        self._pending = self.watched.handle.__ray_call__.remote(answer, self.watched.engine, known)

    def _told(self, what: str) -> str:
        return one_line(f"{self.watched.name} ({self.known or 'never answered'}) {what}")


class RunWatch:
    """Finds dead processes and overdue steps of a run.

    Args:
        run_dir: the run's folder, where the cause is written.
        poll_s: seconds between two looks.
        grace_s: seconds after a fault in which the trainer can end by itself. Then this process exits with code 1.

    Attributes:
        probes: the pings to every watched actor.
    """

    def __init__(self, run_dir: Path, poll_s: float = POLL_S, grace_s: float = GRACE_S) -> None:
        self._run_dir = run_dir
        self._poll_s = poll_s
        self._grace_s = grace_s
        self.probes: list[Probe] = []
        self._allowed: tuple[str, float, float] | None = None
        self._fault = ""
        self._found = threading.Event()
        self._stopped = threading.Event()

    def start(self, actors: Iterable[Watched]) -> None:
        """Begins to watch.

        Args:
            actors: the actors that must live.
        """
        self.probes = [Probe(watched) for watched in actors]
        threading.Thread(target=self._watch, daemon=True, name="run-watch").start()

    def allow(self, what: str, seconds: float) -> None:
        """Begins a part of the run with a deadline. It replaces the one before.

        Args:
            what: the part, for the error.
            seconds: how long it may take.
        """
        self._allowed = what, seconds, time.monotonic() + seconds

    def check(self) -> None:
        """Raises RunFaultError if there is a fault."""
        if self._fault:
            raise RunFaultError(self._fault)

    def settle(self) -> None:
        """Waits until the watch has looked at all actors again, so that it finds what caused an error elsewhere.

        Raises:
            RunFaultError: there is a fault.
        """
        if self.probes:
            self._found.wait(SETTLING_POLLS * self._poll_s)
        self.check()

    def fail(self, fault: str) -> None:
        """Reports what ends the run. The grace period begins, if the watch has started.

        Args:
            fault: the cause, in one line. The first one is written to the run's folder.
        """
        root_cause.note(self._run_dir, fault)
        self._fault = self._fault or fault
        self._found.set()
        self._stopped.set()

    def stop(self) -> None:
        """Ends the watch. After a fault, the grace period goes on."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_s):
            try:
                fault = next(filter(None, (probe.fault() for probe in self.probes)), "") or self._overdue()
            except Exception as error:  # a run that nobody watches must not go on
                logger.exception("the watch of the run failed")
                fault = f"the watch of the run failed: {describe(error)}"
            if fault:
                logger.error("the run ends: %s", fault)
                self.fail(fault)
        if self._fault:
            time.sleep(self._grace_s)
            logger.critical("the run did not end within %g s after its fault: this process exits", self._grace_s)
            os._exit(1)

    def _overdue(self) -> str:
        if self._allowed is None:
            return ""
        what, seconds, end = self._allowed
        return f"{what} took longer than its deadline of {seconds:g} s" if time.monotonic() > end else ""
