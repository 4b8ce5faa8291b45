"""The LoCoMo dataset: the JSON file ``locomo10.json`` of snap-research/locomo.

The loader is strict about the shape of the file and tolerates the known faults of its data. It takes clean ids from
malformed evidence where it can, keeps ids of missing turns apart, turns integer answers into text, and strips white
space.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from memupdate.data.conversation import (
    ADVERSARIAL,
    CATEGORIES,
    SAMPLE_ID,
    SPLITS,
    Conversation,
    Fact,
    Question,
    Session,
    Turn,
)
from memupdate.data.evidence import WELL_FORMED, clean_evidence
from memupdate.data.shape import Node, collecting, read_json
from memupdate.errors import DataError

_SESSION = re.compile(r"session_([1-9][0-9]{0,5})")
_SESSION_DATE = re.compile(r"session_([1-9][0-9]{0,5})_date_time")
_OBSERVATION = re.compile(r"session_([1-9][0-9]{0,5})_observation")


def load_locomo(path: Path | str) -> list[Conversation]:
    """Reads a LoCoMo file.

    Returns:
        The conversations, in the order of the file.

    Raises:
        DataError: the file is missing, cut off, or of another shape. The message has the file, the place
            (``[3].qa[17].question``) and what is expected there.
    """
    return conversations_or_raise(read_json(Path(path)))


def conversations_or_raise(root: Node) -> list[Conversation]:
    """Returns the conversations of a parsed LoCoMo file.

    Raises:
        DataError: the file has schema errors. The message has the first one and the number of the others.
    """
    conversations, problems = parse_locomo(root)
    if problems:
        more = f" (and {len(problems) - 1} more; memupdate.data.check lists them)" if len(problems) > 1 else ""
        raise DataError(problems[0] + more)
    return conversations


def parse_locomo(root: Node) -> tuple[list[Conversation], list[str]]:
    """Parses a LoCoMo file and does not stop at the first schema error.

    Returns:
        The conversations without their broken elements, and one message per schema error.
    """
    conversations: list[Conversation] = []
    problems: list[str] = []
    seen: set[str] = set()
    with collecting(problems):
        samples = root.items("a list of conversations")
        if not samples:
            raise root.fail("at least one conversation")
        for sample in samples:
            with collecting(problems):
                conversation = _conversation(sample, problems)
                if conversation.sample_id in seen:
                    raise sample.field("sample_id", "").fail("an id that no other conversation has")
                seen.add(conversation.sample_id)
                conversations.append(conversation)
    return conversations, problems


def _conversation(sample: Node, problems: list[str]) -> Conversation:
    id_node = sample.field("sample_id", "the conversation's id")
    sample_id = id_node.text()
    if not SAMPLE_ID.fullmatch(sample_id):
        raise id_node.fail("letters, digits, '.', '_' and '-' (it names files)")
    talk = sample.field("conversation", "speakers and sessions")
    speakers = (
        talk.field("speaker_a", "a name").text("a name"),
        talk.field("speaker_b", "a name").text("a name"),
    )
    sessions, orphan_dates = _sessions(talk, speakers, problems)
    turns = {turn.dialog_id for session in sessions for turn in session.turns}
    numbers = {session.number for session in sessions}
    facts = _facts(sample.field("observation", "facts per session"), speakers, numbers, turns, problems)
    questions = []
    for index, node in enumerate(sample.field("qa", "a list of questions").items("a list of questions")):
        with collecting(problems):
            questions.append(_question(node, index, turns))
    split = _split(sample)
    return Conversation(sample_id, speakers, tuple(sessions), tuple(facts), tuple(questions), orphan_dates, split)


def _split(sample: Node) -> str:
    """Returns the split that the file names for a conversation. LoCoMo's own file names none."""
    node = sample.mapping().get("split")
    if node is None:
        return ""
    split = node.text(f"one of {', '.join(SPLITS)}")
    if split not in SPLITS:
        raise node.fail(f"one of {', '.join(SPLITS)}")
    return split


