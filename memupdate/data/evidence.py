"""Dialog ids (``D8:6``), and how to find them in the forms that LoCoMo's files have them in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from memupdate.data.conversation import Evidence

WELL_FORMED = re.compile(r"D[1-9][0-9]{0,5}:[1-9][0-9]{0,5}")
# A stray colon after the D ("D:11:26") and zero padding ("D30:05") occur. Six digits bound what int() is asked to read.
_SOMEWHERE = re.compile(r"(?<![A-Za-z0-9])D:?([0-9]{1,6}):([0-9]{1,6})(?![0-9])")


def dialog_ids(raw: str) -> list[str]:
    """Returns the dialog ids in a string, in canonical form: ``'D8:6; D30:05'`` gives ``['D8:6', 'D30:5']``."""
    return [f"D{int(session)}:{int(turn)}" for session, turn in _SOMEWHERE.findall(raw)]


def clean_evidence(raw: Iterable[str], turns: Collection[str]) -> Evidence:
    """Sorts cited ids into existing, dangling and repeated ones.

    Args:
        raw: the strings of the file. Each of them should be one id.
        turns: the ids of the conversation's turns.
    """
    found: list[str] = []
    malformed = []
    for text in raw:
        if not WELL_FORMED.fullmatch(text):
            malformed.append(text)
        found.extend(dialog_ids(text))
    unique = tuple(dict.fromkeys(found))
    return Evidence(
        ids=tuple(dialog_id for dialog_id in unique if dialog_id in turns),
        dangling=tuple(dialog_id for dialog_id in unique if dialog_id not in turns),
        malformed=tuple(malformed),
        duplicates=len(found) - len(unique),
    )
