"""The synthetic corpus: LoCoMo's shape, and questions whose reward depends on what is done to the bank."""

from __future__ import annotations

import json
import random
import re
import statistics
from collections import Counter
from pathlib import Path

import pytest

from memupdate.data import synthetic_words as words
from memupdate.data.check import check_locomo
from memupdate.data.conversation import Conversation
from memupdate.data.facts import initial_memories
from memupdate.data.locomo import load_locomo
from memupdate.data.synthetic import main, synthetic_corpus
from memupdate.errors import FieldError
from memupdate.evaluation.locomo_score import normalize
from memupdate.memory import CachingEmbedder, HashingEmbedder, MemoryBank


@pytest.fixture(scope="module")
def conversations(corpus_json: Path) -> list[Conversation]:
    return load_locomo(corpus_json)


def overlap(question: str, answer: str, bank: MemoryBank) -> float:
    """Share of the answer's words in the five memories retrieved."""
    retrieved = {
        word for hit in bank.search(question, top_k=5) for word in normalize(hit.memory.text.replace("\n", " ")).split()
    }
    wanted = set(normalize(answer).split())
    return len(wanted & retrieved) / len(wanted)


def banks(conversations: list[Conversation], dim: int = 256) -> list[tuple[MemoryBank, list[tuple[str, str, int]]]]:
    embedder = CachingEmbedder(HashingEmbedder(dim))
    return [
        (
            MemoryBank.from_memories(initial_memories(conversation), embedder),
            [(q.text, q.answer, q.category) for q in conversation.questions if q.answer is not None],
        )
        for conversation in conversations
    ]


def test_the_corpus_goes_through_the_locomo_loader(corpus_json: Path, conversations: list[Conversation]) -> None:
    report = check_locomo(corpus_json)
    assert report.schema_errors == [] and report.conversations == 10
    assert report.question_evidence.malformed == report.question_evidence.dangling == 0
    assert report.fact_evidence.empty == report.question_evidence.empty == report.duplicate_questions == 0
    for conversation in conversations:
        assert len(conversation.sessions) == 6
        assert 60 <= len(conversation.facts) <= 80
        assert 12 <= len(conversation.questions) <= 16
        categories = Counter(question.category for question in conversation.questions)
        assert categories[1] == 8 and categories[4] >= 2 and categories[2] >= 1 and categories[5] >= 1
        assert len(set(conversation.speakers)) == 2
    # names recur, as "John" does in LoCoMo: a held-out conversation speaks of people that a small model has read of
    assert {speaker for conversation in conversations for speaker in conversation.speakers} <= set(words.NAMES)
    assert len(words.NAMES) < 20


