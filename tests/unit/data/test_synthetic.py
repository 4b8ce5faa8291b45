"""The generated corpus: every answer is recomputed from the turns, and the observations have the faults they should."""

from __future__ import annotations

import datetime
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from memupdate.data.check import check_locomo
from memupdate.data.conversation import Conversation, Question, Turn
from memupdate.data.facts import initial_memories
from memupdate.data.locomo import load_locomo
from memupdate.data.synthetic_held_out_words import HELD_OUT_WORDS
from memupdate.data.synthetic_training_words import TRAINING_WORDS
from memupdate.data.synthetic_words import ATTRIBUTES, TOPICS, VERBS, Words
from memupdate.memory import CachingEmbedder, HashingEmbedder, Memory, MemoryBank

DAYS = {"yesterday": 1, "two days": 2, "three days": 3, "four days": 4, "five days": 5, "six days": 6}


@pytest.fixture(scope="module")
def conversations(synthetic_json: Path) -> list[Conversation]:
    return load_locomo(synthetic_json)


def pool(conversation: Conversation) -> Words:
    return HELD_OUT_WORDS if conversation.split == "test" else TRAINING_WORDS


def turns_of(conversation: Conversation) -> list[Turn]:
    return [turn for session in conversation.sessions for turn in session.turns]


def asked_about(question: Question, conversation: Conversation) -> str:
    (name,) = [name for name in conversation.speakers if re.search(rf"\b{name}\b", question.text)]
    return name


def kind_asked(question: Question, kinds: tuple[str, ...]) -> str:
    (kind,) = [kind for kind in kinds if kind in question.text]
    return kind


def mentions(conversation: Conversation, speaker: str, kind: str) -> Iterator[tuple[Turn, list[str]]]:
    """The turns of a speaker that name things of a kind, and the things."""
    for turn in turns_of(conversation):
        said = re.sub(r"[^.!?]*\?", "", turn.text)  # what somebody asks of the other is not about the speaker
        found = [value for value in pool(conversation).values[kind] if f" {value}" in f" {said}"]
        if turn.speaker == speaker and found:
            yield turn, found


def history(conversation: Conversation, speaker: str, noun: str) -> list[tuple[str, str]]:
    """The values that a speaker had, in order, each with the turn that first told it: a reader's own bookkeeping."""
    told: list[tuple[str, str]] = []
    for turn, values in mentions(conversation, speaker, noun):
        new = [value for value in values if not told or value != told[-1][0]]
        assert len(new) <= 1  # otherwise nobody could tell which is the current one
        told.extend((value, turn.dialog_id) for value in new)
    return told


def answered(conversations: list[Conversation], category: int) -> Iterator[tuple[Conversation, Question]]:
    for conversation in conversations:
        for question in conversation.questions:
            if question.category == category:
                yield conversation, question


def test_the_corpus_goes_through_the_locomo_loader(synthetic_json: Path, conversations: list[Conversation]) -> None:
    report = check_locomo(synthetic_json)
    assert report.schema_errors == [] and report.duplicate_questions == 0
    assert report.question_evidence.malformed == report.question_evidence.dangling == 0
    assert report.question_evidence.empty == report.fact_evidence.empty == report.fact_evidence.dangling == 0
    names = [conversation.sample_id for conversation in conversations]
    assert names == [*(f"syn-train-{n}" for n in range(1, 61)), *(f"syn-test-{n}" for n in range(1, 25))]
    assert [conversation.split for conversation in conversations] == ["train"] * 60 + ["test"] * 24
    lengths = []
    for conversation in conversations:
        assert len(conversation.sessions) == 6
        assert 14 <= len(conversation.questions) <= 20
        categories = Counter(question.category for question in conversation.questions)
        assert categories[1] == 3 and categories[2] >= 5 and categories[4] >= 8 and 1 <= categories[5] <= 2
        assert set(conversation.speakers) <= set(pool(conversation).names)
        for session in conversation.sessions:
            assert 8 <= len(session.turns) <= 14
            lengths.append(sum(len(turn.text.split()) for turn in session.turns))
    assert max(lengths) <= 300 and 170 < statistics.mean(lengths) < 210


