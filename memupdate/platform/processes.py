"""The environment of a run's processes, and the connection to Ray that passes it on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig, OmegaConf

from memupdate.errors import FieldError
from memupdate.files import write_atomically
from memupdate.platform import lease, stopping
from memupdate.platform.batch_invariant import BATCH_INVARIANT

ENV_VARS = "ray_kwargs.ray_init.runtime_env.env_vars"
SETUP_HOOK = "worker_process_setup_hook"
WANDB_ID = "wandb-id"
# An environment variable, because verl passes only its own config sections to its workers.
TRAINER_THREADS = "MEMUPDATE_TRAINER_THREADS"


class ProcessSettings(Protocol):
    """The settings that all processes of a run need, from the run's config section.

    Attributes:
        threads: OMP threads per process.
        trainer_threads: torch threads per training worker.
        batch_invariant: whether to sum fp32 products in float64 on a CPU.
        run_dir: the run's folder.
        forward_env: patterns of the names of variables that the driver passes on from its own environment.
    """

    threads: int
    trainer_threads: int
    batch_invariant: bool
    run_dir: str
    forward_env: Sequence[str]


# Variables that a setting of the run determines. The user changes the setting and not the variable.
SETTINGS_OF = {TRAINER_THREADS: "trainer_threads", BATCH_INVARIANT: "batch_invariant"}


def environment(settings: ProcessSettings) -> dict[str, str]:
    """Returns the environment variables of the driver. Ray passes them to every process of the run.

    Args:
        settings: the run's config section.
    """
    threads = str(settings.threads)
    variables = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        TRAINER_THREADS: str(settings.trainer_threads),
        BATCH_INVARIANT: str(int(settings.batch_invariant)),
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HYDRA_FULL_ERROR": "1",
        "WANDB_DIR": str(settings.run_dir),
        "WANDB_MODE": os.environ.get("WANDB_MODE", "offline"),
        "WANDB_RESUME": os.environ.get("WANDB_RESUME", "allow"),
        "WANDB_RUN_ID": wandb_id(Path(settings.run_dir)),
    }
    return variables | {name: os.environ[name] for name in (lease.TOKEN, stopping.END_AT) if name in os.environ}


def wandb_id(run_dir: Path) -> str:
    """Returns the id of the run at W&B. Every start of the run has the same, so that W&B shows one run.

    The first start takes ``WANDB_RUN_ID``, or a new id, and writes it to the run's folder.
    """
    path = run_dir / WANDB_ID
    if not path.is_file():
        run_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(path, os.environ.get("WANDB_RUN_ID", uuid.uuid4().hex[:8]) + "\n")
    return path.read_text().strip()


def users_variables(config: DictConfig, section: str) -> dict[str, str]:
    """Returns the variables that the user sets for all processes in ``ray_init.runtime_env.env_vars``.

    Args:
        config: the whole config.
        section: the name of the config section with the run's settings.

    Raises:
        FieldError: a variable is set that a setting of the run determines, or a hook is set that the run needs.
    """
    runtime_env = OmegaConf.to_container(config.ray_kwargs.ray_init.runtime_env, resolve=True)
    assert isinstance(runtime_env, dict)
    given = {str(name): str(value) for name, value in (runtime_env.get("env_vars") or {}).items()}
    for name, setting in SETTINGS_OF.items():
        if name in given:
            raise FieldError(f"{ENV_VARS}.{name}", given[name], f"the setting {section}.{setting} instead")
    for name in (lease.TOKEN, stopping.END_AT):
        if name in given:
            raise FieldError(f"{ENV_VARS}.{name}", given[name], "no value: the run sets it")
    if SETUP_HOOK in runtime_env:
        raise FieldError(
            f"ray_kwargs.ray_init.runtime_env.{SETUP_HOOK}", runtime_env[SETUP_HOOK], "none: the run has one"
        )
    return given


def forwarded(patterns: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables whose names match one of the patterns, such as ``WANDB_*``."""
    return {name: value for name, value in variables.items() if any(fnmatchcase(name, one) for one in patterns)}


def setting_of(values: Mapping[str, str]) -> Callable[[], None]:
    """Returns a function that sets variables in the process that calls it."""

    def set_variables() -> None:
        import os

        os.environ.update(values)

    return set_variables


def start_ray(config: DictConfig, section: str) -> None:
    """Starts Ray, or connects to a running cluster, with the environment of the run.

    verl would do it, but writes all variables to its output. Here, what is forwarded from the environment may be
    secret. It goes to the workers as a function that they call first, and so it is in no config and in no log.

    Args:
        config: a complete config.
        section: the name of the config section with the run's settings.

    Raises:
        FieldError: see :func:`users_variables`.
    """
    import ray
    from verl.trainer.constants_ppo import get_ppo_ray_runtime_env

    settings = config[section]
    given, ours = users_variables(config, section), environment(settings)
    os.environ.update(ours)
    if config.actor_rollout_ref.rollout.full_determinism:  # as in verl's run_ppo
        seed = str(config.actor_rollout_ref.rollout.seed)
        os.environ.update(VERL_FULL_DETERMINISM="1", VLLM_BATCH_INVARIANT="1", PYTHONHASHSEED=seed)
    passed = ours | given
    others = {name: value for name, value in forwarded(settings.forward_env, os.environ).items() if name not in passed}
    section_of_ray = OmegaConf.to_container(config.ray_kwargs.ray_init, resolve=True)
    assert isinstance(section_of_ray, dict)
    options = {str(name): value for name, value in section_of_ray.items()}
    defaults = get_ppo_ray_runtime_env(config)
    runtime_env = {**defaults, **(options.pop("runtime_env", None) or {})}
    runtime_env["env_vars"] = defaults["env_vars"] | passed
    ray.init(**options, runtime_env={**runtime_env, SETUP_HOOK: setting_of(others)})
