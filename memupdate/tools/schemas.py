"""The tools' schemas, as the tool file gives them to verl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from memupdate.errors import DataError
from memupdate.files import CONFIGS

TOOL_FILE = CONFIGS / "tool_config" / "memory_tools.yaml"


def tool_schemas(path: Path = TOOL_FILE) -> list[dict[str, Any]]:
    """The OpenAI function schemas in a tool file, in its order.

    Raises:
        DataError: there is no such file, or it has no tools with schemas.
    """
    try:
        tools = yaml.safe_load(path.read_text(encoding="utf-8"))["tools"]
        return [tool["tool_schema"] for tool in tools]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected verl's tool file, a list `tools` with a tool_schema each: {error}"
        ) from error
