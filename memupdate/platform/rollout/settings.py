"""The settings of the project's rollout servers, from ``rollout.engine_kwargs.memupdate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memupdate.checks import build_options

SECTION = "actor_rollout_ref.rollout.engine_kwargs.memupdate"


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a rollout server.

    Attributes:
        snapshot_dir: the folder of policy snapshots; in a tmpfs they cost almost nothing.
        max_restarts: how often Ray restarts a server that died before its callers see an error.
        request_timeout_s: seconds after which a request or a weight load counts as a hung engine.
        poll_s: seconds between two looks at the server's child processes.
        threads: torch threads of the server.
    """

    snapshot_dir: str = "/dev/shm"
    max_restarts: int = 3
    request_timeout_s: float = 180.0
    poll_s: float = 0.2
    threads: int = 1

    @classmethod
    def of(cls, rollout_config: Any) -> ServerSettings:
        """Reads the settings from verl's rollout config.

        Raises:
            FieldError: there is no such setting.
        """
        given: Mapping[str, Any] = dict(rollout_config.engine_kwargs.get("memupdate") or {})
        return build_options(cls, given, SECTION)
