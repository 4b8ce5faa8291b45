"""The settings of a run: sections with defaults, a YAML file and overrides, and checks of all of it."""

from memgen.settings.reading import parse_options, read_settings
from memgen.settings.sections import Lora, Settings, as_dict

__all__ = ["Lora", "Settings", "as_dict", "parse_options", "read_settings"]
