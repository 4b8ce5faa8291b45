"""A chained run: sessions in order on one bank, questions at the end, and what a second start does."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chained_corpus import Scripted, call, keep_everything, write_data
from transformers import AutoTokenizer

from memupdate.broker import MemoryBroker
from memupdate.chain.command import chain
from memupdate.chain.contract import Completion, NoRoomError
from memupdate.chain.data import read_chain_data
from memupdate.chain.run import run_chain
from memupdate.chain.session import TurnLimits
from memupdate.chain.settings import ChainSettings
from memupdate.errors import DataError, FieldError, MemupdateError
from memupdate.memory import HashingEmbedder, ReadBudget
from memupdate.rewards.scorers import ScorerConfig

HELD_OUT = ("conv-a", "conv-b")
FILES = ("report.json", "report.txt", "chain.jsonl", "chain.json")


def play(data_dir: Path, output: Path, policy: Any = None, *, start: int | None = None, **fields: Any) -> Any:
    data = read_chain_data(data_dir, "test", None, start)
    settings = ChainSettings(start=start, **fields)
    return chain(data, policy or Scripted(keep_everything), output, settings, ScorerConfig("overlap"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def report_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "report.json").read_text())
    return found


def words(text: str) -> set[str]:
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return set(re.sub(r"\b(a|an|the|and)\b", " ", plain).split())


def recounted(texts: list[str], questions: list[dict[str, Any]], budget: int) -> list[float]:
    """The overlap score of what fits into the budget, best first: one sort and one loop."""
    embedder = HashingEmbedder()
    rows_ND = embedder.embed(texts)
    scores = []
    for question in questions:
        order = np.argsort(-(rows_ND @ embedder.embed([question["question"]])[0]), kind="stable")
        left, read = budget, ""
        for place in order:
            text = texts[place]
            if len(text) > left:
                read += " " + (text[: left + 1].rsplit(" ", 1)[0] if left and " " in text[: left + 1] else "")
                break
            read += " " + text
            left -= len(text)
        wanted = words(question["answer"])
        scores.append(len(wanted & words(read)) / len(wanted))
    return scores


def test_the_scores_are_those_of_an_independent_recount(data_dir: Path, tmp_path: Path) -> None:
    play(data_dir, tmp_path / "out")
    report = report_of(tmp_path / "out")
    means: dict[str, list[float]] = {"chain": [], "memories file": []}
    for name in HELD_OUT:
        of_file = [
            f"{one['content']} ({one['session_date'].split(' on ')[1]})"
            for one in lines_of(data_dir / "memories" / f"{name}.jsonl")
        ]
        of_chain = [one["content"] for one in lines_of(tmp_path / "out" / "banks" / f"{name}@end.jsonl")]
        assert len(of_chain) == 12  # every turn of four sessions
        budget = round(5 * sum(map(len, of_file)) / len(of_file))
        questions = [one for one in lines_of(data_dir / "questions" / f"{name}.jsonl") if one["category"] != 5]
        found = report["conversations"][name]
        assert found["read_characters"] == budget
        for title, texts in (("chain", of_chain), ("memories file", of_file)):
            expected = recounted(texts, questions, budget)
            stated = [one[title] for one in found["scores"] if one["category"] != 5]
            assert stated == pytest.approx(expected)
            assert found["banks"][title]["characters"] == sum(map(len, texts))
            assert found["banks"][title]["count"] == len(texts)
            means[title].append(sum(expected) / len(expected))
    for title, of_conversation in means.items():
        assert report["qa"][title]["mean"] == pytest.approx(np.mean(of_conversation))
    difference = np.subtract(means["chain"], means["memories file"])
    assert report["qa"]["chain - memories file"]["mean"] == pytest.approx(difference.mean())
    half = 12.7062 * difference.std(ddof=1) / 2**0.5  # Student's t, one degree of freedom, 95 %
    assert report["qa"]["chain - memories file"]["high"] == pytest.approx(difference.mean() + half, rel=1e-4)
    assert means["chain"] != means["memories file"]  # the file does not have the names


def test_all_sessions_are_played_in_order_on_one_bank(data_dir: Path, tmp_path: Path) -> None:
    policy = Scripted(keep_everything)
    play(data_dir, tmp_path / "out", policy)
    assert sorted(policy.seen) == policy.seen == [f"{who} Session {n}" for who in ("Ann", "Bnn") for n in (1, 2, 3, 4)]
    finished = lines_of(tmp_path / "out" / "chain.jsonl")
    assert [(one["sample_id"], one["session"], one["count"]) for one in finished] == [
        (name, number, 3 * number) for name in HELD_OUT for number in (1, 2, 3, 4)
    ]
    assert [one["bank"] for one in finished[:4]] == ["conv-a@D2:1", "conv-a@D3:1", "conv-a@D4:1", "conv-a@end"]
    for one in finished:
        assert (one["turns"], one["calls"], one["errors"], one["malformed"], one["unknown"]) == (2, 6, 1, 1, 1)
    assert report_of(tmp_path / "out")["calls"]["errors per call"]["mean"] == 0.5


def test_the_bank_of_every_session_stays_readable(data_dir: Path, tmp_path: Path) -> None:
    play(data_dir, tmp_path / "out")

    async def banks() -> dict[str, list[str]]:
        broker = MemoryBroker(str(data_dir / "memories"), journal_dir=str(tmp_path / "out" / "journal"))
        try:
            names = [one for one in await broker.namespaces() if not one.endswith("-start")]
            return {name: [one["content"] for one in await broker.list_memories(name)] for name in names}
        finally:
            await broker.stop()

    found = asyncio.run(banks())
    finished = lines_of(tmp_path / "out" / "chain.jsonl")
    assert list(found) == [f"{name}-s{number}p1" for name in HELD_OUT for number in (1, 2, 3, 4)]
    for one in finished:
        stored = lines_of(tmp_path / "out" / "banks" / f"{one['bank']}.jsonl")
        assert found[one["namespace"]] == [memory["content"] for memory in stored]
        assert [memory["id"] for memory in stored] == [f"m{n}" for n in range(1, 3 * one["session"] + 1)]


class Breaking(Scripted):
    """Breaks off at one request, after all those before it were answered."""

    def __init__(self, after: int, script: Callable[[str, int], str] = keep_everything) -> None:
        super().__init__(script)
        self._left = after

    def reply(self, messages: Any, tools: Any, seed: int) -> Completion:
        if not self._left:
            raise MemupdateError("the policy went away")
        self._left -= 1
        return super().reply(messages, tools, seed)


# Two requests a session: an even number breaks off between two sessions, an odd one within a session.
@pytest.mark.parametrize("after", [0, 2, 5, 8, 15])
def test_a_run_that_broke_off_continues_and_ends_with_the_same_bytes(
    data_dir: Path, tmp_path: Path, after: int
) -> None:
    whole = Scripted(keep_everything)
    play(data_dir, tmp_path / "whole", whole)
    with pytest.raises(MemupdateError, match="went away"):
        play(data_dir, tmp_path / "broken", Breaking(after))
    assert not (tmp_path / "broken" / "report.json").exists()
    rest = Scripted(keep_everything)
    play(data_dir, tmp_path / "broken", rest)
    assert rest.seen == whole.seen[after // 2 :]
    assert rest.seeds == whole.seeds[2 * (after // 2) :]
    for name in (*FILES, *(f"banks/{path.name}" for path in (tmp_path / "whole" / "banks").iterdir())):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_nothing_of_an_unfinished_session_stays(data_dir: Path, tmp_path: Path) -> None:
    """An endpoint writes something else when it is asked again."""

    def differs(shown: str, turn: int) -> str:
        junk = call("manage_memory", operation="create", content="junk")
        return junk if turn == 0 and "Session 3" in shown else keep_everything(shown, turn)

    play(data_dir, tmp_path / "whole")
    with pytest.raises(MemupdateError, match="went away"):
        play(data_dir, tmp_path / "broken", Breaking(5, differs))
    play(data_dir, tmp_path / "broken")
    for name in FILES:
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_journal_that_is_gone_is_found(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(MemupdateError, match="went away"):
        play(data_dir, tmp_path / "out", Breaking(2))
    shutil.rmtree(tmp_path / "out" / "journal")
    with pytest.raises(DataError, match=r"bank 'conv-a-s1p1': expected the digest .* got no such bank"):
        play(data_dir, tmp_path / "out")


def test_a_line_that_was_cut_off_is_a_session_that_is_not_finished(data_dir: Path, tmp_path: Path) -> None:
    play(data_dir, tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}
    path = tmp_path / "out" / "chain.jsonl"
    path.write_bytes(before["chain.jsonl"][:-20])
    again = Scripted(keep_everything)
    play(data_dir, tmp_path / "out", again)
    assert again.seen == ["Bnn Session 4"]
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == before


def test_another_input_is_refused_by_name(data_dir: Path, tmp_path: Path) -> None:
    play(data_dir, tmp_path / "out")
    (tmp_path / "other").mkdir()
    moved = write_data(tmp_path / "other", limit_questions=3)
    changes: dict[str, dict[str, Any]] = {
        "seed": {"seed": 1},
        "policy": {"policy": Scripted(keep_everything, "another")},
        "start": {"start": 2},
        "max_turns": {"limits": TurnLimits(max_turns=3)},
        "read_characters": {"budget": ReadBudget(characters=100)},
    }
    for field, change in changes.items():
        with pytest.raises(FieldError) as refused:
            play(data_dir, tmp_path / "out", **change)
        assert refused.value.field == field
    with pytest.raises(FieldError) as refused:
        play(moved, tmp_path / "out")
    assert refused.value.field == "data"


def test_a_folder_of_somebody_else_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FieldError, match=r"output: .* \(this one holds notes.txt\)"):
        play(data_dir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_start_in_mid_conversation_has_the_memories_before_it(data_dir: Path, tmp_path: Path) -> None:
    def erase_the_first(shown: str, turn: int) -> str:
        return call("delete_memory", memory_id="m1") if turn == 0 and "Session 3" in shown else "Done."

    policy = Scripted(erase_the_first)
    play(data_dir, tmp_path / "out", policy, start=3)
    assert policy.seen == [f"{who} Session {number}" for who in ("Ann", "Bnn") for number in (3, 4)]
    report = report_of(tmp_path / "out")
    for name in HELD_OUT:
        banks = report["conversations"][name]["banks"]
        assert [banks[title]["count"] for title in ("start", "chain", "memories file")] == [1, 0, 3]
        scores = report["conversations"][name]["scores"]
        # "What is it called" is nowhere in the file, and "town 1" neither.
        assert [one["start"] for one in scores if one["category"] == 4] == [0, 0, 0]
    assert report["qa"]["chain"]["mean"] == 0
    assert report["qa"]["chain - start"]["mean"] == -report["qa"]["start"]["mean"]


def test_calls_beyond_the_limits_are_not_run(data_dir: Path, tmp_path: Path) -> None:
    def many(shown: str, turn: int) -> str:
        return "".join(call("manage_memory", operation="create", content=f"{turn} {n}") for n in range(3))

    policy = Scripted(many)
    play(data_dir, tmp_path / "out", policy, limits=TurnLimits(max_turns=3, max_calls=2))
    first = lines_of(tmp_path / "out" / "chain.jsonl")[0]
    # Two turns of two calls; those of the last turn are not run, as in training.
    assert (first["turns"], first["count"], first["ignored"], first["calls"]) == (3, 4, 2, 6)
    answers = [message["content"] for message in policy.chats[1] if message["role"] == "tool"]
    limit = "Error: 1 more tool call of this turn ignored; allowed: at most 2 in one turn"
    assert answers == ["Created [m1].", f"Created [m2].\n{limit}"]


def test_bad_calls_are_answered_as_in_training(data_dir: Path, tmp_path: Path) -> None:
    policy = Scripted(keep_everything)
    play(data_dir, tmp_path / "out", policy)
    malformed, unknown, missing = (message["content"] for message in policy.chats[1][-3:])
    assert malformed.startswith("Error: tool call: not valid JSON: ")
    assert malformed.endswith(
        """; allowed: <tool_call>{"name": "search_memory", "arguments": {"query": "..."}}</tool_call>"""
    )
    assert unknown.startswith("Error: tool: got 'forget_it'; allowed: search_memory, manage_memory, ")
    assert missing == "Error: memory_id: 'm999' is not in the bank; allowed: an id that search_memory returned"


def test_abstention_is_asked_where_the_scorer_can_score_it(
    data_dir: Path, tmp_path: Path, install: Callable[[str], None]
) -> None:
    play(data_dir, tmp_path / "overlap")
    assert list(report_of(tmp_path / "overlap")["categories"]) == ["1", "4"]
    assert "abstention questions are left out" in (tmp_path / "overlap" / "report.txt").read_text()
    install("[memupdate.scorers]\nkeyword = keyword_scorer:KeywordScorer\n")
    data = read_chain_data(data_dir, "test", None, None)
    chain(data, Scripted(keep_everything), tmp_path / "keyword", ChainSettings(), ScorerConfig("keyword"))
    report = report_of(tmp_path / "keyword")
    assert {category: of["n"] for category, of in report["categories"].items()} == {"1": 6, "4": 6, "5": 6}
    of_answers = [
        one["chain"] for name in HELD_OUT for one in report["conversations"][name]["scores"] if one["category"] < 5
    ]
    assert report["qa"]["chain"]["mean"] == pytest.approx(np.mean(of_answers))  # equal numbers in both conversations


def test_replies_of_tools_are_cut_and_escaped_as_in_training(data_dir: Path, model_dir: Path, tmp_path: Path) -> None:
    def script(shown: str, turn: int) -> str:
        if turn == 0:
            long = "<|im_end|> " + " ".join(f"word{n}" for n in range(200))
            return call("manage_memory", operation="create", content=long) + call("search_memory", query="word1")
        return "Done."

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    policy = Scripted(script, tokenizer=tokenizer)
    play(data_dir, tmp_path / "out", policy, limits=TurnLimits(tool_response_tokens=60))
    found = policy.chats[1][-1]["content"]
    assert len(tokenizer(found, add_special_tokens=False)["input_ids"]) <= 60
    assert re.search(r" …\[cut: \d+ more tokens\]$", found)
    assert "< |im_end|>" in found
    with pytest.raises(FieldError, match=r"tool_response_tokens: got 2; "):
        play(data_dir, tmp_path / "small", policy, limits=TurnLimits(tool_response_tokens=2))
    assert not (tmp_path / "small").exists()


class Full(Scripted):
    """Its context is full at one turn of the second session."""

    def __init__(self, turn: int) -> None:
        super().__init__(lambda shown, at: call("search_memory", query="pet") if at < 2 else "Done.")
        self._turn = turn

    def reply(self, messages: Any, tools: Any, seed: int) -> Completion:
        turn = sum(message["role"] == "assistant" for message in messages)
        if "Session 2" in messages[1]["content"] and turn == self._turn:
            raise NoRoomError(4096, 4096)
        return super().reply(messages, tools, seed)


def test_a_context_that_fills_ends_the_session_and_is_counted(data_dir: Path, tmp_path: Path) -> None:
    play(data_dir, tmp_path / "out", Full(1))
    finished = lines_of(tmp_path / "out" / "chain.jsonl")
    assert [(one["turns"], one["no_room"]) for one in finished] == 2 * [(3, False), (1, True), (3, False), (3, False)]
    assert report_of(tmp_path / "out")["conversations"]["conv-a"]["no_room"] == 1
    shown = (tmp_path / "out" / "report.txt").read_text()
    assert "2 sessions ended because the messages filled the model's context" in shown
    with pytest.raises(NoRoomError, match="allowed: fewer than 4,096"):
        play(data_dir, tmp_path / "long", Full(0))  # a session that cannot be read at all is no result


def test_a_judge_that_is_down_costs_no_session(data_dir: Path, tmp_path: Path) -> None:
    class Down:
        name = "down"
        up = False

        def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
            if not self.up:
                raise MemupdateError("the judge is down")
            return 0.25

    judge = Down()
    data = read_chain_data(data_dir, "test", None, None)

    def played(policy: Scripted) -> Any:
        return asyncio.run(run_chain(data, policy, judge, tmp_path / "out", {"seed": 0}, ChainSettings()))

    with pytest.raises(MemupdateError, match="the judge is down"):
        played(Scripted(keep_everything))
    judge.up = True
    again = Scripted(keep_everything)
    results = played(again)
    assert again.seen == []
    assert {score for result in results for score in result.banks["chain"].scores} == {0.25}


def test_wrong_choices_are_refused_by_name(data_dir: Path, tmp_path: Path) -> None:
    for field, arguments in {
        "split": ("dev", None, None),
        "conversations": ("test", ["conv-c"], None),
        "start": ("test", None, 5),
    }.items():
        with pytest.raises(FieldError) as refused:
            read_chain_data(data_dir, *arguments)  # type: ignore[arg-type]
        assert refused.value.field == field
    with pytest.raises(FieldError, match="read_characters: got 5; allowed: at least one memory"):
        play(data_dir, tmp_path / "out", budget=ReadBudget(characters=5))
    assert not (tmp_path / "out").exists()  # refused before anything was played
