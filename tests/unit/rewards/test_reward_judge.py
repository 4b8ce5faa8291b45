"""The judge and the endpoint reader against a real local HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from memupdate.errors import DataError, FieldError, MemupdateError
from memupdate.rewards import ScorerConfig, make_scorer
from memupdate.rewards.chat_endpoint import ChatEndpoint
from memupdate.rewards.judge import JudgeScorer, parse_score
from memupdate.rewards.reply_cache import ReplyCache, reply_key

MEMORIES = ["Ana moved to Porto"]
KEY = "test-key-of-nobody"


class ChatServer:
    """Answers chat completions with what ``reply`` makes of the prompt; a status number is an HTTP error."""

    def __init__(self) -> None:
        self.requests: list[dict[str, object]] = []
        self.keys: list[str | None] = []
        self.reply: Callable[[str], str | int] = lambda prompt: "1"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append(body)
                outer.keys.append(self.headers["authorization"])
                said = outer.reply(body["messages"][-1]["content"])
                if isinstance(said, int):
                    payload, status = {"error": {"message": "no"}}, said
                else:
                    message = {"role": "assistant", "content": said}
                    choice = {"index": 0, "finish_reason": "stop", "message": message}
                    payload, status = (
                        {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]},
                        200,
                    )
                encoded = json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    chat = ChatServer()
    thread = threading.Thread(target=chat.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield chat
    chat.http.shutdown()
    thread.join()
    chat.http.server_close()


def judge(server: ChatServer, cache: Path, **options: object) -> JudgeScorer:
    config = {"name": "judge", "model": "m", "base_url": server.url, "cache": str(cache), **options}
    scorer = make_scorer(config)
    assert isinstance(scorer, JudgeScorer)
    scorer.endpoint.first_wait_s = 0.01
    return scorer


def test_judge_replies_are_cached_and_a_run_repeats_offline(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "deep" / "replies.jsonl"
    server.reply = lambda prompt: "0.75" if "Porto" in prompt.split("Correct answer")[0] else "0"
    first = judge(server, cache)
    scores = [first.score("Where?", "Porto", MEMORIES), first.score("Where?", "Porto", ["Ana likes fish"])]
    assert scores == [0.75, 0.0]
    assert first.score("Where?", "Porto", MEMORIES) == 0.75
    assert len(server.requests) == 2
    assert server.requests[0]["model"] == "m" and server.requests[0]["temperature"] == 0.0
    assert server.keys == [f"Bearer {KEY}"] * 2

    monkeypatch.delenv("OPENAI_API_KEY")
    again = judge(server, cache, offline=True)
    assert [again.score("Where?", "Porto", MEMORIES), again.score("Where?", "Porto", ["Ana likes fish"])] == scores
    assert len(server.requests) == 2
    assert KEY not in cache.read_text()


def test_judge_offline_miss_names_the_file_and_the_key(server: ChatServer, tmp_path: Path) -> None:
    with pytest.raises(FieldError) as caught:
        judge(server, tmp_path / "replies.jsonl", offline=True).score("Where?", "Porto", MEMORIES)
    assert "replies.jsonl" in str(caught.value) and "offline" in str(caught.value)
    assert len(str(caught.value.value)) == 64 and not server.requests


def test_judge_without_a_key_in_the_environment(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(FieldError, match="OPENAI_API_KEY"):
        judge(server, tmp_path / "replies.jsonl").score("Where?", "Porto", MEMORIES)


def test_judge_retries_what_passes_by_itself(server: ChatServer, tmp_path: Path) -> None:
    script: list[str | int] = [503, 429, "1.0"]
    server.reply = lambda prompt: script.pop(0)
    assert judge(server, tmp_path / "r.jsonl").score("Where?", "Porto", MEMORIES) == 1.0
    assert len(server.requests) == 3


def test_judge_gives_up_at_the_deadline_and_says_so(server: ChatServer, tmp_path: Path) -> None:
    server.reply = lambda prompt: 500
    with pytest.raises(MemupdateError, match=r"deadline_s = 0\.2"):
        judge(server, tmp_path / "r.jsonl", deadline_s=0.2).score("Where?", "Porto", MEMORIES)
    assert len(server.requests) >= 2


def test_judge_does_not_retry_a_rejected_request(server: ChatServer, tmp_path: Path) -> None:
    from openai import NotFoundError

    server.reply = lambda prompt: 404
    with pytest.raises(NotFoundError):
        judge(server, tmp_path / "r.jsonl").score("Where?", "Porto", MEMORIES)
    assert len(server.requests) == 1


def test_judge_reply_that_is_no_score_is_an_error_and_not_cached(server: ChatServer, tmp_path: Path) -> None:
    replies = ["I think 0.8", "", "0.8"]
    server.reply = lambda prompt: replies.pop(0)
    scorer = judge(server, tmp_path / "r.jsonl")
    with pytest.raises(FieldError, match="I think"):
        scorer.score("Where?", "Porto", MEMORIES)
    with pytest.raises(MemupdateError, match="empty reply"):
        scorer.score("Where?", "Porto", MEMORIES)
    assert scorer.score("Where?", "Porto", MEMORIES) == 0.8


def test_judge_scores_abstention_officially(server: ChatServer, tmp_path: Path) -> None:
    server.reply = lambda prompt: "Fish" if "fish" in prompt else "No information available."
    scorer = judge(server, tmp_path / "r.jsonl")
    assert scorer.score("What does Ben eat?", "meat", MEMORIES, 5) == 1.0
    assert scorer.score("What does Ben eat?", "meat", ["Ana eats fish"], 5) == 0.0
    assert "meat" not in json.dumps(server.requests)


def test_endpoint_reader_answers_and_scores_f1(server: ChatServer, tmp_path: Path) -> None:
    server.reply = lambda prompt: "Porto"
    options = {"model": "m", "backend": "openai", "base_url": server.url, "cache": str(tmp_path / "r.jsonl")}
    scorer = make_scorer(ScorerConfig("f1", options))
    assert scorer.score("Where?", "in Porto", MEMORIES, 4) == pytest.approx(2 / 3)
    assert scorer.score("Where?", "in Porto", MEMORIES, 4) == pytest.approx(2 / 3)
    assert len(server.requests) == 1 and server.requests[0]["max_completion_tokens"] == 48


@pytest.mark.parametrize(("reply", "score"), [("0", 0), ("1", 1), (" 0.25\n", 0.25), ("1.0", 1), (".5", 0.5)])
def test_a_score_is_read(reply: str, score: float) -> None:
    assert parse_score(reply) == score


@pytest.mark.parametrize("reply", ["", "1.5", "-0.1", "0.5 of it", "Score: 1", "nan", "50%", "1e-1", "0,5", "٠"])
def test_anything_else_is_no_score(reply: str) -> None:
    with pytest.raises(FieldError):
        parse_score(reply)


def test_caches_of_two_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    one, two = ReplyCache(path), ReplyCache(path)
    one.put("m", "question", "yes")
    assert two.get(reply_key("m", "question")) == "yes"
    two.put("m", "question", "no")
    assert one.get(reply_key("m", "question")) == "yes" == ReplyCache(path).get(reply_key("m", "question"))
    assert one.get(reply_key("other", "question")) is None


def test_a_torn_last_line_is_dropped_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    ReplyCache(path).put("m", "a", "1")
    with path.open("a") as file:
        file.write('{"key": "torn')
    survivor = ReplyCache(path)
    assert survivor.get(reply_key("m", "a")) == "1"
    survivor.put("m", "b", "0")
    assert ReplyCache(path).get(reply_key("m", "b")) == "0"
    assert len(path.read_text().splitlines()) == 2
    with path.open("a") as file:
        file.write("[]\n")
    with pytest.raises(DataError, match="line 3"):
        ReplyCache(path)


def test_threads_share_an_endpoint(server: ChatServer, tmp_path: Path) -> None:
    endpoint = ChatEndpoint("m", server.url, str(tmp_path / "r.jsonl"))
    replies: list[str] = []
    threads = [threading.Thread(target=lambda n=n: replies.append(endpoint.complete(f"p{n}", str))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == ["1"] * 8
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 8
