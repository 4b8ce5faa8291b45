"""How long a rollout and a step of a run may take, and how many rollouts of a step may fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memupdate.checks import check_positive_number
from memupdate.errors import FieldError, MemupdateError


class TrajectoryDeadlineError(MemupdateError):
    """A rollout took longer than the config allows."""


class LostRolloutsError(MemupdateError):
    """More rollouts of a step failed than the config allows. The message contains the first cause."""


@dataclass(frozen=True)
class Limits:
    """The limits of a run, from its config section.

    Attributes:
        trajectory_deadline_s: seconds for one rollout, its reward included. A rollout that takes longer fails.
        step_deadline_s: seconds for one training step. A step that takes longer ends the run. A validation has this
            time for every part of it that is as large as a training step.
        max_failed_rollouts: the largest share of a step's rollouts that may fail. More of them end the run.
    """

    trajectory_deadline_s: float
    step_deadline_s: float
    max_failed_rollouts: float

    @classmethod
    def of(cls, settings: Any, section: str) -> Limits:
        """Reads the limits from a run's config section.

        Args:
            settings: the section.
            section: its name, for errors.

        Raises:
            FieldError: a limit is missing or not allowed.
        """
        names = ("trajectory_deadline_s", "step_deadline_s")
        trajectory, step = (check_positive_number(f"{section}.{name}", settings.get(name)) for name in names)
        if step < trajectory:
            allowed = f"at least {section}.trajectory_deadline_s, {trajectory:g}"
            raise FieldError(f"{section}.step_deadline_s", step, allowed)
        share = settings.get("max_failed_rollouts")
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share < 1:
            raise FieldError(f"{section}.max_failed_rollouts", share, "a share from 0 to less than 1")
        return cls(trajectory, step, float(share))
