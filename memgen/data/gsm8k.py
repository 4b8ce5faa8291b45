"""The format ``gsm8k``, as GSM8K is published: ``question``, and ``answer`` with a rationale and ``#### value``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from memgen.data.formats import DatasetFormat, text_of
from memupdate.errors import DataError

TASK = "Solve the problem step by step and put the final answer, a number alone, in \\boxed{}."
# GSM8K annotates calculations, such as <<48/2=24>>, in addition to the text.
_CALCULATOR = re.compile(r"<<[^<>]*>>")


class Gsm8k(DatasetFormat):
    """A problem and a rationale. The answer after ``####`` is written as a box at the end of the rationale."""

    reward: ClassVar[str] = "math"

    @staticmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns the messages, see :meth:`memgen.data.formats.DatasetFormat.messages`."""
        rationale, marker, answer = text_of(row, "answer", place).rpartition("####")
        if not marker:
            raise DataError(f"{place}: answer: expected a rationale and '#### answer'")
        completion = f"{_CALCULATOR.sub('', rationale).strip()}\n\\boxed{{{answer.strip()}}}"
        return [
            {"role": "user", "content": f"{TASK}\n{text_of(row, 'question', place)}"},
            {"role": "assistant", "content": completion},
        ]
