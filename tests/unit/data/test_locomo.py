"""The LoCoMo loader: rows L1-L13 on the real file and on small data, and schema errors by place.

Rows L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L13.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from small import sample, write_json

from memupdate.data.conversation import Conversation, Question
from memupdate.data.locomo import conversations_or_raise, load_locomo
from memupdate.data.shape import Node
from memupdate.errors import DataError


@pytest.fixture(scope="module")
def conversations(locomo_json: Path) -> dict[str, Conversation]:
    return {conversation.sample_id: conversation for conversation in load_locomo(locomo_json)}


@pytest.fixture(scope="module")
def questions(conversations: dict[str, Conversation]) -> list[Question]:
    return [question for conversation in conversations.values() for question in conversation.questions]


def load_one(tmp_path: Path, changed: dict[str, Any]) -> Conversation:
    (conversation,) = load_locomo(write_json(tmp_path / "small.json", [changed]))
    return conversation


def test_totals_of_the_real_file(conversations: dict[str, Conversation], questions: list[Question]) -> None:
    sessions = [session for conversation in conversations.values() for session in conversation.sessions]
    assert len(conversations) == 10 and len(sessions) == 272 and len(questions) == 1986
    assert sum(len(session.turns) for session in sessions) == 5882
    assert sum(len(conversation.facts) for conversation in conversations.values()) == 2541
    assert [sum(question.category == number for question in questions) for number in range(1, 6)] == [
        282,
        321,
        96,
        841,
        446,
    ]


def test_l1_adversarial_items_have_only_the_wrong_answer(conversations: dict[str, Conversation]) -> None:
    both = [
        (name, question.index)
        for name, conversation in conversations.items()
        for question in conversation.questions
        if question.category == 5 and question.answer is not None
    ]
    assert both == [("conv-26", 167), ("conv-26", 178)]
    adversarial = [q for c in conversations.values() for q in c.questions if q.category == 5]
    assert all(question.adversarial_answer for question in adversarial) and len(adversarial) == 446


def test_l2_integer_answers_become_text(conversations: dict[str, Conversation]) -> None:
    numbers = {
        name: [question.answer for question in conversation.questions if question.answer_was_number]
        for name, conversation in conversations.items()
    }
    assert len(numbers.pop("conv-26")) == 6
    assert not any(numbers.values())
    assert conversations["conv-26"].questions[1].answer == "2022"


@pytest.mark.parametrize(
    ("name", "index", "ids"),
    [
        ("conv-26", 37, ["D8:6", "D9:17"]),
        ("conv-42", 88, ["D1:18", "D1:20"]),
        ("conv-43", 18, ["D1:14", "D2:7", "D4:7", "D5:15", "D11:26", "D20:21", "D26:36"]),
        ("conv-49", 31, ["D9:1", "D4:4", "D4:6"]),
        ("conv-49", 38, ["D22:1", "D22:2", "D9:10", "D9:11"]),
        ("conv-49", 46, ["D21:18", "D21:22", "D11:15", "D11:19"]),
    ],
)
def test_l3_malformed_evidence_is_parsed(
    conversations: dict[str, Conversation], name: str, index: int, ids: list[str]
) -> None:
    evidence = conversations[name].questions[index].evidence
    assert list(evidence.ids) == ids and len(evidence.malformed) == 1 and not evidence.dangling


def test_l4_dangling_and_zero_padded_evidence(conversations: dict[str, Conversation]) -> None:
    dangling = {
        (name, question.index): question.evidence.dangling
        for name, conversation in conversations.items()
        for question in conversation.questions
        if question.evidence.dangling
    }
    assert dangling == {("conv-42", 58): ("D10:19",), ("conv-47", 38): ("D4:36",)}
    assert conversations["conv-50"].questions[69].evidence.ids == ("D30:5",)


def test_l5_empty_repeated_and_long_evidence(questions: list[Question]) -> None:
    evidence = [question.evidence for question in questions]
    assert sum(not (one.ids or one.malformed or one.dangling) for one in evidence) == 4
    assert sum(one.duplicates for one in evidence) == 1
    assert max(len(one.ids) for one in evidence) == 19


def test_l6_dates_without_sessions(conversations: dict[str, Conversation]) -> None:
    assert conversations["conv-26"].dates_without_session == tuple(range(20, 36))
    assert not any(c.dates_without_session for name, c in conversations.items() if name != "conv-26")


def test_l7_observation_ids_as_lists_and_comma_strings(conversations: dict[str, Conversation]) -> None:
    facts = [fact for conversation in conversations.values() for fact in conversation.facts]
    assert sum(bool(fact.evidence.malformed) for fact in facts) == 5
    assert sum(len(fact.evidence.ids) > 1 for fact in facts) == 15
    assert all(fact.evidence.ids and not fact.evidence.dangling for fact in facts)


def test_l8_duplicate_questions_are_kept_and_keyed_by_index(conversations: dict[str, Conversation]) -> None:
    repeated = {
        name: len(conversation.questions) - len({question.text for question in conversation.questions})
        for name, conversation in conversations.items()
    }
    assert {name: count for name, count in repeated.items() if count} == {"conv-48": 11, "conv-30": 1}
    for conversation in conversations.values():
        assert [question.index for question in conversation.questions] == list(range(len(conversation.questions)))


def test_l9_categories_and_names(conversations: dict[str, Conversation]) -> None:
    lacking = [name for name, c in conversations.items() if not any(q.category == 3 for q in c.questions)]
    assert lacking == ["conv-30"]
    assert sum("John" in conversation.speakers for conversation in conversations.values()) == 3


def test_l10_no_blanks_around_texts(questions: list[Question], locomo_json: Path) -> None:
    raw = [item for one in json.loads(locomo_json.read_bytes()) for item in one["qa"]]
    assert any(str(item.get("answer", "")) != str(item.get("answer", "")).strip() for item in raw)
    for question, item in zip(questions, raw, strict=True):
        assert question.text == item["question"].strip()
        assert question.answer == (str(item["answer"]).strip() if "answer" in item else None)


def test_l11_commas_and_semicolons_stay(questions: list[Question]) -> None:
    assert sum(q.category == 1 and "," in (q.answer or "") for q in questions) == 169
    assert sum(q.category == 3 and ";" in (q.answer or "") for q in questions) == 11


def test_l13_items_that_cite_turns_no_fact_covers(conversations: dict[str, Conversation]) -> None:
    uncovered = total = 0
    for conversation in conversations.values():
        covered = {dialog_id for fact in conversation.facts for dialog_id in fact.evidence.ids}
        for question in conversation.questions:
            if question.category != 5:
                total += 1
                uncovered += not covered.issuperset(question.evidence.ids)
    assert round(100 * uncovered / total) == 26


def test_small_file_in_full(tmp_path: Path) -> None:
    conversation = load_one(tmp_path, sample())
    first, second = conversation.sessions
    assert conversation.speakers == ("Ann", "Bo") and (first.number, second.number) == (1, 2)
    assert first.date == "1:56 pm on 8 May, 2023" and conversation.session_date(2) == "9:05 am on 1 June, 2023"
    turn = first.turns[1]
    assert (turn.speaker, turn.dialog_id, turn.caption) == ("Bo", "D1:2", "a photo of a bank")
    assert turn.image_urls == ("https://example.org/1.jpg",) and turn.image_query == "bank"
    assert [(fact.speaker, fact.session, fact.text) for fact in conversation.facts] == [
        ("Ann", 1, "Ann moved and cooks soup."),
        ("Bo", 1, "Bo works."),
        ("Ann", 2, "Ann cooks rice."),
    ]
    assert [question.answer for question in conversation.questions] == [
        "2022",
        "soup, rice",
        "Yes; he loves snow",
        "bank",
        None,
    ]
    with pytest.raises(KeyError):
        conversation.session_date(3)


@pytest.mark.parametrize(
    ("raw", "ids", "dangling", "malformed", "duplicates"),
    [
        (["D1:1; D2:2"], ("D1:1", "D2:2"), (), ("D1:1; D2:2",), 0),
        (["D1:1 D2:1", "D1:1"], ("D1:1", "D2:1"), (), ("D1:1 D2:1",), 1),
        (["D", "D:1:02"], ("D1:2",), (), ("D", "D:1:02"), 0),
        (["D1:9"], (), ("D1:9",), (), 0),
        (["", "nothing", "AD1:1"], (), (), ("", "nothing", "AD1:1"), 0),
        (["D" + "1" * 5000 + ":1"], (), (), ("D" + "1" * 5000 + ":1",), 0),
        ([], (), (), (), 0),
    ],
)
def test_l3_l4_evidence_forms(
    tmp_path: Path,
    raw: list[str],
    ids: tuple[str, ...],
    dangling: tuple[str, ...],
    malformed: tuple[str, ...],
    duplicates: int,
) -> None:
    changed = sample()
    changed["qa"][0]["evidence"] = raw
    evidence = load_one(tmp_path, changed).questions[0].evidence
    assert (evidence.ids, evidence.dangling) == (ids, dangling)
    assert (evidence.malformed, evidence.duplicates) == (malformed, duplicates)


def test_l6_l7_small(tmp_path: Path) -> None:
    changed = sample()
    changed["conversation"]["session_9_date_time"] = "1:00 pm on 1 July, 2023"
    changed["observation"]["session_2_observation"]["Bo"] = [["Bo listens.", "D2:1, D2:2"]]
    conversation = load_one(tmp_path, changed)
    assert conversation.dates_without_session == (9,)
    assert conversation.facts[-1].evidence.ids == ("D2:1", "D2:2")


def test_sessions_are_ordered_by_number(tmp_path: Path) -> None:
    changed = sample()
    talk = changed["conversation"]
    changed["conversation"] = dict(reversed(talk.items()))
    changed["observation"] = dict(reversed(changed["observation"].items()))
    conversation = load_one(tmp_path, changed)
    assert [session.number for session in conversation.sessions] == [1, 2]
    assert [fact.session for fact in conversation.facts] == [1, 1, 2]


DELETE = object()


def put(value: Any, keys: tuple[str | int, ...], new: object) -> None:
    for key in keys[:-1]:
        value = value[key]
    if new is DELETE:
        del value[keys[-1]]
    else:
        value[keys[-1]] = new


@pytest.mark.parametrize(
    ("keys", "new", "place", "expected"),
    [
        (("qa", 1, "question"), 5, "[0].qa[1].question", "non-empty string"),
        (("qa", 1, "question"), DELETE, "[0].qa[1]", "'question'"),
        (("qa", 1, "question"), "  ", "[0].qa[1].question", "non-empty string"),
        (("qa", 1, "question"), "\ud800", "[0].qa[1].question", "Unicode"),
        (("qa", 1, "category"), "1", "[0].qa[1].category", "integer from 1 to 5"),
        (("qa", 1, "category"), 6, "[0].qa[1].category", "integer from 1 to 5"),
        (("qa", 1, "category"), True, "[0].qa[1].category", "integer from 1 to 5"),
        (("qa", 1, "answer"), DELETE, "[0].qa[1]", "'answer'"),
        (("qa", 1, "answer"), ["soup"], "[0].qa[1].answer", "string or an integer"),
        (("qa", 1, "answer"), None, "[0].qa[1].answer", "string or an integer"),
        (("qa", 1, "answer"), False, "[0].qa[1].answer", "string or an integer"),
        (("qa", 4, "adversarial_answer"), DELETE, "[0].qa[4]", "'adversarial_answer'"),
        (("qa", 1, "evidence"), "D1:1", "[0].qa[1].evidence", "list of dialog ids"),
        (("qa", 1, "evidence", 1), 3, "[0].qa[1].evidence[1]", "dialog id"),
        (("qa", 1, "evidence"), DELETE, "[0].qa[1]", "'evidence'"),
        (("qa", 1), [], "[0].qa[1]", "object"),
        (("qa",), {}, "[0].qa", "list of questions"),
        (("qa",), DELETE, "[0]", "'qa'"),
        (("sample_id",), DELETE, "[0]", "'sample_id'"),
        (("sample_id",), "../../etc", "[0].sample_id", "names files"),
        (("sample_id",), 7, "[0].sample_id", "string"),
        (("conversation",), [], "[0].conversation", "speaker_a"),
        (("conversation", "speaker_b"), DELETE, "[0].conversation", "'speaker_b'"),
        (("conversation", "session_2"), {}, "[0].conversation.session_2", "list of turns"),
        (("conversation", "session_2_date_time"), DELETE, "[0].conversation", "'session_2_date_time'"),
        (("conversation", "session_2_date_time"), 3, "[0].conversation.session_2_date_time", "date"),
        (("conversation", "session_2", 0), "hi", "[0].conversation.session_2[0]", "'dia_id'"),
        (("conversation", "session_2", 0, "dia_id"), "D1:1", "[0].conversation.session_2[0].dia_id", "D2:"),
        (("conversation", "session_2", 1, "dia_id"), "D2:1", "[0].conversation.session_2[1]", "no other turn"),
        (("conversation", "session_2", 0, "text"), None, "[0].conversation.session_2[0].text", "string"),
        (("conversation", "session_2", 0, "speaker"), "Cy", "[0].conversation.session_2[0].speaker", "'Ann', 'Bo'"),
        (("conversation", "session_1", 1, "img_url"), "x", "[0].conversation.session_1[1].img_url", "list"),
        (("observation",), DELETE, "[0]", "'observation'"),
        (("observation",), [], "[0].observation", "object"),
        (("observation", "session_7_observation"), {}, "[0].observation.session_7_observation", "session with turns"),
        (("observation", "session_1_observation", "Cy"), [], "[0].observation.session_1_observation.Cy", "speakers"),
        (("observation", "session_1_observation", "Bo"), "x", "[0].observation.session_1_observation.Bo", "list"),
        (("observation", "session_1_observation", "Bo", 0), ["a"], "session_1_observation.Bo[0]", "two elements"),
        (("observation", "session_1_observation", "Bo", 0, 0), 4, "session_1_observation.Bo[0][0]", "fact"),
        (("observation", "session_1_observation", "Bo", 0, 1), 4, "session_1_observation.Bo[0][1]", "dialog id"),
    ],
)
def test_schema_errors_name_file_place_and_expectation(
    tmp_path: Path, keys: tuple[str | int, ...], new: object, place: str, expected: str
) -> None:
    changed = sample()
    put(changed, keys, new)
    path = write_json(tmp_path / "broken.json", [changed])
    with pytest.raises(DataError) as caught:
        load_locomo(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert place in message and expected in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "valid JSON"),
        (b'[{"sample_id": "conv-1", "qa": [{"quest', "line 1 column"),
        (b"[\xff\xfe]", "UTF-8"),
        (b"[" * 100_000, "valid JSON"),
        (b"[" + b"9" * 5000 + b"]", "valid JSON"),
        (b'{"data": []}', "list of conversations"),
        (b"[]", "at least one conversation"),
        (b"null", "list of conversations"),
        (b"[1]", "[0]: expected an object with 'sample_id'"),
    ],
)
def test_files_that_are_not_locomo(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(expected)) as caught:
        load_locomo(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="readable JSON file"):
            load_locomo(path)


def test_a_repeated_sample_id_is_an_error(tmp_path: Path) -> None:
    path = write_json(tmp_path / "twice.json", [sample(), sample()])
    with pytest.raises(DataError, match=r"\[1\]\.sample_id: expected an id that no other conversation has"):
        load_locomo(path)


def test_several_errors_are_counted(tmp_path: Path) -> None:
    changed = sample()
    changed["qa"][0]["category"] = 9
    changed["qa"][1]["category"] = 9
    changed["qa"][3] = None
    with pytest.raises(DataError, match=r"qa\[0\]\.category.*and 2 more"):
        load_locomo(write_json(tmp_path / "three.json", [changed]))


def test_any_truncation_is_a_data_error(tmp_path: Path) -> None:
    content = json.dumps([sample()]).encode()
    path = tmp_path / "cut.json"
    for length in random.Random(0).sample(range(len(content)), 60):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_locomo(path)


def test_any_value_of_another_type_is_a_data_error_or_loads() -> None:
    """Whatever a place holds instead, the loader raises DataError or copes; it never fails otherwise."""
    places: list[tuple[str | int, ...]] = []

    def walk(value: Any, keys: tuple[str | int, ...]) -> None:
        if keys:
            places.append(keys)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            walk(child, (*keys, key))

    walk(sample(), ())
    for keys in places:
        for new in (None, 1.5, True, "", [], {}, [[]], DELETE):
            changed = sample()
            put(changed, keys, new)
            try:
                conversations_or_raise(Node([changed], "changed.json"))
            except DataError as error:
                assert str(error).startswith("changed.json: [0]")
