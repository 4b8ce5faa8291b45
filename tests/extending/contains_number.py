"""An answer reward: the reference's number must stand in the answer, whatever else it says."""

from __future__ import annotations

import re

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def contains_number(answer: str, reference: str) -> float:
    """Returns 1.0 if the reference's first number is one of the answer's numbers, else 0.0."""
    wanted = NUMBER.search(reference)
    found = {float(number) for number in NUMBER.findall(answer)}
    return float(wanted is not None and float(wanted.group()) in found)
