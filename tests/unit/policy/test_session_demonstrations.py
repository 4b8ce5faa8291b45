"""The tiny policy's demonstrations of session episodes: what a scripted reader notes, searches and edits."""

from __future__ import annotations

import json
import re
from itertools import chain, pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import write_corpus
from memupdate.errors import DataError
from memupdate.policy import PolicySettings, make_policy, write_demonstrations
from memupdate.policy.demonstrations import validation_path
from memupdate.policy.sessions import ShownTurn, read_session
from memupdate.tools.schemas import tool_schemas

SMALL = PolicySettings(episode="session", trajectories=120, drills=20, validation_rows=8)
Messages = list[dict[str, str]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "corpus.json", 4, 2, seed=3)
    preprocess(folder / "corpus.json", folder / "data", dataset="synthetic")
    return folder / "data"


@pytest.fixture(scope="module")
def rows(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    path = tmp_path_factory.mktemp("demonstrations") / "rows.parquet"
    write_demonstrations(path, corpus, SMALL)
    found: list[dict[str, object]] = pq.read_table(path).to_pylist() + pq.read_table(validation_path(path)).to_pylist()
    return found


@pytest.fixture(scope="module")
def trajectories(rows: list[dict[str, object]]) -> list[Messages]:
    return [row["messages"] for row in rows if row["tools"]]  # type: ignore[misc]


@pytest.fixture(scope="module")
def drills(rows: list[dict[str, object]]) -> list[Messages]:
    return [row["messages"] for row in rows if not row["tools"]]  # type: ignore[misc]


@pytest.fixture(scope="module")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("model")
    make_policy(folder, corpus, SMALL)
    return AutoTokenizer.from_pretrained(folder)


def calls_of(content: str) -> list[dict[str, dict[str, str]]]:
    """A naive reading of hermes tool calls."""
    return [json.loads(call) for call in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", content)]


def first_line(message: str) -> str:
    return message.split("\n")[0]


def same_but_for_words(shown: str, original: str) -> bool:
    """Whether a text is another one with words replaced, the same word by the same word."""
    parts, originals = re.split(r"(\w+)", shown), re.split(r"(\w+)", original)
    pairs = set(zip(originals, parts, strict=True)) if len(parts) == len(originals) else {("", ""), ("", "x")}
    return len({before for before, _ in pairs}) == len(pairs)


def shown_rows(corpus: Path, split: str) -> list[str]:
    return [row["prompt"][-1]["content"] for row in pq.read_table(corpus / f"{split}-session.parquet").to_pylist()]


def test_every_call_is_answered_without_an_error(trajectories: list[Messages]) -> None:
    names: dict[str, int] = {}
    for messages in trajectories:
        assert messages[-1] == {"role": "assistant", "content": "Done."}
        asked = [
            call for message in messages if message["role"] == "assistant" for call in calls_of(message["content"])
        ]
        replies = [message["content"] for message in messages if message["role"] == "tool"]
        assert len(asked) == len(replies)
        for call, reply in zip(asked, replies, strict=True):
            name = str(call["name"]) + call["arguments"].get("operation", "")
            names[name] = names.get(name, 0) + 1
            assert not reply.startswith("Error"), (call, reply)
    assert set(names) == {
        *("manage_memorycreate", "manage_memoryupdate", "search_memory", "delete_memory", "merge_memory"),
    }
    assert max(names, key=names.__getitem__) == "manage_memorycreate"


def test_turns_and_calls_stay_within_the_local_profiles_limits(trajectories: list[Messages]) -> None:
    for messages in trajectories:
        written = [message["content"] for message in messages if message["role"] == "assistant"]
        assert len(written) <= 6
        assert all(len(calls_of(content)) <= 8 for content in written)


def test_edits_name_memories_that_the_search_before_them_showed(trajectories: list[Messages]) -> None:
    edits = 0
    for messages in trajectories:
        for reply, message in pairwise(messages):
            for call in calls_of(message["content"]) if message["role"] == "assistant" else ():
                arguments = call["arguments"]
                named = re.findall(r"m\d+", json.dumps([arguments.get("memory_id"), arguments.get("memory_ids")]))
                edits += len(named)
                assert all(f"[{one}]" in reply["content"] for one in named)
    assert edits > 20


def test_only_sessions_that_train_are_shown(
    corpus: Path, trajectories: list[Messages], rows: list[dict[str, object]]
) -> None:
    trained = {first_line(message): message for message in shown_rows(corpus, "train")}
    for messages in trajectories:
        shown = messages[1]["content"]
        assert same_but_for_words(shown, trained[first_line(shown)]), shown
    everything = json.dumps(rows)
    for path in (corpus / "memories").glob("syn-test-*.jsonl"):
        for line in path.read_text().splitlines():
            assert json.loads(line)["content"] not in everything


def test_no_question_stands_in_a_demonstration(corpus: Path, rows: list[dict[str, object]]) -> None:
    everything = json.dumps(rows)
    asked = [
        json.loads(line)
        for path in (corpus / "questions").glob("*.jsonl")
        for line in path.read_text().split("\n")
        if line
    ]
    assert len(asked) > 40
    # A question that a speaker asks aloud in the session is part of what is read.
    heard = "\n".join(shown_rows(corpus, "train"))
    assert not [one["question"] for one in asked if one["question"] in everything and one["question"] not in heard]


def test_a_bank_holds_what_was_learned_before_its_session(corpus: Path, trajectories: list[Messages]) -> None:
    """A search in the first session finds nothing, and no search finds a fact of the session or of a later one."""
    sessions: dict[str, set[int]] = {}
    for path in (corpus / "memories").glob("syn-train-*.jsonl"):
        for memory in map(json.loads, path.read_text().splitlines()):
            sessions.setdefault(memory["content"], set()).add(memory["session"])
    found = 0
    for messages in trajectories:
        now = read_session(messages[1]["content"]).number
        own = {call["arguments"].get("content") for m in messages for call in calls_of(m["content"])}
        for message in messages:
            for hit in re.findall(r"^\[m\d+\] \d\.\d\d (.*?)(?: \([^()]*\))?$", message["content"], re.MULTILINE):
                if hit not in own and hit in sessions:
                    found += 1
                    assert min(sessions[hit]) < now
    assert found > 50


DATE = r"(?:\d{1,2} )?(?:[A-Z][a-z]+ )?\d{4}"


def pieces(note: str, turns: tuple[ShownTurn, ...]) -> bool:
    """Whether each line of a note is a piece of a turn behind its speaker. A date may stand first, or within."""
    for line in re.sub(rf"^{DATE}, ", "", note).split("\n"):
        speaker, text = line.split(": ", 1)
        said = [turn.text for turn in turns if turn.speaker == speaker]
        around = re.split(rf"(?:on|in|the \w+ before) {DATE}", text)
        if not any(all(part in one for part in around) for one in said):
            return False
    return True


def test_notes_are_what_was_said(trajectories: list[Messages]) -> None:
    kinds = {"line": 0, "shorter": 0, "two lines": 0, "day": 0}
    for messages in trajectories:
        session = read_session(messages[1]["content"])
        lines = messages[1]["content"].split("\n")
        for message in messages:
            for call in calls_of(message["content"]) if message["role"] == "assistant" else ():
                note = call["arguments"].get("content")
                if note is None:
                    continue
                assert pieces(note, session.turns), note
                kinds["two lines" if "\n" in note else "line" if note in lines else "shorter"] += 1
                kinds["day"] += bool(re.search(r"\d{4}", note))
    assert min(kinds.values()) > 10, kinds


def test_small_talk_is_noted_as_often_as_anything_else(trajectories: list[Messages]) -> None:
    """Which turns become notes is left to chance: first, middle and last turns of sessions have equal shares."""
    noted = shown = 0
    greeted = sessions = 0
    for messages in trajectories:
        lines = messages[1]["content"].split("\n")[1:]
        notes = [
            c["arguments"].get("content", "")
            for m in messages
            if m["role"] == "assistant"
            for c in calls_of(m["content"])
        ]
        starts = [any(line[:24] in note for note in notes) for line in lines]
        noted, shown = noted + sum(starts), shown + len(starts)
        greeted, sessions = greeted + starts[0], sessions + 1
    assert abs(greeted / sessions - noted / shown) < 0.1


def test_drills_copy_words_that_occur_nowhere(drills: list[Messages], trajectories: list[Messages]) -> None:
    known = set(re.findall(r"\w+", json.dumps(trajectories)))
    copied = 0
    for messages in drills:
        session = read_session(messages[0]["content"])
        for message in messages:
            for call in calls_of(message["content"]) if message["role"] == "assistant" else ():
                note = call["arguments"].get("content", "")
                assert not note or pieces(note, session.turns), note
                copied += sum(word not in known for word in re.findall(r"\w+", note))
    assert copied > 100


def test_three_in_four_sessions_are_in_disguise_and_keep_their_dates(
    corpus: Path, trajectories: list[Messages]
) -> None:
    trained = {first_line(message): message for message in shown_rows(corpus, "train")}
    changed = [messages[1]["content"] for messages in trajectories if messages[1]["content"] not in trained.values()]
    assert 0.6 < len(changed) / len(trajectories) < 0.85
    when = r"yesterday|\w+ days ago|last week|today"
    for message in changed:
        assert re.findall(when, message) == re.findall(when, trained[first_line(message)])


def test_the_same_settings_write_the_same_rows(corpus: Path, rows: list[dict[str, object]], tmp_path: Path) -> None:
    write_demonstrations(tmp_path / "one.parquet", corpus, SMALL)
    write_demonstrations(tmp_path / "two.parquet", corpus, SMALL)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    again = pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert again == rows[: len(again)]


def test_a_call_of_a_note_costs_few_tokens_beside_the_note(tokenizer: PreTrainedTokenizerFast) -> None:
    note = "Anna: My dentist is Doctor Keller."
    call = json.dumps({"name": "manage_memory", "arguments": {"operation": "create", "content": note}})
    whole = tokenizer(f"<tool_call>\n{call}\n</tool_call>", add_special_tokens=False)["input_ids"]
    assert len(whole) == len(tokenizer(note, add_special_tokens=False)["input_ids"]) + 4


def test_a_line_has_the_same_tokens_in_the_prompt_and_in_a_note(
    tokenizer: PreTrainedTokenizerFast, trajectories: list[Messages]
) -> None:
    for messages in trajectories[:20]:
        first, *lines = messages[1]["content"].split("\n")
        shown = tokenizer(messages[1]["content"], add_special_tokens=False)["input_ids"]
        apart = [tokenizer(f"{line}\n", add_special_tokens=False)["input_ids"] for line in [first, *lines]]
        assert shown == list(chain.from_iterable(apart))[:-1]
        for line in lines:
            call = json.dumps({"name": "manage_memory", "arguments": {"operation": "create", "content": line}})
            tokens = tokenizer(f"<tool_call>\n{call}\n</tool_call>", add_special_tokens=False)["input_ids"]
            assert tokens[2:-2] == tokenizer(line, add_special_tokens=False)["input_ids"], line


def test_a_session_is_read_from_its_prompt() -> None:
    session = read_session("Session 5, 1:56 pm on 8 May, 2023\nAnna: I ran: 5 km!\nBen: Oh. [image: a dog]")
    assert (session.number, session.date) == (5, "1:56 pm on 8 May, 2023")
    assert session.turns == (ShownTurn("Anna", "I ran: 5 km!"), ShownTurn("Ben", "Oh. [image: a dog]"))
    assert read_session("Session 5\nAnna: Hi.").date == ""


@pytest.mark.parametrize("message", ["What is Anna's dentist?", "Session 5, 8 May, 2023", "Session 5, now\nno turn"])
def test_a_prompt_without_a_session_is_an_error(message: str) -> None:
    with pytest.raises(DataError, match="expected 'Session 5"):
        read_session(message)


def test_turns_put_together_by_verl_are_the_whole_conversations_tokens(
    tokenizer: PreTrainedTokenizerFast, trajectories: list[Messages]
) -> None:
    """No token drift with several calls in a turn: neither in a rollout nor in verl's supervised rows."""
    from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

    builder = create_continuous_token_builder(tokenizer, hf_model_type="qwen3", chat_template_kwargs={})
    tools = tool_schemas()
    several = [m for m in trajectories if any(a["role"] == b["role"] == "tool" for a, b in pairwise(m))]
    for messages in several[:12]:
        whole = tokenizer.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True)["input_ids"]
        runtime = builder.build_initial_tokens(messages[:2], tools=tools)
        place = 2
        while place < len(messages):
            if messages[place]["role"] == "assistant":
                generated = tokenizer(messages[place]["content"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
                runtime = builder.merge_assistant_tokens(runtime, generated).token_ids
                place += 1
                continue
            end = place
            while messages[end]["role"] == "tool":
                end += 1
            runtime = builder.merge_context_tokens(messages[:place], messages[:end], runtime, tools=tools).token_ids
            place = end
        assert runtime == whole[: len(runtime)]
        assert tokenizer.decode(whole[len(runtime) :]).strip() == ""
        alone = [tokenizer.apply_chat_template([one], tokenize=False) for one in messages[2:]]
        head = tokenizer.apply_chat_template(messages[:2], tools=tools, tokenize=False)
        assert head + "".join(alone) == tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
