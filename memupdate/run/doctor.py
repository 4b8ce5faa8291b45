"""``memupdate doctor``: checks whether this machine is ready for a run and reports one line per finding."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memupdate.errors import MemupdateError
from memupdate.files import LOCKS
from memupdate.platform.config import one_line
from memupdate.platform.verl_private import OVERRIDDEN_METHODS, changed_signatures
from memupdate.run.preflight import LOCAL_MEMORY_GIB, check_tools
from memupdate.run.profiles import compose_profile

# The packages that a run uses directly. The other packages in the lock are their dependencies.
WATCHED = ("torch", "verl", "ray", "sglang", "transformers", "peft", "tensordict", "numpy", "wandb", "hydra-core")
FREE_DISK_GIB = 5.0


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was checked.
        ok: whether it is as it should be.
        found: what was found.
    """

    subject: str
    ok: bool
    found: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.ok else 'FAULT'} {self.subject}: {self.found}"


def locked_versions(lock: Path) -> dict[str, str]:
    """Returns the pinned versions in a requirements file by package name."""
    pins = re.findall(r"^([A-Za-z0-9_.\-]+)==([^\s;#]+)", lock.read_text(), flags=re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


def check_versions(lock: Path) -> Iterator[Finding]:
    """Compares the installed versions with those of a lock file."""
    pins = locked_versions(lock)
    for name in WATCHED:
        wanted = pins.get(name)
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            yield Finding(f"version of {name}", False, f"not installed; {lock.name} pins {wanted}")
            continue
        note = "" if found == wanted else f"; {lock.name} pins {wanted}"
        yield Finding(f"version of {name}", found == wanted, found + note)


def check_device() -> Iterator[Finding]:
    """Reports the devices, and whether verl found the expected platform."""
    import torch
    import verl  # noqa: F401  loads the platform plug-in
    from verl.utils.device import get_device_name

    found = get_device_name()
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.cuda.device_count() if wanted == "cuda" else os.cpu_count()
    yield Finding("devices", True, f"{count} {'GPUs' if wanted == 'cuda' else 'cores'}, torch {torch.__version__}")
    yield Finding("verl platform", found == wanted, f"{found} (expected {wanted})")


def check_private_names() -> Iterator[Finding]:
    """Checks that verl's private methods that the project overrides have the expected signatures."""
    changes = changed_signatures()
    found = "; ".join(changes) or f"{len(OVERRIDDEN_METHODS)} methods as expected"
    yield Finding("verl's private methods", not changes, found)


def check_rollouts(profile: str) -> Iterator[Finding]:
    """Checks the rollout engine, the reward manager and the tools that verl resolves for a profile."""
    from verl.trainer.ppo.reward import resolve_reward_manager_cls
    from verl.workers.rollout.base import get_rollout_class
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    import memupdate.platform.plugin  # noqa: F401  registers the project's rollouts

    config = compose_profile(
        profile, ["memory.run_dir=none", "memory.data_dir=none", "actor_rollout_ref.model.path=none"]
    )
    name = config.actor_rollout_ref.rollout.name
    replica = RolloutReplicaRegistry.get(name)
    sender = get_rollout_class(name)
    yield Finding("rollout", True, f"{name}: {replica.__name__}, weights by {sender.__name__}")
    manager = resolve_reward_manager_cls(config)
    yield Finding(
        "reward manager", manager.__name__ == "MemoryRewardManager", f"{manager.__module__}.{manager.__name__}"
    )
    tools = check_tools(Path(config.actor_rollout_ref.rollout.multi_turn.tool_config_path))
    yield Finding("tools", len(tools) == 6, ", ".join(tools))


def check_sglang() -> Iterator[Finding]:
    """Checks that SGLang can be imported in the environment of the server."""
    import subprocess

    import torch

    from memupdate.platform.rollout.settings import ServerSettings
    from memupdate.platform.rollout.sglang_cpu import sglang_environment

    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment |= sglang_environment(ServerSettings())
    command = [sys.executable, "-c", "import sglang.srt.entrypoints.engine, sglang; print(sglang.__version__)"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    found = lines[-1] if lines else "no output"
    yield Finding("SGLang", done.returncode == 0, f"{found}, imports in a process of its own")


def check_space() -> Iterator[Finding]:
    """Checks the free memory and disk space, and that there is a tmpfs for policy snapshots."""
    import psutil

    free = psutil.virtual_memory().available / 2**30
    yield Finding("free memory", free >= LOCAL_MEMORY_GIB, f"{free:.1f} GiB (a local run needs {LOCAL_MEMORY_GIB:.0f})")
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("free disk", disk >= FREE_DISK_GIB, f"{disk:.1f} GiB here (a local run needs {FREE_DISK_GIB:.0f})")
    shared = Path("/dev/shm")
    found = f"{shutil.disk_usage(shared).free / 2**20:.0f} MiB" if shared.is_dir() else "missing"
    yield Finding("/dev/shm", shared.is_dir(), f"{found}, for policy snapshots")


def examine(profile: str, lock: Path | None = None) -> Iterator[Finding]:
    """Runs all checks and yields their findings. A check that raises an error becomes a finding that is not ok.

    Args:
        profile: ``local`` or ``cluster``.
        lock: the requirements file with the expected versions; None for that of the profile.
    """
    lock = lock or LOCKS / ("requirements-cpu.txt" if profile == "local" else "requirements-gpu.txt")
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", lambda: check_versions(lock)),
        ("devices", check_device),
        ("verl's private methods", check_private_names),
        ("verl", lambda: check_rollouts(profile)),
        ("SGLang", check_sglang),
        ("space", check_space),
    ]
    for subject, check in checks:
        try:
            yield from check()
        except (MemupdateError, ImportError, OSError, ValueError, AttributeError) as error:
            yield Finding(subject, False, one_line(error))
