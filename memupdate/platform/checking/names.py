"""Checks of names that verl looks up while a run starts or trains."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from memupdate.checks import check_choice
from memupdate.errors import FieldError
from memupdate.platform.checking.fields import ACTOR, ROLLOUT, value_of
from memupdate.platform.config import one_line
from memupdate.platform.screen import printed_to

logger = logging.getLogger(__name__)

# The package of each logger that needs one.
LOGGER_PACKAGES = {
    **{name: name for name in ("wandb", "mlflow", "swanlab", "tensorboard", "clearml", "trackio", "rl_insight")},
    "vemlp_wandb": "volcengine_ml_platform",
}
KL_KINDS = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3")
AGENT = f"{ROLLOUT}.agent"


def check_names(config: DictConfig) -> None:
    """Checks the names of trainer, loggers, losses, agent loop, tool parser, reward manager and sampler.

    Raises:
        FieldError: verl would not find what a name stands for.
    """
    check_choice("trainer.v1.trainer_mode", config.trainer.v1.trainer_mode, ("sync",))
    check_choice("trainer.device", config.trainer.device, ("cpu", "cuda"))
    _check_resume(config)
    _check_loggers(config)
    _check_losses(config)
    _check_agent_loop(config)
    _check_parser(config)
    _check_reward_manager("reward.reward_manager", config.reward.reward_manager)
    sampler = config.trainer.v1.sampler.custom_sampler
    _check_class("trainer.v1.sampler.custom_sampler", sampler.path, sampler.name)


def _check_resume(config: DictConfig) -> None:
    mode = check_choice("trainer.resume_mode", config.trainer.resume_mode, ("auto", "disable", "resume_path"))
    folder = config.trainer.resume_from_path
    if mode == "resume_path" and not (isinstance(folder, str) and Path(folder).is_dir() and "global_step_" in folder):
        raise FieldError("trainer.resume_from_path", folder, "a folder global_step_N that exists")


def _check_loggers(config: DictConfig) -> None:
    from verl.utils.tracking import Tracking

    field, asked = "trainer.logger", config.trainer.logger
    for name in [asked] if isinstance(asked, str) else asked or []:
        check_choice(field, name, Tracking.supported_backend)
        package = LOGGER_PACKAGES.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            raise FieldError(field, name, f"a logger whose package is installed; {package} is not")


def _check_losses(config: DictConfig) -> None:
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY

    known = [name for name in ADV_ESTIMATOR_REGISTRY if name != "gae" or config.critic.enable]
    check_choice("algorithm.adv_estimator", config.algorithm.adv_estimator, known)
    actor = config.actor_rollout_ref.actor
    check_choice(f"{ACTOR}.policy_loss.loss_mode", actor.policy_loss.loss_mode, POLICY_LOSS_REGISTRY)
    kinds = [*KL_KINDS, *(f"{kind}+" for kind in KL_KINDS)]
    check_choice(f"{ACTOR}.kl_loss_type", actor.kl_loss_type, kinds)


def _check_agent_loop(config: DictConfig) -> None:
    """Checks the agent loop, which is one of verl's or an entry of the file ``agent_loop_config_path``."""
    from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
    from verl.utils.import_utils import load_class_from_fqn

    places: dict[str, str] = {name: entry["_target_"] for name, entry in _agent_loop_registry.items()}
    places.update(_agent_loops_of_file(value_of(config, f"{AGENT}.agent_loop_config_path")))
    name = check_choice(f"{AGENT}.default_agent_loop", value_of(config, f"{AGENT}.default_agent_loop"), places)
    try:
        load_class_from_fqn(places[name], "agent loop")
    except (ImportError, AttributeError, ValueError) as error:
        raise FieldError(f"agent loop {name!r}", places[name], f"a class that can be imported ({error})") from error


def _agent_loops_of_file(path: object) -> dict[str, str]:
    from verl.utils.import_utils import resolve_config_path

    if path is None:
        return {}
    field, allowed = f"{AGENT}.agent_loop_config_path", "null, or a YAML file with a list of agent loops"
    try:
        content = OmegaConf.to_container(OmegaConf.load(resolve_config_path(str(path))))
    except (OSError, YAMLError) as error:
        raise FieldError(field, path, allowed) from error
    if (
        not isinstance(content, list)
        or not content
        or not all(isinstance(entry, Mapping) and {"name", "_target_"} <= entry.keys() for entry in content)
    ):
        raise FieldError(field, path, f"{allowed}, each with name and _target_")
    return {str(entry["name"]): str(entry["_target_"]) for entry in content}


def _check_parser(config: DictConfig) -> None:
    """Checks the tool parser. The import of the agent loop must have registered it."""
    from verl.experimental.agent_loop.tool_parser import ToolParser

    if value_of(config, f"{ROLLOUT}.multi_turn.enable"):
        field = f"{ROLLOUT}.multi_turn.format"
        check_choice(field, value_of(config, field), ToolParser._registry)


def _check_reward_manager(field: str, manager: DictConfig) -> None:
    """Checks the reward manager, which is one of verl's or a class in a module."""
    from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER

    if check_choice(f"{field}.source", manager.source, ("importlib", "register")) == "register":
        check_choice(f"{field}.name", manager.name, REWARD_MANAGER)
        return
    if not manager.module.path:
        raise FieldError(f"{field}.module.path", manager.module.path, "pkg://a.module, or a Python file")
    _check_class(field, manager.module.path, manager.name)


def _check_class(field: str, path: str | None, name: str | None) -> None:
    from verl.utils.import_utils import load_extern_object

    if path is None and name is None:
        return
    try:
        with printed_to(logger):  # verl warns of each engine that is not installed
            load_extern_object(str(path), str(name))
    except Exception as error:
        raise FieldError(field, f"{path}:{name}", f"a class that can be imported ({one_line(error)})") from error
