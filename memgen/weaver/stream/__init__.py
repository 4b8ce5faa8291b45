"""Streams: a trajectory as one sequence of token ids. It holds text and blocks of reserved ids that stand for latents.

This package works on ids only and needs no weights. Training, generation and serving share it.
"""

from memgen.weaver.stream.delimiters import DelimiterTable
from memgen.weaver.stream.parts import Part, split_blocks
from memgen.weaver.stream.plan import StreamPlan
from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.segments import Segment, split_turns
from memgen.weaver.stream.vocabulary import INFERENCE, PROMPT, TEXT, ReservedIds
from memgen.weaver.stream.weave import WovenText, check_stream, unweave, weave, weave_text

__all__ = [
    "INFERENCE",
    "PROMPT",
    "TEXT",
    "DelimiterTable",
    "Part",
    "ReservedIds",
    "Segment",
    "StreamPlan",
    "StreamRules",
    "WovenText",
    "check_stream",
    "split_blocks",
    "split_turns",
    "unweave",
    "weave",
    "weave_text",
]
