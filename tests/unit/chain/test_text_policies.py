"""The policies that a command can name: a Hugging Face folder, and a chat endpoint."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from memupdate.chain.command import main
from memupdate.chain.contract import Completion, NoRoomError
from memupdate.chain.endpoint import EndpointPolicy
from memupdate.chain.huggingface import HuggingFacePolicy
from memupdate.chain.policies import make_text_policy
from memupdate.data.prompts import build_session_prompt
from memupdate.errors import FieldError, MemupdateError
from memupdate.tools.schemas import tool_schemas

CHAT = build_session_prompt("Session 1, 1:01 pm on 1 May, 2023\nAnn: Hello there, Bo.")


def test_a_seed_decides_what_a_model_writes(model_dir: Path) -> None:
    policy = HuggingFacePolicy(model_dir, 12)
    written = [policy.reply(CHAT, tool_schemas(), seed) for seed in (1, 2, 1)]
    assert written[0] == written[2] != written[1]
    assert not written[0].finished  # twelve tokens do not end by chance


def test_a_model_samples_from_its_own_distribution(model_dir: Path) -> None:
    """Temperature 1, nothing cut off: the mean of -log p over draws is the entropy."""
    policy = HuggingFacePolicy(model_dir, 1)
    text = policy.tokenizer.apply_chat_template(CHAT, tools=tool_schemas(), add_generation_prompt=True, tokenize=False)
    ids = policy.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        p_V = AutoModelForCausalLM.from_pretrained(model_dir)(ids).logits[0, -1].double().softmax(-1).tolist()
    # Tokens that are half a character decode to the same text, so the texts are counted.
    p_of: Counter[Completion] = Counter()
    for token, p in enumerate(p_V):
        ended = token == policy.tokenizer.eos_token_id
        p_of[Completion("" if ended else policy.tokenizer.decode([token]), ended)] += p
    entropy = -sum(p * math.log(p) for p in p_of.values())
    spread = math.sqrt(sum(p * (math.log(p) + entropy) ** 2 for p in p_of.values()))
    drawn = [-math.log(p_of[policy.reply(CHAT, tool_schemas(), seed)]) for seed in range(200)]
    assert abs(sum(drawn) / 200 - entropy) < 4 * spread / math.sqrt(200)


def test_messages_that_fill_the_context_leave_no_room(model_dir: Path) -> None:
    policy = HuggingFacePolicy(model_dir, 12)
    with pytest.raises(NoRoomError, match="session_characters: the messages have"):
        policy.reply(build_session_prompt("Ann: Hello. " * 9000), tool_schemas(), 0)


def test_the_command_runs_with_a_real_model_and_continues(
    data_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data_dir), "--policy", str(model_dir), "--output", str(tmp_path / "out")]
    words += ["--conversations", "conv-a", "--max-turns", "2", "--max-tokens", "24"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "out" / "report.txt").read_text()
    report = (tmp_path / "out" / "report.json").read_bytes()
    (tmp_path / "out" / "chain.jsonl").unlink()  # the bank of every session is played again
    assert main(words) == 0
    assert (tmp_path / "out" / "report.json").read_bytes() == report
    assert main([*words, "--seed", "1"]) == 2
    assert "seed: got 1; allowed: 0, with which" in capsys.readouterr().err


def test_what_is_no_policy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for field, what, model in [
        ("policy", str(tmp_path), None),
        ("model", str(tmp_path), "gpt"),
        ("model", "http://localhost:1", None),
        ("OPENAI_API_KEY", "http://localhost:1", "gpt"),
    ]:
        with pytest.raises(FieldError) as refused:
            make_text_policy(what, model=model, max_tokens=8)
        assert refused.value.field == field


class Endpoint(BaseHTTPRequestHandler):
    """A chat endpoint that answers with a fixed text, or refuses."""

    asked: list[dict[str, Any]]
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        message = {"role": "assistant", "content": "<tool_call>{"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        sent = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(sent.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    Endpoint.asked, Endpoint.status = [], 200
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_sent_text_and_returns_text(address: str) -> None:
    policy = make_text_policy(address, model="m", max_tokens=7)
    chat = [
        *CHAT,
        {"role": "assistant", "content": "two calls"},
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": "two"},
    ]
    assert policy.reply(chat, tool_schemas(), 5) == Completion("<tool_call>{", finished=False)
    (asked,) = Endpoint.asked
    assert (asked["path"], asked["key"]) == ("/v1/chat/completions", "Bearer any")
    fields = {name: asked[name] for name in ("model", "seed", "temperature", "max_tokens")}
    assert fields == {"model": "m", "seed": 5, "temperature": 1.0, "max_tokens": 7}
    assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant", "user"]
    system, _, _, replies = (message["content"] for message in asked["messages"])
    # As Qwen's chat template writes them.
    assert replies == "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
    listed = system.split("<tools>\n")[1].split("\n</tools>")[0].splitlines()
    assert [json.loads(line) for line in listed] == tool_schemas()
    assert '{"name": <function-name>, "arguments": <args-json-object>}' in system
    assert "tools" not in asked


def test_an_endpoint_that_refuses_ends_the_run(address: str) -> None:
    Endpoint.status = 400
    with pytest.raises(MemupdateError, match=r"policy m at http://127.* no reply: "):
        EndpointPolicy(address, "m", 7).reply(CHAT, tool_schemas(), 5)
