"""Composing and checking a run's config: hydra, verl's own validation, and what only this project can know."""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memupdate.errors import DataError, FieldError, MemupdateError
from memupdate.files import CONFIGS

PROFILES = {"local": "local_memory_grpo", "cluster": "locomo_memory_grpo"}
# A local run on one rank was seen to take about 5 GiB: trainer, SGLang, Ray and verl's actors. One to spare.
LOCAL_MEMORY_GIB = 6.0


class ConfigError(MemupdateError):
    """A config that does not compose or does not validate; the message is hydra's or verl's, in one line."""


@contextmanager
def configs_on_path() -> Iterator[None]:
    """Names the configs folder for the config files themselves (``${oc.env:MEMUPDATE_CONFIGS}``)."""
    os.environ["MEMUPDATE_CONFIGS"] = str(CONFIGS)
    yield


def compose(profile: str, overrides: Sequence[str]) -> DictConfig:
    """Composes a profile with hydra overrides.

    Args:
        profile: ``local``, ``cluster``, or the name of a config file in ``configs/``.
        overrides: hydra overrides, ``trainer.total_training_steps=5``.

    Raises:
        FieldError: an unknown profile.
        ConfigError: an override that hydra refuses, such as an unknown key.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    name = PROFILES.get(profile, profile)
    if not (CONFIGS / f"{name}.yaml").is_file():
        raise FieldError("profile", profile, "one of " + ", ".join(sorted(PROFILES)) + f", or a file in {CONFIGS}")
    with configs_on_path(), initialize_config_dir(config_dir=str(CONFIGS), version_base=None):
        try:
            config = hydra_compose(name, overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(one_line(error) + _nearest_key(name, str(error))) from error
    return config


def _nearest_key(name: str, message: str) -> str:
    """For an unknown key, the known ones that look like it."""
    from hydra import compose as hydra_compose

    asked = re.search(r"Could not override '([^']+)'", message)
    if asked is None:
        return ""
    known = list(_dotted(OmegaConf.to_container(hydra_compose(name), resolve=False), ""))
    near = difflib.get_close_matches(asked[1], known, n=3, cutoff=0.6)
    return f"; allowed, and near: {', '.join(near)}" if near else "; allowed: a key of the resolved config (--dry-run)"


def _dotted(section: Any, path: str) -> Iterator[str]:
    if path:
        yield path
    if isinstance(section, Mapping):
        for key, value in section.items():
            yield from _dotted(value, f"{path}.{key}" if path else str(key))


def one_line(error: BaseException) -> str:
    """The message of an error and of its cause, without line breaks."""
    parts = [str(error)]
    if error.__cause__ is not None and str(error.__cause__) not in parts[0]:
        parts.append(str(error.__cause__))
    return " ".join(" ".join(parts).split())


def validate(config: DictConfig) -> None:
    """Checks everything that can be checked without starting anything.

    Raises:
        FieldError, DataError, ConfigError: what is wrong, with field, value and what is allowed.
    """
    missing = OmegaConf.missing_keys(config)
    ours = sorted(key for key in missing if key.startswith(("memory.", "actor_rollout_ref.model.path")))
    if ours:
        raise FieldError(ours[0], "???", "a value: this profile leaves it to you")
    check_memory_section(config)
    check_batch_invariant(config)
    check_model(str(config.actor_rollout_ref.model.path), config.trainer.device)
    check_tools(Path(config.actor_rollout_ref.rollout.multi_turn.tool_config_path))
    check_data(config)
    check_engine(config)


def check_engine(config: DictConfig) -> None:
    """verl's own checks.

    Raises:
        ConfigError: what verl refuses, in one line.
    """
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    try:
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    except (AssertionError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from error


def check_memory_section(config: DictConfig) -> None:
    """Checks ``memory.*``, the reward and the scorer settings included."""
    from memupdate.broker.journal_folders import journal_folders
    from memupdate.rewards import RewardConfig

    memory = config.memory
    for name, least in (
        ("checkpoints_to_keep", 2),
        ("tool_response_tokens", 16),
        ("threads", 1),
        ("trainer_threads", 1),
    ):
        if not isinstance(memory[name], int) or memory[name] < least:
            raise FieldError(f"memory.{name}", memory[name], f"{least} or more")
    if config.actor_rollout_ref.rollout.n < 2:
        raise FieldError(
            "actor_rollout_ref.rollout.n",
            config.actor_rollout_ref.rollout.n,
            "2 or more: a group of one has no baseline",
        )
    journal_folders(memory.journal_dir, memory.broker_shards)
    reward: Any = OmegaConf.to_container(memory.reward, resolve=True)
    RewardConfig.from_mapping(reward)


def check_batch_invariant(config: DictConfig) -> None:
    """Checks that ``memory.batch_invariant`` is asked for where it does something: on a CPU."""
    asked, device = config.memory.batch_invariant, config.trainer.device
    if not isinstance(asked, bool) or (asked and device != "cpu"):
        raise FieldError("memory.batch_invariant", asked, f"false with trainer.device={device}, also true with cpu")


def check_model(path: str, device: str) -> None:
    """Checks that a local model folder has a tokenizer with a chat template.

    A name on a model hub cannot be checked without a network and is left to the run.

    Raises:
        FieldError: the folder is no model, or its tokenizer has no chat template.
    """
    folder = Path(path).expanduser()
    if not folder.exists() and path.count("/") == 1 and not path.startswith((".", "/", "~")):
        return  # owner/name on a hub
    if not (folder / "config.json").is_file():
        raise FieldError(
            "actor_rollout_ref.model.path", path, "a Hugging Face model folder (config.json) or owner/name"
        )
    from transformers import AutoTokenizer

    if AutoTokenizer.from_pretrained(str(folder)).chat_template is None:
        raise FieldError(
            "actor_rollout_ref.model.path", path, "a model whose tokenizer has a chat template that takes tools"
        )


def check_tools(path: Path) -> list[str]:
    """Checks that every class of a tool config exists and its schema parses; returns the tools' names.

    Raises:
        FieldError: no such file, class, or a schema that verl refuses.
    """
    from pydantic import ValidationError
    from verl.tools.schemas import OpenAIFunctionToolSchema
    from verl.utils.import_utils import load_class_from_fqn

    field = "actor_rollout_ref.rollout.multi_turn.tool_config_path"
    if not path.is_file():
        raise FieldError(field, str(path), "a YAML file with a list `tools`")
    entries: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    names = []
    for number, entry in enumerate(entries.get("tools") or []):
        place = f"{path.name}: tools[{number}]"
        try:
            load_class_from_fqn(entry["class_name"], "tool")
        except (ImportError, AttributeError, ValueError, KeyError) as error:
            raise FieldError(
                f"{place}.class_name", entry.get("class_name"), f"an importable class ({error})"
            ) from error
        try:
            schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
        except (ValidationError, KeyError) as error:
            raise FieldError(f"{place}.tool_schema", entry.get("tool_schema"), one_line(error)) from error
        names.append(schema.function.name)
    if not names:
        raise FieldError(field, str(path), "at least one tool")
    return names


def check_data(config: DictConfig) -> None:
    """Checks the preprocessed files where they exist already (a dry run may come before preprocessing).

    Raises:
        DataError: a file that cannot be read, or the first schema error and how many there are.
    """
    from memupdate.data.check import check_preprocessed

    data_dir = Path(config.memory.data_dir)
    if data_dir.exists():
        errors = check_preprocessed(data_dir).schema_errors
        if errors:
            raise DataError(
                f"{errors[0]} ({len(errors)} schema errors; memupdate check-data --preprocessed {data_dir})"
            )


def ports(section: Any, path: str) -> Iterator[tuple[str, int]]:
    """Every port number that a section of a config sets, with its dotted name."""
    if isinstance(section, Mapping):
        for key, value in section.items():
            if isinstance(value, int) and not isinstance(value, bool) and str(key).endswith("port") and value > 0:
                yield f"{path}.{key}", value
            else:
                yield from ports(value, f"{path}.{key}")


def check_ports(config: DictConfig) -> None:
    """Checks that no port which the config names is in use on this machine.

    Raises:
        FieldError: one is.
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


def check_host(config: DictConfig) -> None:
    """Checks what the run needs of this machine: ports and memory.

    Raises:
        FieldError: a port is in use, or there is too little free memory for the local profile.
    """
    import psutil

    check_ports(config)
    if config.trainer.device != "cpu":
        return
    free = psutil.virtual_memory().available / 2**30
    if free < LOCAL_MEMORY_GIB:
        raise FieldError("free memory", f"{free:.1f} GiB", f"{LOCAL_MEMORY_GIB:.0f} GiB or more for the local profile")


def save(config: DictConfig, path: Path) -> None:
    """Writes the resolved config."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OmegaConf.to_yaml(config, resolve=True))


def load(path: Path) -> DictConfig:
    """Reads a resolved config that :func:`save` wrote."""
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    OmegaConf.set_struct(loaded, True)
    return loaded
