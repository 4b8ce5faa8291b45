"""A stub of torchvision without operators."""

import sys

from _inert import SubmoduleFinder, inert_attribute

__version__ = "0.28.0"
__getattr__ = inert_attribute
sys.meta_path.append(SubmoduleFinder(__name__, lambda module: inert_attribute))
