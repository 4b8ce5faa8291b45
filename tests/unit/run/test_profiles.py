"""A profile is a name for a config file; a config file is named by itself too."""

from __future__ import annotations

import pytest

from memupdate.errors import FieldError
from memupdate.platform.config import compose
from memupdate.run import profiles
from memupdate.run.preflight import validate
from memupdate.run.profiles import compose_profile


def test_a_profile_is_the_config_file_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compose_profile("local", ["memory.seed=7"]).memory.seed == 7
    asked: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(profiles, "compose", lambda *arguments: asked.append(arguments))
    for name in ("local", "local_memory_grpo", "cluster"):
        compose_profile(name, ["memory.seed=7"])
    assert asked == [
        ("local_memory_grpo", ["memory.seed=7"]),
        ("local_memory_grpo", ["memory.seed=7"]),
        ("locomo_memory_grpo", ["memory.seed=7"]),
    ]


def test_a_name_that_is_no_config_file_is_refused() -> None:
    with pytest.raises(FieldError, match=r"profile: got 'galaxy'; allowed: one of cluster, local, or a file in"):
        compose_profile("galaxy", [])
    with pytest.raises(FieldError, match=r"config: got 'local'; allowed: one of agent_loops, .*local_memory_grpo"):
        compose("local", [])


def test_the_kind_of_episode_chooses_the_rows_unless_a_file_is_named() -> None:
    def files(*overrides: str) -> tuple[str, str]:
        config = compose_profile("local", ["memory.data_dir=/d", *overrides])
        return config.data.train_files, config.data.val_files

    assert files("memory.episode=question") == ("/d/train.parquet", "/d/test.parquet")
    assert files() == files("memory.episode=session") == ("/d/train-session.parquet", "/d/test-session.parquet")
    mine = files("memory.episode=session", "data.train_files=/mine.parquet")
    assert mine == ("/mine.parquet", "/d/test-session.parquet")


@pytest.mark.parametrize("kind", ["sessions", "null", "3"])
def test_another_kind_of_episode_is_refused(kind: str) -> None:
    with pytest.raises(FieldError, match=r"^memory\.episode: got .*; allowed: one of question, session$"):
        validate(compose_profile("local", [f"memory.episode={kind}"]))
