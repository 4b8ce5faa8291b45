r"""The reward of mathematical answers: finds the boxed answer in a text and compares it with the reference.

Numbers are compared exactly, as fractions: 1,000 = 1000, 18.0 = 18, \frac{1}{2} = 0.5. Currency, percent and degree
signs are ignored, and so is a unit that only one side has. Everything else is compared as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

_BOX = re.compile(r"\\boxed\s*\{")
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)

# LaTeX spacing and sizing commands, and signs, that do not change a value.
_LEFT_OUT = re.compile(
    r"\\[,;:! ]|\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])|~|\\?[$%]|[£€]"
    r"|\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\(?:degree|circ)(?![A-Za-z])|°"
)
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|boxed)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9]))")
_POWER = re.compile(r"\s*\^\s*(?:\{\s*([0-9A-Za-z])\s*\}|([0-9A-Za-z]))")
_NAMED = re.compile(r"^[A-Za-z]\s*=(?!=)")

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_QUANTITY = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:(?P<whole>[0-9]+)\s+(?=[0-9]+\s*/))?(?P<over>{_DIGITS})\s*(?:/\s*(?P<under>{_DIGITS}))?"
    r"\s*(?P<unit>.*)"
)
# Words and the single letters m, g, s, h and l are units. Other single letters, such as x, y or n, are variables.
_UNIT = re.compile(r"(?:[a-z]{2,}|[mgshl])(?:\^[23])?(?:(?:\s*/\s*|[\s-]+)[a-z]+(?:\^[23])?)*")
_FACTORS = frozenset({"pi", "hundred", "thousand", "million", "billion", "trillion", "dozen"})
# A longer text is not read as a number: Python refuses to convert integers with thousands of digits.
_LONGEST_QUANTITY = 200


@dataclass(frozen=True)
class _Quantity:
    """A number and the unit after it, "" if there is none."""

    value: Fraction
    unit: str


def math_reward(answer: str, reference: str, box: Literal["first", "last"] = "last") -> float:
    r"""Returns 1.0 if the boxed answer equals the value of the reference, else 0.0. Without a box it returns 0.0.

    Args:
        answer: a text with ``\boxed{…}``.
        reference: a text that ends in ``#### value``, as in GSM8K, or a text with a box, or only the value.
        box: which box of the answer is compared.
    """
    boxes = boxed(answer)
    if not boxes:
        return 0.0
    return float(same_answer(boxes[0 if box == "first" else -1], reference_value(reference)))


def math_reward_of_first_box(answer: str, reference: str) -> float:
    """Returns the reward of :func:`math_reward` for the first box of the answer instead of the last."""
    return math_reward(answer, reference, box="first")


def boxed(text: str) -> list[str]:
    r"""Returns the content of each ``\boxed{…}`` with balanced braces, in order. Empty boxes are left out."""
    found = []
    for box in _BOX.finditer(text):
        depth = 1
        for mark in _ESCAPED_OR_BRACE.finditer(text, box.end()):
            depth += {"{": 1, "}": -1}.get(mark.group(), 0)
            if depth == 0:
                found.append(text[box.end() : mark.start()].strip())
                break
    return [inside for inside in found if inside]


def reference_value(reference: str) -> str:
    """Returns the value of a reference: the text after its last ``####``, else its last box, else the whole text."""
    _, marker, value = reference.rpartition("####")
    if marker:
        return value.strip()
    return (boxed(reference) or [reference.strip()])[-1]


def same_answer(first: str, second: str) -> bool:
    """Returns whether two answers are equal. If both have a unit, the units must be equal too."""
    first, second = _plain(first), _plain(second)
    left, right = _quantity(first), _quantity(second)
    if left is not None and right is not None:
        return left.value == right.value and (not left.unit or not right.unit or left.unit == right.unit)
    return "".join(first.split()) == "".join(second.split())


def _plain(text: str) -> str:
    """Returns an answer in a normal form: without LaTeX that does not change it, fractions as a/b, in lower case."""
    for written, meant in (("−", "-"), ("{,}", ","), ("²", "^2"), ("³", "^3")):
        text = text.replace(written, meant)
    text = _LEFT_OUT.sub("", text)
    before = None
    while before != text:  # nested commands, from the inside out
        before = text
        text = _WRAPPED.sub(r" \1 ", text)
    text = _POWER.sub(r"^\1\2", text)
    text = _NAMED.sub("", _FRACTION.sub(_written_out, text).strip())
    text = text.strip().casefold().rstrip(".").strip()
    # In a multiple-choice answer, (A) means A.
    return text[1:-1] if re.fullmatch(r"\([a-z]\)", text) else text


def _written_out(fraction: re.Match[str]) -> str:
    over, under = (fraction[1] or fraction[2] or "").strip(), (fraction[3] or fraction[4] or "").strip()
    sign = ""
    if over.startswith("-"):
        sign, over = "-", over[1:].strip()
    return f"{sign} {over}/{under}"


def _quantity(plain: str) -> _Quantity | None:
    """Returns the number and the unit of an answer in normal form, or None if it is not a number."""
    if len(plain) > _LONGEST_QUANTITY:
        return None
    found = _QUANTITY.fullmatch(plain)
    if found is None:
        return None
    unit = found["unit"].strip()
    if unit and (not _UNIT.fullmatch(unit) or _FACTORS & set(re.findall("[a-z]+", unit))):
        return None
    under = _number(found["under"] or "1")
    if not under:
        return None
    value = int(found["whole"] or 0) + _number(found["over"]) / under
    return _Quantity(-value if found["sign"] == "-" else value, unit)


def _number(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").removesuffix("."))