def test_facts_are_about_their_speaker_and_short(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        for fact in conversation.facts:
            other = conversation.speakers[1 - conversation.speakers.index(fact.speaker)]
            assert fact.speaker in fact.text and other not in fact.text
            assert 7 <= len(fact.text.split()) <= 13


def test_list_questions_have_one_fact_per_item(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        facts = {fact.evidence.ids[0]: fact for fact in conversation.facts}
        for question in conversation.questions:
            if question.category != 1:
                continue
            items = (question.answer or "").split(", ")
            assert len(items) in (7, 8) and len(set(question.evidence.ids)) == len(items)
            support = [facts[dialog_id] for dialog_id in question.evidence.ids]
            for item, fact in zip(items, support, strict=True):
                assert item in fact.text and fact.speaker in question.text
                assert question.text.split()[1] in fact.text
            frames = [fact.text.replace(item, "") for item, fact in zip(items, support, strict=True)]
            assert len(set(frames)) == len(frames)


def test_temporal_answers_are_session_dates(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        for question in conversation.questions:
            if question.category == 2:
                session = int(question.evidence.ids[0].split(":")[0][1:])
                assert question.answer == conversation.session_date(session).split(" on ")[1].replace(",", "")


def test_adversarial_questions_have_no_support(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        for question in conversation.questions:
            if question.category == 5:
                assert question.answer is None and question.adversarial_answer
                asked = next(name for name in conversation.speakers if name in question.text)
                noun = question.text.split()[1]
                assert not any(fact.speaker == asked and noun in fact.text for fact in conversation.facts)


def test_words_of_items_occur_nowhere_else() -> None:
    def stems(text: str) -> list[str]:
        return [word.rstrip("s") for word in re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", text.lower()))]

    items = Counter(one for topic in words.TOPICS for item in topic.items for one in stems(item))
    items.update(one for attribute in words.ATTRIBUTES for value in attribute.values for one in stems(value))
    assert set(items.values()) == {1}
    others = [
        *words.NAMES,
        *words.FRAMES,
        *words.UTTERANCES,
        *words.REPLIES,
        *(" ".join(pair) for pair in words.ASIDES),
    ]
    others += [f"{topic.noun} {topic.participle}" for topic in words.TOPICS]
    others += [f"{one.question} {one.fact} {one.utterance}" for one in (*words.ATTRIBUTES, *words.EVENTS)]
    assert not set(items) & {one for text in others for one in stems(text)}
    assert len(words.TOPICS) >= 8 and all(len(set(topic.items)) >= 12 for topic in words.TOPICS)
    assert all(frame.count(slot) == 1 for frame in words.FRAMES for slot in ("{name}", "{noun}", "{item}"))


def test_the_vocabulary_is_small() -> None:
    text = json.dumps(synthetic_corpus(50, seed=3))
    assert len({word.lower() for word in re.findall(r"[A-Za-z0-9]+", text)}) < 1500


def test_merging_helps_and_deleting_or_chance_do_not(conversations: list[Conversation]) -> None:
    rng = random.Random(0)
    before, deltas = [], {"merge 3": [], "merge 5": [], "delete": [], "random delete": [], "random merge": []}
    for bank, questions in banks(conversations):
        for question, answer, category in questions:
            if category != 1:
                continue
            base = overlap(question, answer, bank)
            before.append(base)
            top = [hit.memory.id for hit in bank.search(question, top_k=5)]
            everyone = [memory.id for memory in bank]
            for name, list_deltas in deltas.items():
                fork = bank.fork()
                if name.startswith("merge"):
                    fork.merge(top[: int(name[-1])], "concatenate")
                elif name == "delete":
                    fork.delete(rng.choice(top))
                elif name == "random delete":
                    fork.delete(rng.choice(everyone))
                else:
                    fork.merge(rng.sample(everyone, 3), "concatenate")
                list_deltas.append(overlap(question, answer, fork) - base)
    assert 0.5 <= statistics.mean(before) <= 0.75
    means = {name: statistics.mean(values) for name, values in deltas.items()}
    assert means["merge 5"] > 0.3 and means["merge 3"] > 0.2
    assert statistics.mean(value > 0 for value in deltas["merge 5"]) > 0.95
    assert means["delete"] <= 0.03
    assert abs(means["random delete"]) < 0.02 and abs(means["random merge"]) < 0.1


def test_the_facts_of_a_list_question_are_retrieved_first(conversations: list[Conversation]) -> None:
    # Wide, so that words seldom share a dimension: the property is the corpus's, not the embedder's.
    for bank, questions in banks(conversations[:4], dim=4096):
        for question, answer, category in questions:
            if category == 1:
                items = answer.split(", ")
                top = bank.search(question, top_k=len(items))
                found = sum(any(item in hit.memory.content for hit in top) for item in items)
                assert found >= len(items) - 1


def test_single_hop_and_temporal_questions_start_supported(conversations: list[Conversation]) -> None:
    scores = [
        overlap(question, answer, bank)
        for bank, questions in banks(conversations)
        for question, answer, category in questions
        if category in (2, 4)
    ]
    assert statistics.mean(scores) > 0.9


def test_the_seed_decides_and_longer_corpora_extend_shorter_ones() -> None:
    assert synthetic_corpus(3, seed=5) == synthetic_corpus(3, seed=5) == synthetic_corpus(4, seed=5)[:3]
    assert synthetic_corpus(1, seed=5) != synthetic_corpus(1, seed=6)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "deep" / "a.json", tmp_path / "b.json"
    for path in (first, second):
        assert main(["--output", str(path), "--conversations", "2", "--seed", "9"]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text()) == synthetic_corpus(2, seed=9)
    assert main(["--output", str(first), "--conversations", "0"]) == 2
    assert "conversations: got 0; allowed: a whole number from 1 to 10,000" in capsys.readouterr().err
    assert main(["--output", str(tmp_path), "--conversations", "1"]) == 2
    with pytest.raises(FieldError):
        synthetic_corpus(10_001)
