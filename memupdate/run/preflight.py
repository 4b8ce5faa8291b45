"""Checks before a memory run starts: of its config, its tools, its data and this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from memupdate.checks import check_at_least, check_choice, check_mapping
from memupdate.errors import DataError, FieldError
from memupdate.platform.checking.run import check_run
from memupdate.platform.config import check_model, check_ports, one_line
from memupdate.platform.screen import printed_to
from memupdate.run.prompt_checks import check_prompts

if TYPE_CHECKING:
    from memupdate.rewards.config import RewardConfig

logger = logging.getLogger(__name__)

# A local run on one rank takes about 5 GiB (trainer, SGLang, Ray, verl's actors). This adds 1 GiB as a margin.
LOCAL_MEMORY_GIB = 6.0
TOOLS_FIELD = "actor_rollout_ref.rollout.multi_turn.tool_config_path"


def validate(config: DictConfig) -> None:
    """Checks a run's config, its tools and its data. Starts nothing.

    Raises:
        FieldError: a field is missing or has a value that is not allowed.
        DataError: a preprocessed file cannot be read or has schema errors.
        ConfigError: verl refuses the config.
    """
    check_episode(config)  # first: the names of other fields depend on it
    missing = OmegaConf.missing_keys(config)
    ours = sorted(key for key in missing if key.startswith(("memory.", "actor_rollout_ref.model.path")))
    if ours:
        raise FieldError(ours[0], "???", "a value: this profile leaves it to you")
    check_run(config, "memory", "memory_grpo_base")
    check_memory_section(config)
    check_model(str(config.actor_rollout_ref.model.path))
    check_tools(Path(config.actor_rollout_ref.rollout.multi_turn.tool_config_path))
    check_data(config)
    check_prompts(config)


def check_episode(config: DictConfig) -> None:
    """Raises FieldError unless ``memory.episode`` is a kind of episodes."""
    from memupdate.data.episodes import EPISODES

    check_choice("memory.episode", config.memory.get("episode"), EPISODES)


def check_memory_section(config: DictConfig) -> None:
    """Checks the settings in ``memory.*`` of memory runs alone: replies, journal, embedder, reward and scorer.

    Raises:
        FieldError: a field has a value that is not allowed.
    """
    from memupdate.broker.journal_folders import journal_folders
    from memupdate.memory.embedders import check_embedder
    from memupdate.rewards.scorers import check_scorer
    from memupdate.run.reward_checks import check_reward_of_episodes

    memory = config.memory
    check_at_least("memory.tool_response_tokens", memory.tool_response_tokens, 16)
    check_at_least("memory.ladder_episodes", memory.ladder_episodes, 0)
    journal_folders(memory.journal_dir, memory.broker_shards)
    with _fields_of("memory"):
        check_embedder(memory.embedder)
        reward = _reward_of(config)
        scorer = reward.scorer
        check_scorer(scorer)
    check_reward_of_episodes(reward, memory.episode)
    if scorer.name == "judge":
        _check_judge(scorer.options)


def _check_judge(options: Mapping[str, object]) -> None:
    """Checks that the judge can answer: from its cache, or with a key for the endpoint."""
    from memupdate.rewards.chat_endpoint import API_KEY_VARIABLE
    from memupdate.rewards.judge import JudgeScorer

    judge = JudgeScorer.check_options(options)
    if Path(judge.cache).is_file():
        return  # it may hold every reply that the run needs
    if judge.offline:
        allowed = "a file of replies that exists, because offline is true"
        raise FieldError("memory.reward.scorer.cache", judge.cache, allowed)
    if not os.environ.get(API_KEY_VARIABLE):
        allowed = "a key in the environment for the judge's endpoint (any text for an endpoint that checks none)"
        raise FieldError(API_KEY_VARIABLE, "", allowed)


@contextmanager
def _fields_of(section: str) -> Iterator[None]:
    """Puts the section before the field of an error, as the user writes it in an override."""
    try:
        yield
    except FieldError as error:
        dotted = error.field if " " in error.field else f"{section}.{error.field}"
        raise FieldError(dotted, error.value, error.allowed) from error


def check_tools(path: Path) -> list[str]:
    """Checks that every class in a tool file can be imported and that verl accepts its schema.

    Returns:
        The names of the tools.

    Raises:
        FieldError: there is no such file, a class does not exist, or verl or the tool refuses a schema.
    """
    if not path.is_file():
        raise FieldError(TOOLS_FIELD, str(path), "a YAML file with a list `tools`")
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    entries = (content.get("tools") or []) if isinstance(content, dict) else []
    if not isinstance(entries, list):
        raise FieldError(f"{path.name}: tools", entries, "a list of tools")
    names = [_check_tool(entry, f"{path.name}: tools[{number}]") for number, entry in enumerate(entries)]
    if not names:
        raise FieldError(TOOLS_FIELD, str(path), "at least one tool")
    return names


def _check_tool(entry: object, place: str) -> str:
    """Checks one entry of a tool file and returns the tool's name."""
    from pydantic import ValidationError
    from verl.tools.schemas import OpenAIFunctionToolSchema
    from verl.utils.import_utils import load_class_from_fqn

    from memupdate.tools.verl_tools import MemoryTool

    if not isinstance(entry, Mapping):
        raise FieldError(place, entry, "a mapping with class_name, config and tool_schema")
    try:
        kind = load_class_from_fqn(str(entry["class_name"]), "tool")
    except (ImportError, AttributeError, ValueError, KeyError) as error:
        raise FieldError(f"{place}.class_name", entry.get("class_name"), f"an importable class ({error})") from error
    try:
        schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
    except (ValidationError, KeyError) as error:
        raise FieldError(f"{place}.tool_schema", entry.get("tool_schema"), one_line(error)) from error
    settings = check_mapping(f"{place}.config", entry.get("config") or {}, "a mapping")
    if isinstance(kind, type) and issubclass(kind, MemoryTool):  # others may start processes when they are made
        with printed_to(logger):
            kind(dict(settings), schema)
    return str(schema.function.name)


