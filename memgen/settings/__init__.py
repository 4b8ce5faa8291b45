"""Reads the settings of a run from a YAML file and overrides, fills in a method's defaults, and checks them."""

from memgen.sections import Settings, as_dict
from memgen.settings.defaults import new_settings
from memgen.settings.reading import parse_options, read_settings

__all__ = ["Settings", "as_dict", "new_settings", "parse_options", "read_settings"]