def test_a_question_about_a_value_asks_for_the_newest(conversations: list[Conversation]) -> None:
    lengths = Counter[int]()
    for conversation, question in answered(conversations, 4):
        noun = kind_asked(question, ATTRIBUTES)
        told = history(conversation, asked_about(question, conversation), noun)
        assert (question.answer, question.evidence.ids) == (told[-1][0], (told[-1][1],))
        lengths[len(told)] += 1
    share = {length: count / lengths.total() for length, count in lengths.items()}
    assert 0.4 < share[2] + share[3] < 0.6 and share[3] > 0.05 and max(share) == 3


def test_a_question_about_a_list_asks_for_all_sessions(conversations: list[Conversation]) -> None:
    for conversation, question in answered(conversations, 1):
        first: dict[str, str] = {}
        for turn, items in mentions(conversation, asked_about(question, conversation), kind_asked(question, TOPICS)):
            for item in items:
                first.setdefault(item, turn.dialog_id)
        assert question.answer == ", ".join(first) and question.evidence.ids == tuple(first.values())
        sessions = [dialog_id.split(":")[0] for dialog_id in first.values()]
        assert len(set(sessions)) == len(sessions) >= 3


def test_dates_are_computed_from_the_session(conversations: list[Conversation]) -> None:
    phrases = Counter[str]()
    for conversation, question in answered(conversations, 2):
        (cited,) = question.evidence.ids
        turn = next(turn for turn in turns_of(conversation) if turn.dialog_id == cited)
        assert turn.speaker == asked_about(question, conversation)
        (phrase,) = re.findall(r"yesterday|\w+ days(?= ago)|last week", turn.text)
        day = datetime.datetime.strptime(conversation.session_date(turn.session).split(" on ")[1], "%d %B, %Y")
        if phrase == "last week":
            expected = f"The week before {day.day} {day:%B} {day.year}"
        else:
            day -= datetime.timedelta(days=DAYS[phrase])
            expected = f"{day.day} {day:%B} {day.year}"
        assert question.answer == expected
        phrases[phrase] += 1
        # The thing that was done is in the turn, or in the question that it answers.
        thing = [one for verb in VERBS for one in pool(conversation).objects[verb] if one in question.text]
        before = turns_of(conversation)[turns_of(conversation).index(turn) - 1]
        assert len(thing) == 1 and (thing[0] in turn.text or thing[0] in before.text)
    assert set(phrases) == {*DAYS, "last week"} and min(phrases.values()) > 20


def test_adversarial_questions_ask_for_what_only_the_other_has(conversations: list[Conversation]) -> None:
    for conversation, question in answered(conversations, 5):
        asked, noun = asked_about(question, conversation), kind_asked(question, ATTRIBUTES)
        (other,) = set(conversation.speakers) - {asked}
        assert history(conversation, asked, noun) == [] and question.answer is None
        assert (question.adversarial_answer, *question.evidence.ids) == history(conversation, other, noun)[-1]


def test_some_answers_say_nothing_without_the_question_before(conversations: list[Conversation]) -> None:
    """A stored turn is then no memory: it does not say what the value is of."""
    bare = [
        question.text
        for conversation, question in answered(conversations, 4)
        for turn in turns_of(conversation)
        if turn.dialog_id == question.evidence.ids[0] and kind_asked(question, ATTRIBUTES) not in turn.text
    ]
    assert 0.15 < len(bare) / sum(1 for _ in answered(conversations, 4)) < 0.35


def test_observations_are_imperfect(conversations: list[Conversation]) -> None:
    seen, twice, stale, undated = [], [], [], []
    for conversation in conversations:
        observed: dict[str, list[str]] = {}
        for fact in conversation.facts:
            assert len(fact.evidence.ids) == 1 and re.search(rf"\b{fact.speaker}\b", fact.text)
            observed.setdefault(fact.evidence.ids[0], []).append(fact.text)
        for texts in observed.values():
            assert len(set(texts)) == len(texts)
        for question in conversation.questions:
            found = [observed.get(dialog_id, []) for dialog_id in question.evidence.ids]
            if question.category == 5:
                continue
            seen += [bool(texts) for texts in found]
            twice += [len(texts) > 1 for texts in found if texts]
            if question.category == 2 and found[0]:
                assert question.answer is not None and not any(question.answer in text for text in found[0])
                undated += [bool(re.search("yesterday|days ago|last week", text)) for text in found[0]]
            if question.category == 4:
                told = history(conversation, asked_about(question, conversation), kind_asked(question, ATTRIBUTES))
                stale += [dialog_id in observed for _, dialog_id in told[:-1]]
    assert statistics.mean(seen) == pytest.approx(0.75, abs=0.04)
    assert statistics.mean(twice) == pytest.approx(0.15, abs=0.04)
    assert statistics.mean(stale) == pytest.approx(0.75, abs=0.06) and all(undated)


