"""What a user asks for, and the folder that it runs in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memupdate.files import write_atomically
from memupdate.policy import PolicySettings
from memupdate.run.keys import file_digest

MODEL_PATH = "actor_rollout_ref.model.path"


@dataclass(frozen=True)
class Job:
    """What a user asks for.

    Attributes:
        profile: ``local`` or ``cluster``.
        locomo: a LoCoMo JSON file; None for the generated corpus (local profile only).
        runs: the folder of all runs and of what they share.
        run_dir: this run's folder; None to resume an unfinished run of the same job or to start a new one.
        overrides: hydra overrides.
        policy: settings of the tiny policy.
    """

    profile: str
    locomo: Path | None
    runs: Path
    run_dir: Path | None = None
    overrides: tuple[str, ...] = ()
    policy: PolicySettings = field(default_factory=PolicySettings)

    @property
    def shared(self) -> Path:
        """The folder of what runs share: corpora, preprocessed data, warm-started policies."""
        return self.runs / "shared"

    @property
    def makes_policy(self) -> bool:
        """Whether the run makes its own tiny policy: the local profile, unless the user names a model."""
        return self.profile == "local" and not any(one.startswith(f"{MODEL_PATH}=") for one in self.overrides)


def choose_run_dir(job: Job) -> Path:
    """Returns the folder of an unfinished run of this job, or a new one.

    Two calls with the same job are one run until it is finished. This is how starting a job again resumes it.
    """
    if job.run_dir is not None:
        return job.run_dir
    earlier = sorted(job.runs.glob(f"{job.profile}-[0-9][0-9][0-9]"))
    if earlier and not (earlier[-1] / "report.json").is_file():
        asked = earlier[-1] / "job.json"
        if asked.is_file() and json.loads(asked.read_text()) == _identity(job):
            return earlier[-1]
    number = int(earlier[-1].name.rsplit("-", 1)[1]) + 1 if earlier else 1
    return job.runs / f"{job.profile}-{number:03d}"


def remember(job: Job, run_dir: Path) -> None:
    """Writes ``job.json`` into the run's folder, by which :func:`choose_run_dir` knows it again."""
    write_atomically(run_dir / "job.json", json.dumps(_identity(job)))


def _identity(job: Job) -> dict[str, Any]:
    return {
        "profile": job.profile,
        "locomo": None if job.locomo is None else file_digest(job.locomo),
        "overrides": list(job.overrides),
        "policy": job.policy.to_dict(),
    }
