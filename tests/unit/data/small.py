"""A LoCoMo file of one short conversation, for tests that break it in one place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

_SAMPLE: dict[str, Any] = {
    "sample_id": "conv-1",
    "qa": [
        {"question": " When did Ann move? ", "answer": 2022, "evidence": ["D1:1"], "category": 2},
        {"question": "What has Ann cooked?", "answer": " soup, rice ", "evidence": ["D1:1", "D2:2"], "category": 1},
        {"question": "Would Bo like skiing?", "answer": "Yes; he loves snow", "evidence": [], "category": 3},
        {"question": "Where does Bo work?", "answer": "bank", "evidence": ["D1:2"], "category": 4},
        {"question": "Where does Ann work?", "adversarial_answer": "bank", "evidence": ["D1:2"], "category": 5},
    ],
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "I moved last year and cook soup."},
            {
                "speaker": "Bo",
                "dia_id": "D1:2",
                "text": "I work at a bank.",
                "img_url": ["https://example.org/1.jpg"],
                "blip_caption": "a photo of a bank",
                "query": "bank",
                "re-download": True,
            },
        ],
        "session_2_date_time": "9:05 am on 1 June, 2023",
        "session_2": [
            {"speaker": "Bo", "dia_id": "D2:1", "text": "Hi Ann."},
            {"speaker": "Ann", "dia_id": "D2:2", "text": "Hi Bo, I cook rice."},
        ],
    },
    "event_summary": {},
    "observation": {
        "session_1_observation": {"Ann": [["Ann moved and cooks soup.", "D1:1"]], "Bo": [["Bo works.", "D1:2"]]},
        "session_2_observation": {"Ann": [["Ann cooks rice.", ["D2:2"]]]},
    },
    "session_summary": {},
}


def sample(sample_id: str = "conv-1") -> dict[str, Any]:
    """A fresh conversation as JSON."""
    return {**copy.deepcopy(_SAMPLE), "sample_id": sample_id}


def write_json(path: Path, value: object) -> Path:
    """``value`` as a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
