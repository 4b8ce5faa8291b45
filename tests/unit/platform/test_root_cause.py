"""The first cause of a run's end: one line, the first writer's, with the place of the log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from memupdate.failures import describe
from memupdate.platform import root_cause
from memupdate.platform.root_cause import Beginning
from memupdate.platform.stages import StageError, run_stage

# What Ray and verl print when the task runner is killed; the colours and the indentation are theirs.
KILLED_TASK_RUNNER = """\
Traceback (most recent call last):
  File "main_ppo.py", line 92, in run_ppo
    ray.get(runner.run.remote(config))
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
\tclass_name: MemoryTaskRunner
\tpid: 4711
The actor is dead because its worker process has died.
"""


def test_the_first_writer_wins_and_a_new_start_clears_it(tmp_path: Path) -> None:
    assert root_cause.read(tmp_path) is None
    assert root_cause.note(tmp_path, "the judge\n is   down")
    assert not root_cause.note(tmp_path, "no rollout is left")
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert cause.what == "the judge is down"
    assert [path.name for path in tmp_path.iterdir()] == ["cause.json"]
    root_cause.clear(tmp_path)
    assert root_cause.read(tmp_path) is None


def test_of_processes_that_write_at_once_exactly_one_wins(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from memupdate.platform.root_cause import note\n"
    code += "sys.stdin.readline(); print(note(Path(sys.argv[1]), 'cause ' + sys.argv[2]))"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for number in range(3)
    ]
    won = [writer.communicate(b"go\n", timeout=60)[0].strip() == b"True" for writer in writers]
    assert sum(won) == 1
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert cause.what == f"cause {won.index(True)}"


def test_the_cause_that_was_written_is_told_before_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    beginning = Beginning.of(log)
    log.write_text(KILLED_TASK_RUNNER)
    root_cause.note(tmp_path, "agent loop worker/0 has died")
    assert beginning.why(1) == f"agent loop worker/0 has died (log: {log})"


def test_a_cause_of_an_earlier_start_is_not_told(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    root_cause.note(tmp_path, "old")
    log.write_text("ValueError: of an earlier start\n")
    later = Beginning(log, log.stat().st_size, time.time() + 1)
    assert later.why(3) == f"exit code 3 (log: {log})"
    assert later.why(-9) == f"killed by SIGKILL (log: {log})"


def test_of_a_killed_process_the_log_s_last_error_is_told(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("Traceback\nValueError: of an earlier start\n")
    beginning = Beginning.of(log)
    with log.open("a") as file:
        file.write(KILLED_TASK_RUNNER)
    assert beginning.why(1) == (
        "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task. "
        f"class_name: MemoryTaskRunner pid: 4711 (log: {log})"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("INFO: all is well\nstep:1 - loss:0.2\n", ""),
        ("KeyError: 'a'\n\x1b[36m(Worker pid=7)\x1b[0m \x1b[33mdone\x1b[0m\n", "KeyError: 'a'"),
        (
            "\x1b[36m(W pid=7)\x1b[0m memupdate.errors.FieldError: got 3\n",
            "(W pid=7) memupdate.errors.FieldError: got 3",
        ),
        ("KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
)
def test_last_error(text: str, line: str) -> None:
    assert root_cause.last_error(text) == line


def test_an_error_that_ray_brought_is_told_as_it_was_raised() -> None:
    from ray.exceptions import RayTaskError

    brought = RayTaskError("compute_score", "a long\ntraceback", ValueError("no reply\nwithin 60 s"))
    assert describe(brought) == "ValueError: no reply within 60 s"
    assert describe(TimeoutError()) == "TimeoutError"
    assert len(describe(ValueError("x" * 5000))) == 600


def test_a_stage_s_error_begins_with_the_cause_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    code = "from pathlib import Path; from memupdate.platform.root_cause import note\n"
    code += f"note(Path({str(tmp_path)!r}), 'broker shard b has died'); raise KeyError('a consequence')"
    with pytest.raises(StageError) as raised:
        run_stage([sys.executable, "-c", code], log, {})
    assert str(raised.value).splitlines()[0] == f"broker shard b has died (log: {log})"
