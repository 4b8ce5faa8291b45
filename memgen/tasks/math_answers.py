r"""Mathematical answers: the boxed one of a text, and whether two of them are the same.

Numbers are compared exactly, as fractions: 1,000 = 1000, 18.0 = 18, \frac{1}{2} = 0.5. Signs of money, percent and
degrees are left out, and so is a unit that only one side writes. Everything else is compared as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

_BOX = re.compile(r"\\boxed\s*\{")
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)

# Spacing, sizing and signs that do not change a value, and words that LaTeX wraps text in.
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
# Letters that are units where they stand alone; x, y or n would be a variable.
_UNIT = re.compile(r"(?:[a-z]{2,}|[mgshl])(?:\^[23])?(?:(?:\s*/\s*|[\s-]+)[a-z]+(?:\^[23])?)*")
_FACTORS = frozenset({"pi", "hundred", "thousand", "million", "billion", "trillion", "dozen"})
# Beyond this a text is no answer; Python refuses to read integers of thousands of digits.
_LONGEST_QUANTITY = 200


@dataclass(frozen=True)
class _Quantity:
    """A number and the unit that is written behind it, "" where none is."""

    value: Fraction
    unit: str


def math_reward(answer: str, reference: str, box: Literal["first", "last"] = "last") -> float:
    r"""1.0 where the boxed answer equals the reference's, else 0.0; an answer without a box equals nothing.

    Args:
        answer: a text with ``\boxed{…}``.
        reference: a text that ends in ``#### value``, as in GSM8K; or with a box; or the value alone.
        box: which box of the answer counts.
    """
    boxes = boxed(answer)
    if not boxes:
        return 0.0
    return float(same_answer(boxes[0 if box == "first" else -1], reference_value(reference)))


def math_reward_of_first_box(answer: str, reference: str) -> float:
    """See :func:`math_reward`; the first box of the answer counts, and not the last one."""
    return math_reward(answer, reference, box="first")


def boxed(text: str) -> list[str]:
    r"""What stands in each ``\boxed{…}`` whose braces are balanced, in order; an empty box is left out."""
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
    """The value that a reference says: what follows its last ``####``, else its last box, else all of it."""
    _, marker, value = reference.rpartition("####")
    if marker:
        return value.strip()
    return (boxed(reference) or [reference.strip()])[-1]


def same_answer(first: str, second: str) -> bool:
    """Whether two answers are equal; where both write a unit, it must be the same one."""
    first, second = _plain(first), _plain(second)
    left, right = _quantity(first), _quantity(second)
    if left is not None and right is not None:
        return left.value == right.value and (not left.unit or not right.unit or left.unit == right.unit)
    return "".join(first.split()) == "".join(second.split())


def _plain(text: str) -> str:
    """An answer in one of its spellings: no LaTeX that changes nothing, fractions as a/b, lower case."""
    for written, meant in (("−", "-"), ("{,}", ","), ("²", "^2"), ("³", "^3")):
        text = text.replace(written, meant)
    text = _LEFT_OUT.sub("", text)
    before = None
    while before != text:  # from the inside out
        before = text
        text = _WRAPPED.sub(r" \1 ", text)
    text = _POWER.sub(r"^\1\2", text)
    text = _NAMED.sub("", _FRACTION.sub(_written_out, text).strip())
    text = text.strip().casefold().rstrip(".").strip()
    # A choice of several: (A) is A.
    return text[1:-1] if re.fullmatch(r"\([a-z]\)", text) else text


def _written_out(fraction: re.Match[str]) -> str:
    over, under = (fraction[1] or fraction[2] or "").strip(), (fraction[3] or fraction[4] or "").strip()
    sign = ""
    if over.startswith("-"):
        sign, over = "-", over[1:].strip()
    return f"{sign} {over}/{under}"


def _quantity(plain: str) -> _Quantity | None:
    """The number that a plain answer is, with or without a unit; None where it is none."""
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
