"""A trajectory as one stream of token ids: text, and blocks of reserved ids that stand for latents.

Integers only: what is decided here needs no weights, so trainer, generation and serving share it.
"""

from memgen.stream.delimiters import DelimiterTable
from memgen.stream.parts import Part, split_blocks
from memgen.stream.plan import StreamPlan
from memgen.stream.rules import StreamRules
from memgen.stream.segments import Segment, split_turns
from memgen.stream.vocabulary import INFERENCE, PROMPT, TEXT, ReservedIds
from memgen.stream.weave import WovenText, check_stream, unweave, weave, weave_text

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
