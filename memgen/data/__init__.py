"""Supervised examples: local files to chat messages, and messages to woven streams."""

from memgen.data.examples import Example, read_examples
from memgen.data.streams import WovenRow, generation_prefix, read_rows, weave_examples, write_rows

__all__ = [
    "Example",
    "WovenRow",
    "generation_prefix",
    "read_examples",
    "read_rows",
    "weave_examples",
    "write_rows",
]
