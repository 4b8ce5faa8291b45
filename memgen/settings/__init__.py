"""The settings of a run: the defaults of a method, a YAML file with overrides, and checks of all of it."""

from memgen.sections import Settings, as_dict
from memgen.settings.defaults import new_settings
from memgen.settings.reading import parse_options, read_settings

__all__ = ["Settings", "as_dict", "new_settings", "parse_options", "read_settings"]