def test_two_turns_in_five_are_small_talk(conversations: list[Conversation]) -> None:
    def matches(text: str, frame: str) -> bool:
        return re.match(re.sub(r"\\\{\w+\\\}", "[a-zA-Z ]+", re.escape(frame)), text) is not None

    chat = []
    for conversation in conversations:
        words = pool(conversation)
        frames = [*words.greetings, *words.replies, *(turn for turn, _ in words.asides)]
        chat += [any(matches(turn.text, frame) for frame in frames) for turn in turns_of(conversation)]
    assert statistics.mean(chat) == pytest.approx(0.4, abs=0.05)


def test_right_memories_are_found_among_distractors(conversations: list[Conversation]) -> None:
    """What is observed is among the first five hits, and something that misleads is there too."""
    embedder = CachingEmbedder(HashingEmbedder())
    found, misled = [], []
    for conversation in conversations[::3]:
        bank = MemoryBank.from_memories(initial_memories(conversation), embedder)
        observed = {dialog_id for memory in bank for dialog_id in memory.evidence}
        for question in conversation.questions:
            hits = [hit.memory for hit in bank.search(question.text, top_k=5)]
            cited = {dialog_id for memory in hits for dialog_id in memory.evidence}
            if question.category != 5:
                found += [dialog_id in cited for dialog_id in question.evidence.ids if dialog_id in observed]
            if question.category == 4:
                noun = kind_asked(question, ATTRIBUTES)
                misled.append(
                    any(
                        value in memory.content and value != question.answer
                        for memory in hits
                        for value in pool(conversation).values[noun]
                    )
                )
    assert statistics.mean(found) > 0.9
    assert statistics.mean(misled) > 0.6


def test_stored_turns_cost_more_and_answer_less_than_facts(conversations: list[Conversation]) -> None:
    """Who stores every turn of the last session pays for it, and finds less in the same number of characters."""
    embedder = CachingEmbedder(HashingEmbedder())
    scores: dict[str, list[float]] = {"nothing": [], "turns": [], "facts": []}
    stored: dict[str, list[int]] = {"turns": [], "facts": []}
    for conversation in conversations[::4]:
        before = [memory for memory in initial_memories(conversation) if memory.session != 6]
        session = conversation.sessions[-1]
        asked = [
            question
            for question in conversation.questions
            if question.category == 4 and question.evidence.ids[0].startswith("D6:")
        ]
        written = {
            "nothing": [],
            "turns": [f"{turn.speaker}: {turn.text}" for turn in session.turns],
            "facts": [
                f"{asked_about(question, conversation)}'s {kind_asked(question, ATTRIBUTES)} is {question.answer}."
                for question in asked
            ],
        }
        budget = int(5 * statistics.mean(len(memory.text) for memory in before))
        for name, texts in written.items():
            new = [Memory(f"x{n}", text, session_date=session.date) for n, text in enumerate(texts)]
            bank = MemoryBank.from_memories([*before, *new], embedder)
            for question in asked:
                read = " ".join(hit.memory.text for hit in bank.search(question.text, top_k=20))[:budget]
                scores[name].append((question.answer or "") in read)
            if name in stored and asked:
                stored[name].append(sum(map(len, texts)))
    means = {name: statistics.mean(values) for name, values in scores.items()}
    assert len(scores["facts"]) > 30
    assert means["nothing"] < 0.15 and means["facts"] > 0.95 and means["turns"] < means["facts"] - 0.1
    assert statistics.mean(stored["turns"]) > 3 * statistics.mean(stored["facts"])
