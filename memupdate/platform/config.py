"""Composes, checks, saves and loads the config of a run. The checks are verl's and those common to all GRPO runs."""

from __future__ import annotations

import difflib
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memupdate.checks import check_at_least
from memupdate.errors import FieldError, MemupdateError
from memupdate.files import CONFIGS, write_atomically
from memupdate.platform.screen import printed_to

logger = logging.getLogger(__name__)


class ConfigError(MemupdateError):
    """The config cannot be composed or is invalid. The message is that of hydra or verl, in one line."""


def config_names() -> list[str]:
    """Returns the names of the config files that :func:`compose` accepts."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """Composes a config file with hydra overrides.

    Args:
        name: the name of a file in ``configs/``, without ``.yaml``.
        overrides: hydra overrides, such as ``trainer.total_training_steps=5``.

    Raises:
        FieldError: there is no such config file.
        ConfigError: hydra refuses an override, for example because it names an unknown key.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    if name not in config_names():
        raise FieldError("config", name, "one of " + ", ".join(config_names()))
    os.environ["MEMUPDATE_CONFIGS"] = str(CONFIGS)  # config files name other files as ${oc.env:MEMUPDATE_CONFIGS}/...
    with initialize_config_dir(config_dir=str(CONFIGS), version_base=None):
        try:
            config = hydra_compose(name, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(one_line(error) + _nearest_key(name, str(error))) from error
    return config


def _nearest_key(name: str, message: str) -> str:
    """Returns a text with the known keys that are most similar to the unknown key in hydra's message."""
    from hydra import compose as hydra_compose

    asked = re.search(r"Could not override '([^']+)'", message)
    if asked is None:
        return ""
    known = list(_dotted(OmegaConf.to_container(hydra_compose(name), resolve=False), ""))
    near = difflib.get_close_matches(asked[1], known, n=3, cutoff=0.6)
    return f"; allowed, and near: {', '.join(near)}" if near else "; allowed: a key of the resolved config (--dry-run)"


def _dotted(section: object, path: str) -> Iterator[str]:
    """Yields the dotted name of every key below a section."""
    if path:
        yield path
    if isinstance(section, Mapping):
        for key, value in section.items():
            yield from _dotted(value, f"{path}.{key}" if path else str(key))


def one_line(error: BaseException) -> str:
    """Returns the message of an error and of its cause, without line breaks."""
    parts = [str(error)]
    if error.__cause__ is not None and str(error.__cause__) not in parts[0]:
        parts.append(str(error.__cause__))
    return " ".join(" ".join(parts).split())


def check_engine(config: DictConfig) -> None:
    """Runs verl's checks of the config and redirects verl's output to the log.

    Raises:
        ConfigError: verl refuses the config.
    """
    from hydra.errors import HydraException
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    try:
        with printed_to(logger):
            for section in (config.algorithm, config.actor_rollout_ref.rollout):
                omega_conf_to_dataclass(section)  # validate_config does so only for the actor
            validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    except (AssertionError, ValueError, NotImplementedError, OmegaConfBaseException, HydraException) as error:
        raise ConfigError(one_line(error)) from error


def check_training(config: DictConfig, section: str) -> None:
    """Checks the settings of the platform's trainer, and that GRPO has groups of at least two rollouts.

    Args:
        config: the whole config.
        section: the name of the config section with the run's settings.

    Raises:
        FieldError: a number is too small, or ``batch_invariant`` is set on a device where it has no effect.
    """
    settings = config[section]
    for name, least in (("checkpoints_to_keep", 2), ("threads", 1), ("trainer_threads", 1)):
        check_at_least(f"{section}.{name}", settings[name], least)
    rollouts = config.actor_rollout_ref.rollout.n
    if rollouts < 2:
        raise FieldError("actor_rollout_ref.rollout.n", rollouts, "2 or more: a group of one has no baseline")
    check_batch_invariant(config, section)


def check_batch_invariant(config: DictConfig, section: str) -> None:
    """Raises FieldError unless ``batch_invariant`` is a boolean, and false on any device but a CPU."""
    asked, device = config[section].batch_invariant, config.trainer.device
    if not isinstance(asked, bool) or (asked and device != "cpu"):
        allowed = f"false with trainer.device={device}, also true with cpu"
        raise FieldError(f"{section}.batch_invariant", asked, allowed)


def check_model(path: str) -> None:
    """Checks that a local model folder has a tokenizer with a chat template.

    A name on a model hub is not checked, because that would need a network.

    Raises:
        FieldError: the folder has no model, or the tokenizer has no chat template.
    """
    folder = Path(path).expanduser()
    if not folder.exists() and path.count("/") == 1 and not path.startswith((".", "/", "~")):
        return  # owner/name on a hub
    field = "actor_rollout_ref.model.path"
    if not (folder / "config.json").is_file():
        raise FieldError(field, path, "a Hugging Face model folder (config.json) or owner/name")
    from transformers import AutoTokenizer

    if AutoTokenizer.from_pretrained(str(folder)).chat_template is None:
        raise FieldError(field, path, "a model whose tokenizer has a chat template that takes tools")


def ports(section: object, path: str) -> Iterator[tuple[str, int]]:
    """Yields the dotted name and the number of every port that is set in a config section."""
    if isinstance(section, Mapping):
        for key, value in section.items():
            if isinstance(value, int) and not isinstance(value, bool) and str(key).endswith("port") and value > 0:
                yield f"{path}.{key}", value
            else:
                yield from ports(value, f"{path}.{key}")


def check_ports(config: DictConfig) -> None:
    """Checks that every port in the config is free on this machine.

    Raises:
        FieldError: a port is in use.
    """
    for path in ("ray_kwargs", "actor_rollout_ref.rollout.engine_kwargs"):
        section = OmegaConf.to_container(OmegaConf.select(config, path), resolve=True)
        for name, port in ports(section, path):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("", port))
                except OSError as error:
                    raise FieldError(name, port, f"a port that is free ({error.strerror})") from error


def save(config: DictConfig, path: Path) -> None:
    """Writes the resolved config to a file. Creates the file's folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, OmegaConf.to_yaml(config, resolve=True))


def load(path: Path) -> DictConfig:
    """Reads a resolved config file, such as :func:`save` writes."""
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    OmegaConf.set_struct(loaded, True)
    return loaded
