"""The folder of a run. The settings stored in it identify the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from memgen.sections import Settings, as_dict
from memupdate.errors import FieldError
from memupdate.files import write_atomically

SETTINGS = "settings.json"


def is_begun(folder: Path, settings: Settings) -> bool:
    """Returns whether the folder already holds this run.

    Raises:
        FieldError: the folder holds a run with other settings.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return False
    earlier = json.loads(path.read_text())
    mine = as_dict(settings)
    mine["run"]["output_dir"] = earlier["run"]["output_dir"]  # the folder may have been moved
    differing = sorted(_differences(earlier, mine, ""))
    if differing:
        key, then, now = differing[0]
        raise FieldError(key, now, f"{then}, as in the run that {folder} holds; or another run.output_dir")
    return True


def begin(folder: Path, settings: Settings) -> None:
    """Writes the settings to the folder. From then on the folder holds this run."""
    write_atomically(folder / SETTINGS, json.dumps(as_dict(settings), indent=1) + "\n")


def _differences(then: object, now: object, path: str) -> Iterator[tuple[str, object, object]]:
    """Yields the dotted key, the old value and the new value of every leaf that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in then.keys() | now.keys():
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif then != now:
        yield path, then, now
