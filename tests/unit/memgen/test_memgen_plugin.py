"""The plug-in that registers every installed latent method: a broken one stops only the runs that ask for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import tiny_memgen

from memgen.methods import method_of
from memgen.training.plugin import register_methods
from memgen.weaver.served import LatentServedModel
from memupdate.errors import FieldError
from memupdate.platform.rollout.decoding import served_model

BROKEN = """
[memgen.methods]
gone = nomodule:Method
raises = raising_method:Method
function = raising_register:Method
"""


@pytest.fixture(autouse=True)
def broken_methods(install: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "raising_method.py").write_text("raise RuntimeError('no such GPU')\n")
    (tmp_path / "raising_register.py").write_text("class Method:\n    def register(self): raise OSError('no disk')\n")


def test_a_broken_method_stops_no_run_of_another(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        register_methods()
    assert isinstance(served_model(tiny_memgen()), LatentServedModel)
    told = [record.getMessage() for record in caplog.records if record.name == "memgen.training.plugin"]
    for name, error in (("gone", "nomodule"), ("raises", "no such GPU"), ("function", "no disk")):
        (line,) = [line for line in told if repr(name) in line]
        assert error in line and "\n" not in line


def test_a_run_that_asks_for_a_broken_method_gets_its_error() -> None:
    with pytest.raises(RuntimeError, match="no such GPU"):
        method_of("raises")
    with pytest.raises(FieldError, match="nomodule"):
        method_of("gone")
