"""Checks that verl resolves this project's reward manager, in this process and in a Ray worker. It changes no file.

    python patch_reward_loading.py

The name dates from a time when a file of verl had to be patched. verl now has a config setting for this, and
configs/memory_grpo_base.yaml uses it. This program checks that the setting works on top of verl's defaults. It exits
with code 0 if verl finds the class in both places, and with code 1 otherwise.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

OVERRIDES = (
    "reward.reward_manager.source=importlib",
    "reward.reward_manager.name=MemoryRewardManager",
    "reward.reward_manager.module.path=pkg://memupdate.rewards.manager",
)


def resolve(overrides: tuple[str, ...] = OVERRIDES) -> str:
    """Makes verl resolve the reward manager of its default config with ``overrides``.

    Returns:
        The qualified name of the class, its file, and verl's version.

    Raises:
        TypeError: the resolved object is not a reward manager.
        Exception: verl or hydra cannot resolve it.
    """
    import verl
    from hydra import compose, initialize_config_module
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
    from verl.trainer.ppo.reward import resolve_reward_manager_cls

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=list(overrides))
    found = resolve_reward_manager_cls(config)
    if not (isinstance(found, type) and issubclass(found, RewardManagerBase)):
        raise TypeError(f"{found!r} is not a reward manager: it does not derive from verl's RewardManagerBase")
    return f"{found.__module__}.{found.__qualname__} ({inspect.getfile(found)}), verl {verl.__version__}"


def resolve_in_ray_worker(overrides: tuple[str, ...] = OVERRIDES) -> str:
    """Runs ``resolve`` in a Ray worker process, as verl's reward workers do."""
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        worker: Any = ray.remote(num_cpus=0)(resolve)
        answer: str = ray.get(worker.remote(overrides))
        return answer
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    finally:
        if started_here:
            ray.shutdown()


def report(place: str, resolving: Callable[[], str], out: Any) -> bool:
    """Calls ``resolving`` and writes its result or its error. Returns whether it succeeded."""
    try:
        out.write(f"{place}: {resolving()}\n")
    except Exception as error:  # noqa: BLE001  this program reports the error
        out.write(f"{place}: not resolved: {type(error).__name__}: {error}\n")
        return False
    return True


def main(overrides: tuple[str, ...] = OVERRIDES) -> int:
    """Checks both places, even if the first check fails, and returns the exit code."""
    for override in overrides:
        sys.stdout.write(f"  {override}\n")
    found = [
        report("driver", lambda: resolve(overrides), sys.stdout),
        report("Ray worker", lambda: resolve_in_ray_worker(overrides), sys.stdout),
    ]
    sys.stdout.write(
        "verl resolves the reward manager\n" if all(found) else "verl does not resolve the reward manager\n"
    )
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