def check_data(config: DictConfig) -> None:
    """Checks the preprocessed files if they exist. In a dry run they may not exist yet.

    Raises:
        DataError: a file cannot be read, or the files have schema errors. The message contains the first schema error
            and the number of errors.
        FieldError: ``memory.episode`` is ``session`` and a file of session episodes that the run reads has no rows, or
            the reward does not fit the data.
    """
    from memupdate.data.check_preprocessed import check_preprocessed
    from memupdate.data.episodes import SESSION
    from memupdate.run.reward_checks import check_reward_of_data

    data_dir = Path(config.memory.data_dir)
    if not data_dir.exists():
        return
    report = check_preprocessed(data_dir)
    errors = report.schema_errors
    if errors:
        raise DataError(f"{errors[0]} ({len(errors)} schema errors; memupdate check-data --preprocessed {data_dir})")
    if config.memory.episode == SESSION:
        _check_session_rows(config, report.session_rows)
    if _reads_the_folder(config):
        check_reward_of_data(_reward_of(config), config.memory.episode, data_dir)


def _reads_the_folder(config: DictConfig) -> bool:
    """Whether the run reads the rows of its data folder, and not files that an override names."""
    return all(Path(str(files)).parent == Path(config.memory.data_dir) for files in _row_files(config))


def _row_files(config: DictConfig) -> tuple[object, object]:
    return config.data.train_files, config.data.val_files


def _reward_of(config: DictConfig) -> RewardConfig:
    """Returns the reward of a config. Raises FieldError for a field that is not allowed."""
    from memupdate.rewards.config import RewardConfig

    reward = OmegaConf.to_container(config.memory.reward, resolve=True)
    assert isinstance(reward, dict)
    return RewardConfig.from_mapping({str(name): value for name, value in reward.items()})


def _check_session_rows(config: DictConfig, counts: Mapping[str, int]) -> None:
    """Checks that the files of session episodes have rows, unless the config names other files."""
    from memupdate.data.episodes import QUESTION, SESSION
    from memupdate.data.layout import session_rows_path

    for split, files in (("train", config.data.train_files), ("test", config.data.val_files)):
        path = session_rows_path(config.memory.data_dir, split)
        if files == str(path) and not counts[split]:
            allowed = f"{QUESTION} with this data: {path} has no rows, because no question cites a turn of a session"
            raise FieldError("memory.episode", SESSION, allowed)


def check_host(config: DictConfig) -> None:
    """Checks that the ports in the config are free and, for a run on a CPU, that there is enough free memory.

    Raises:
        FieldError: a port is in use, or there is too little free memory.
    """
    import psutil

    check_ports(config)
    if config.trainer.device != "cpu":
        return
    free = psutil.virtual_memory().available / 2**30
    if free < LOCAL_MEMORY_GIB:
        raise FieldError("free memory", f"{free:.1f} GiB", f"{LOCAL_MEMORY_GIB:.0f} GiB or more for the local profile")
