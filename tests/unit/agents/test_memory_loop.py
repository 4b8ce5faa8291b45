"""The trajectory: rows U17, U18, U34, U35, U37, through verl's real tool loop.

Rows U14, U17, U18, U34, U35, U36, U37.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted_stage import ScriptedServer, Stage, row
from transformers import PreTrainedTokenizerFast

from memupdate.agents.loop import NamespaceInUseError
from memupdate.broker import UnknownNamespaceError
from memupdate.data.conversation import Turn
from memupdate.data.episodes import SessionPart
from memupdate.data.rows import build_session_row
from memupdate.errors import FieldError
from memupdate.memory import Memory, write_memories
from memupdate.platform.seeds import request_seed
from memupdate.tools import TOOLS, TrajectoryCounts

MakeStage = Callable[[], Stage]


def call(name: str, **arguments: Any) -> str:
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


def create(content: str) -> str:
    return call("manage_memory", operation="create", content=content)


def test_u34_a_trajectory_stops_without_a_tool_call(stage: MakeStage) -> None:
    async def scenario() -> None:
        played = await (made := stage()).play([create("Ana has a cat"), call("delete_memory", memory_id="m2"), "Done."])
        assert played.tool_texts == ["Created [m4].", "Deleted [m2]."]
        fields = played.output.extra_fields
        assert fields["turns"] == 3
        assert (fields["memory_count_before"], fields["memory_count_after"]) == (3, 3)
        assert fields["namespace"] == "conv-a-qa0-01234567-s1-d7-r0"
        assert [memory["id"] for memory in await made.broker.list_memories(fields["namespace"])] == ["m1", "m3", "m4"]

    asyncio.run(scenario())


def test_u34_a_trajectory_stops_at_the_limit_of_turns(stage: MakeStage) -> None:
    async def scenario() -> None:
        forever = (create(f"fact {number}") for number in range(10**6))
        played = await stage().play(forever, max_assistant_turns=4)
        assert played.output.extra_fields["turns"] == len(played.server.requests) == 4
        assert played.output.extra_fields["calls_manage_memory"] == 3  # the last turn's calls are not made

    asyncio.run(scenario())


def test_a_prompt_that_is_too_long_is_an_error_and_is_not_cut(stage: MakeStage) -> None:
    """verl would cut off its beginning, the system prompt and the tools, and train on what is left."""

    async def scenario() -> None:
        made = stage()
        with pytest.raises(FieldError, match=r"^data\.max_prompt_length: got 20; allowed: \d+ or more"):
            await made.play(["Done."], prompt_length=20)
        assert await made.broker.namespaces() == []

    asyncio.run(scenario())


def test_u34_a_trajectory_stops_at_the_limit_of_tokens(stage: MakeStage) -> None:
    async def scenario() -> None:
        forever = (create(f"fact {number}") for number in range(10**6))
        played = await stage().play(forever, response_length=500)
        assert len(played.output.response_ids) == len(played.output.response_mask) <= 500
        assert 1 < played.output.extra_fields["turns"] < 10

    asyncio.run(scenario())


def test_u34_only_generated_tokens_are_in_the_loss(stage: MakeStage) -> None:
    async def scenario() -> None:
        script = [call("search_memory", query="tea", top_k=2), create("Ben") + create("Eva"), "I am done."]
        played = await (made := stage()).play(script)
        output, tokenizer = played.output, made.tokenizer
        masked = list(zip(output.response_ids, output.response_mask, strict=True))
        assert [token for token, mask in masked if mask] == [token for ids in played.server.outputs for token in ids]
        assert output.response_logprobs == [-1.0 if mask else 0.0 for _, mask in masked]
        # Every token is where the chat template puts it: no drift between turns.
        messages = [
            *row()["raw_prompt"],
            {"role": "assistant", "content": script[0]},
            {"role": "tool", "content": played.tool_texts[0]},
            {"role": "assistant", "content": script[1]},
            {"role": "tool", "content": "Created [m4]."},
            {"role": "tool", "content": "Created [m5]."},
            {"role": "assistant", "content": script[2]},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False).removesuffix("\n")
        assert tokenizer.decode(output.prompt_ids + output.response_ids) == text
        for request, generated in zip(played.server.requests[1:], played.server.outputs, strict=False):
            previous = played.server.requests[played.server.requests.index(request) - 1]["prompt_ids"]
            assert request["prompt_ids"][: len(previous) + len(generated)] == previous + generated

    asyncio.run(scenario())


def test_u35_rollouts_of_a_group_edit_banks_of_their_own(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        played = await asyncio.gather(
            *(made.play([create(f"by rollout {n}"), "Done."], row=row(session_id=n)) for n in range(4))
        )
        namespaces = [one.output.extra_fields["namespace"] for one in played]
        assert namespaces == [f"conv-a-qa0-01234567-s1-d7-r{n}" for n in range(4)]
        for number, namespace in enumerate(namespaces):
            contents = [memory["content"] for memory in await made.broker.list_memories(namespace)]
            assert contents[3:] == [f"by rollout {number}"]

    asyncio.run(scenario())


SUFFIXES = ("s1-d7-r0", "s2-d7-r0", "s1-d8-r0", "s1-d7-r1", "s1-v7-r0")


def test_u35_namespaces_differ_by_step_prompt_and_rollout(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        rows = [row(), row(global_steps=2), row(uid="d8"), row(session_id=1), row(uid="v7")]
        namespaces = [(await made.play(["Done."], row=one)).output.extra_fields["namespace"] for one in rows]
        assert namespaces == [f"conv-a-qa0-01234567-{suffix}" for suffix in SUFFIXES]

    asyncio.run(scenario())


def test_u35_a_namespace_in_use_is_an_error_and_stays_as_it_is(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        await made.play([create("mine"), "Done."])
        with pytest.raises(NamespaceInUseError, match="conv-a-qa0-01234567-s1-d7-r0"):
            await made.play([create("not mine"), "Done."])
        contents = [memory["content"] for memory in await made.broker.list_memories("conv-a-qa0-01234567-s1-d7-r0")]
        assert contents[3:] == ["mine"]

    asyncio.run(scenario())


def test_a_failed_trajectory_leaves_no_namespace_behind(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        with pytest.raises(RuntimeError, match="out of memory"):
            await made.play([create("x"), RuntimeError("out of memory")])
        assert await made.broker.namespaces() == []

    asyncio.run(scenario())


def test_a_cancelled_trajectory_leaves_no_namespace_behind(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        with pytest.raises(asyncio.CancelledError):
            await made.play([create("x"), asyncio.CancelledError()])
        assert await made.broker.namespaces() == []

    asyncio.run(scenario())


def test_a_broker_that_fails_is_not_text_to_train_on(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()

        def script() -> Any:
            yield create("x")
            asyncio.get_running_loop().create_task(made.broker.close("conv-a-qa0-01234567-s1-d7-r0"))
            yield create("y")

        with pytest.raises(UnknownNamespaceError):
            await made.play(script())

    asyncio.run(scenario())


def test_calls_of_one_turn_are_made_in_order(stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        made = stage()
        delays, run = [30, 20, 10, 0], made.broker.run

        async def slower_first(*args: Any) -> Any:
            for _ in range(delays.pop(0)):
                await asyncio.sleep(0)
            return await run(*args)

        monkeypatch.setattr(made.broker, "run", slower_first)
        turn = create("a") + call("delete_memory", memory_id="m4") + create("b") + call("search_memory", query="a b")
        played = await made.play([turn, "Done."])
        assert played.tool_texts[:3] == ["Created [m4].", "Deleted [m4].", "Created [m5]."]
        assert played.tool_texts[3].startswith("[m5] ")

    asyncio.run(scenario())


def test_calls_beyond_the_limit_are_named_and_counted(stage: MakeStage) -> None:
    async def scenario() -> None:
        turn = "".join(create(f"fact {number}") for number in range(5))
        played = await stage().play([turn, "Done."], max_parallel_calls=2)
        assert played.tool_texts == [
            "Created [m4].",
            "Created [m5].\nError: 3 more tool calls of this turn ignored; allowed: at most 2 in one turn",
        ]
        fields = played.output.extra_fields
        assert (fields["calls_manage_memory"], fields["ignored_calls"]) == (2, 3)

    asyncio.run(scenario())


def test_u18_tool_text_is_cut_by_tokens_and_not_by_verls_characters(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        script = [create("word " * 100), create("other " * 50), call("search_memory", query="word other"), "Done."]
        played = await made.play(script, tool_response_tokens=300, max_tool_response_length=10)
        text = played.tool_texts[2]
        assert "truncated" not in text
        assert len(made.tokenizer.encode(text, add_special_tokens=False)) <= 300
        assert text.endswith(" more tokens]")

    asyncio.run(scenario())


def test_u18_a_limit_without_room_for_text_is_an_error(stage: MakeStage) -> None:
    with pytest.raises(FieldError, match=r"memory\.tool_response_tokens"):
        asyncio.run(stage().play(["Done."], tool_response_tokens=5))


def test_u36_every_generation_has_a_seed_of_its_own_and_the_same_one_again(stage: MakeStage) -> None:
    async def scenario(session_id: int) -> list[dict[str, Any]]:
        played = await stage().play([create("x"), create("y"), "Done."], row=row(session_id=session_id))
        return played.server.requests

    first, again, other = (asyncio.run(scenario(session_id)) for session_id in (0, 0, 1))
    assert [request["sampling_seed"] for request in first] == [request_seed(11, 1, "d7", 0, t) for t in range(3)]
    assert first == again
    assert {request["sampling_seed"] for request in first}.isdisjoint(request["sampling_seed"] for request in other)
    assert {request["request_id"] for request in first} == {"conv-a-qa0-01234567-s1-d7-r0"}
    assert {request["temperature"] for request in first} == {1.0}


def test_the_groups_sampling_parameters_are_not_written_to(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        shared = {"temperature": 1.0}
        loop = made.loop(ScriptedServer(made.tokenizer, iter(["Done."])))
        await loop.run(shared, **row())
        assert shared == {"temperature": 1.0}

    asyncio.run(scenario())


def test_u14_a_sample_repeats_with_the_trajectory_and_differs_with_the_rollout(stage: MakeStage) -> None:
    async def scenario(session_id: int) -> list[str]:
        played = await stage().play([call("sample_memory", k=2)] * 6 + ["Done."], row=row(session_id=session_id))
        return played.tool_texts

    assert asyncio.run(scenario(0)) == asyncio.run(scenario(0)) != asyncio.run(scenario(1))
    assert len(set(asyncio.run(scenario(0)))) > 1


def test_u37_extra_fields_have_the_same_keys_for_every_trajectory(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()
        scripts = [["Done."], [create("x"), "Done."], ["<tool_call>{</tool_call>", call("drop"), "Done."]]
        played = [await made.play(script, row=row(session_id=n)) for n, script in enumerate(scripts)]
        keys = [set(one.output.extra_fields) for one in played]
        assert keys[0] == keys[1] == keys[2]
        assert keys[0] >= {"namespace", "turn_scores", "tool_rewards", *TrajectoryCounts().to_fields()}

    asyncio.run(scenario())


def test_u17_an_unknown_tool_is_answered_and_counted(stage: MakeStage) -> None:
    async def scenario() -> None:
        played = await stage().play([call("drop_memory", memory_id="m1"), "Done."])
        assert played.tool_texts == [f"Error: tool: got 'drop_memory'; allowed: {', '.join(TOOLS)}"]
        assert played.output.extra_fields["unknown_calls"] == 1
        assert played.output.extra_fields["turns"] == 2

    asyncio.run(scenario())


def test_a_call_cut_by_the_length_limit_is_no_mistake(stage: MakeStage) -> None:
    async def scenario() -> None:
        played = await stage().play(['<tool_call>{"name": "search_mem'], cut=True)
        assert played.output.extra_fields["turns"] == 1
        assert played.output.extra_fields["malformed_calls"] == 0

    asyncio.run(scenario())


def test_only_memory_tools_are_served(stage: MakeStage) -> None:
    async def scenario() -> None:
        made = stage()

        class Calculator:
            name = "calculate"
            tool_schema = made.tools[0].tool_schema

        made.tools.append(Calculator())  # type: ignore[arg-type]
        with pytest.raises(FieldError, match="calculate"):
            made.loop(ScriptedServer(made.tokenizer, iter([])))

    asyncio.run(scenario())


def test_a_session_episode_edits_the_bank_of_what_came_before(
    tmp_path: Path, stage: MakeStage, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A row as the preprocessing makes it, through verl's real loop: the turns are shown, the early memories open."""
    memories = [
        Memory(id="m1", content="Ana is afraid of spiders", session=1, evidence=("D1:1",)),
        Memory(id="m2", content="Ana sings", session=2, evidence=("D2:1",)),
    ]
    write_memories(tmp_path / "conv-s.jsonl", memories)
    turns = (Turn("D2:1", 2, "Ana", "I sing now."), Turn("D2:2", 2, "Ben", "I have a cat.", "a cat"))
    shown = SessionPart(2, "8 May, 2023", turns, 1, 1)
    made = build_session_row("conv-s", shown, dataset="locomo", split="train", index=0, seed=42)

    async def scenario() -> None:
        kwargs = row(raw_prompt=made["prompt"], extra_info=made["extra_info"])
        script = [call("search_memory", query="Ana", top_k=5), create("Ben has a cat"), "Done."]
        played = await (staged := stage()).play(script, row=kwargs)
        assert "afraid" in played.tool_texts[0] and "sings" not in played.tool_texts[0]
        prompt = tokenizer.decode(played.output.prompt_ids)
        assert "user\nSession 2, 8 May, 2023\nAna: I sing now.\nBen: I have a cat. [image: a cat]" in prompt
        fields = played.output.extra_fields
        assert (fields["memory_count_before"], fields["memory_count_after"]) == (1, 2)
        assert fields["namespace"].startswith("conv-s-s2p1-")
        listed = await staged.broker.list_memories(fields["namespace"])
        assert [memory["content"] for memory in listed] == ["Ana is afraid of spiders", "Ben has a cat"]

    asyncio.run(scenario())
