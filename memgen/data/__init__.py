"""Examples: local files to chat messages; messages to woven streams, and to questions of reinforcement learning."""

from memgen.data.examples import Example, read_examples
from memgen.data.questions import Question, questions_of, read_questions, write_questions
from memgen.data.streams import WovenRow, generation_prefix, prompt_ids, read_rows, weave_examples, write_rows

__all__ = [
    "Example",
    "Question",
    "WovenRow",
    "generation_prefix",
    "prompt_ids",
    "questions_of",
    "read_examples",
    "read_questions",
    "read_rows",
    "weave_examples",
    "write_questions",
    "write_rows",
]
