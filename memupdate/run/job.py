"""The description of a job, and the choice of its folder."""

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
    """The inputs of a run.

    Attributes:
        profile: ``local``, ``cluster``, or the name of a config file.
        locomo: a LoCoMo JSON file; None for the generated corpus.
        runs: the folder of all runs and of the files that they share.
        run_dir: this run's folder; None to resume the last run if it is unfinished and has the same inputs, or to start
            a new one otherwise.
        overrides: hydra overrides.
        policy: the settings of the tiny policy.
    """

    profile: str
    locomo: Path | None
    runs: Path
    run_dir: Path | None = None
    overrides: tuple[str, ...] = ()
    policy: PolicySettings = field(default_factory=PolicySettings)

    @property
    def shared(self) -> Path:
        """The folder of the files that runs share: corpora, preprocessed data, warm-started policies."""
        return self.runs / "shared"

    @property
    def makes_policy(self) -> bool:
        """Whether the run makes the tiny policy. This is so in the local profile without an override of the model."""
        return self.profile == "local" and not any(one.startswith(f"{MODEL_PATH}=") for one in self.overrides)


def choose_run_dir(job: Job) -> Path:
    """Returns the folder of the last run if that run is unfinished and of the same job, and a new folder otherwise.

    So starting a job again resumes it until it is finished.
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
    """Writes ``job.json`` to the run's folder, so that :func:`choose_run_dir` can recognize the job."""
    write_atomically(run_dir / "job.json", json.dumps(_identity(job)))


def _identity(job: Job) -> dict[str, Any]:
    return {
        "profile": job.profile,
        "locomo": None if job.locomo is None else file_digest(job.locomo),
        "overrides": list(job.overrides),
        "policy": job.policy.to_dict(),
    }
