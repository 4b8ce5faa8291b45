"""The settings of the project's rollout servers in ``rollout.engine_kwargs.memupdate``."""

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
        snapshot_dir: the folder of policy snapshots. In a tmpfs, snapshots are almost free.
        max_restarts: how often Ray restarts a dead server before its callers get an error.
        request_timeout_s: seconds after which a request or a weight load counts as hung.
        poll_s: seconds between two checks of the server's child processes.
        threads: CPU threads of the server.
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
            FieldError: the config has an unknown setting.
        """
        given: Mapping[str, Any] = dict(rollout_config.engine_kwargs.get("memupdate") or {})
        return build_options(cls, given, SECTION)