def _sessions(talk: Node, speakers: tuple[str, str], problems: list[str]) -> tuple[list[Session], tuple[int, ...]]:
    members = talk.mapping()
    dates: dict[int, str] = {}
    for key, node in members.items():
        if match := _SESSION_DATE.fullmatch(key):
            with collecting(problems):
                dates[int(match[1])] = node.text("a date such as '1:56 pm on 8 May, 2023'")
    sessions = []
    seen: set[str] = set()
    for key, node in members.items():
        if not (match := _SESSION.fullmatch(key)):
            continue
        number = int(match[1])
        with collecting(problems):
            talk.field(f"{key}_date_time", f"the date of {key}")
            turns = []
            for turn_node in node.items("a list of turns"):
                with collecting(problems):
                    turn = _turn(turn_node, number, speakers)
                    if turn.dialog_id in seen:
                        raise turn_node.field("dia_id", "").fail("an id that no other turn has")
                    seen.add(turn.dialog_id)
                    turns.append(turn)
            sessions.append(Session(number, dates.get(number, ""), tuple(turns)))
    sessions.sort(key=lambda session: session.number)
    numbers = {session.number for session in sessions}
    return sessions, tuple(sorted(set(dates) - numbers))


def _turn(node: Node, session: int, speakers: tuple[str, str]) -> Turn:
    id_node = node.field("dia_id", "the turn's id")
    dialog_id = id_node.text()
    if not WELL_FORMED.fullmatch(dialog_id) or not dialog_id.startswith(f"D{session}:"):
        raise id_node.fail(f"'D{session}:' and the turn's number")
    members = node.mapping()
    urls = members["img_url"].items("a list of addresses") if "img_url" in members else []
    return Turn(
        dialog_id=dialog_id,
        session=session,
        speaker=_speaker(node.field("speaker", "who speaks"), speakers),
        text=node.field("text", "what is said").text("a string", empty=True),
        caption=members["blip_caption"].text("a string", empty=True) if "blip_caption" in members else "",
        image_urls=tuple(url.text("an address") for url in urls),
        image_query=members["query"].text("a string", empty=True) if "query" in members else "",
    )


def _speaker(node: Node, speakers: tuple[str, str]) -> str:
    name = node.text("a speaker's name")
    if name not in speakers:
        raise node.fail(f"one of the speakers {speakers[0]!r}, {speakers[1]!r}")
    return name


def _facts(
    observation: Node, speakers: tuple[str, str], numbers: set[int], turns: Collection[str], problems: list[str]
) -> list[Fact]:
    facts = []
    for key, per_speaker in observation.mapping("an object: session_N_observation to facts per speaker").items():
        with collecting(problems):
            match = _OBSERVATION.fullmatch(key)
            if not match or int(match[1]) not in numbers:
                raise DataError(
                    f"{per_speaker.file}: {per_speaker.place}: expected session_N_observation of a session with turns"
                )
            for name, entries in per_speaker.mapping("an object: speaker to list of facts").items():
                with collecting(problems):
                    _speaker(Node(name, entries.file, entries.place), speakers)
                    for entry in entries.items("a list of [fact, dialog ids]"):
                        with collecting(problems):
                            facts.append(_fact(entry, name, int(match[1]), turns))
    # Stable: inside a session the file's order stays.
    facts.sort(key=lambda fact: fact.session)
    return facts


def _fact(entry: Node, speaker: str, session: int, turns: Collection[str]) -> Fact:
    parts = entry.items("[fact, dialog ids]")
    if len(parts) != 2:
        raise entry.fail("[fact, dialog ids]: two elements")
    ids = parts[1].items() if isinstance(parts[1].value, list) else [parts[1]]
    raw = [node.text("a dialog id or a list of them", empty=True) for node in ids]
    return Fact(speaker, session, parts[0].text("the fact, a non-empty string"), clean_evidence(raw, turns))


def _question(node: Node, index: int, turns: Collection[str]) -> Question:
    members = node.mapping("a question: an object")
    category_node = node.field("category", "an integer from 1 to 5")
    category = category_node.integer("an integer from 1 to 5")
    if category not in CATEGORIES:
        raise category_node.fail("an integer from 1 to 5")
    if "answer" not in members and category != ADVERSARIAL:
        node.field("answer", "the gold answer")
    if not {"answer", "adversarial_answer"} & set(members):
        node.field("adversarial_answer", "the wrong answer of an adversarial question")
    evidence = node.field("evidence", "a list of dialog ids").items("a list of dialog ids")
    return Question(
        index=index,
        text=node.field("question", "the question").text("the question, a non-empty string"),
        category=category,
        answer=_answer(members["answer"]) if "answer" in members else None,
        adversarial_answer=_answer(members["adversarial_answer"]) if "adversarial_answer" in members else None,
        evidence=clean_evidence([item.text("a dialog id", empty=True) for item in evidence], turns),
        answer_was_number="answer" in members and not isinstance(members["answer"].value, str),
    )


def _answer(node: Node) -> str:
    if isinstance(node.value, str):
        return node.text("a string or an integer", empty=True)
    return str(node.integer("a string or an integer"))
