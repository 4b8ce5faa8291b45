"""What the project's rollout servers read from ``rollout.engine_kwargs.memupdate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from memupdate.errors import FieldError

SECTION = "actor_rollout_ref.rollout.engine_kwargs.memupdate"


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a rollout server.

    Attributes:
        snapshot_dir: where policy snapshots live; a tmpfs makes them free.
        max_restarts: how often Ray may restart a server that died before its callers see an error.
        request_timeout_s: a request or weight load that takes longer counts as a hung engine.
        poll_s: how often the server looks after its child processes.
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
            FieldError: an unknown setting.
        """
        given: Mapping[str, Any] = dict(rollout_config.engine_kwargs.get("memupdate") or {})
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise FieldError(f"{SECTION}.{name}", given[name], "one of " + ", ".join(known))
        return cls(**given)
