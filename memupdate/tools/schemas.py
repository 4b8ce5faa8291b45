"""The tools' OpenAI function schemas, and verl's tool file, which adds the class of each tool.

Both are generated from the table of tools. This command writes verl's tool file::

    python -m memupdate.tools.schemas configs/tool_config/memory_tools.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from memupdate.errors import MemupdateError
from memupdate.files import write_output
from memupdate.memory import JSON
from memupdate.tools.table import load_tool, tool_names, verl_class_name

_HEADER = """\
# The memory tools as verl loads them and as the model is shown them. Written by
# `python -m memupdate.tools.schemas FILE` from the tools in memupdate/tools/. You may edit descriptions, leave tools
# out, and leave optional parameters out.
"""


def parameters_schema(name: str) -> dict[str, JSON]:
    """Returns the JSON Schema of a tool's parameters.

    Raises:
        FieldError: there is no such tool.
    """
    tool = load_tool(name)
    properties: dict[str, JSON] = {parameter.name: parameter.schema for parameter in tool.parameters}
    required: list[JSON] = [parameter.name for parameter in tool.parameters if parameter.required]
    return {"type": "object", "properties": properties, "required": required}


def function_schema(name: str) -> dict[str, JSON]:
    """Returns a tool's name, description and parameter schema.

    Raises:
        FieldError: there is no such tool.
    """
    return {"name": name, "description": load_tool(name).description, "parameters": parameters_schema(name)}


def tool_schemas() -> list[dict[str, JSON]]:
    """Returns the OpenAI function schemas of all tools, in the order of the table."""
    return [{"type": "function", "function": function_schema(name)} for name in tool_names()]


def tool_file() -> str:
    """Returns verl's tool file as YAML, with all tools of the table."""
    import yaml

    tools = [
        {
            "class_name": f"memupdate.tools.{verl_class_name(name)}",
            "config": {"type": "native"},
            "tool_schema": {"type": "function", "function": function_schema(name)},
        }
        for name in tool_names()
    ]
    written: str = yaml.safe_dump({"tools": tools}, sort_keys=False, allow_unicode=True, width=120)
    return _HEADER + written


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes verl's tool file and returns the exit code, which is 2 if the file cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m memupdate.tools.schemas", description="Write verl's tool file.")
    parser.add_argument("file", type=Path, help="the YAML file to write")
    options = parser.parse_args(arguments)
    try:
        write_output(options.file, tool_file())
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
