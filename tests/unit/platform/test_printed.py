"""What libraries print goes to the log, and nothing that says why something failed is lost."""

from __future__ import annotations

import logging
import warnings

import pytest
from transformers.utils import logging as transformers_logging

from memupdate.platform.screen import printed_to, without_weight_bars

logger = logging.getLogger("memupdate.test_screen")


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records]


def test_printed_lines_become_records(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG, logger.name), printed_to(logger):
        print("[validate_config] passed\n\nWARNING: a setting is deprecated")  # noqa: T201
    assert records(caplog) == [("DEBUG", "[validate_config] passed"), ("WARNING", "WARNING: a setting is deprecated")]
    assert capsys.readouterr().out == ""


def test_warnings_of_verl_are_for_the_log_and_others_for_the_user(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger.name), printed_to(logger):
        warnings.warn_explicit("no engine", UserWarning, "/packages/verl/workers/engine.py", 1)
        warnings.warn_explicit("a tool is old", DeprecationWarning, "/home/tools.py", 1)
    assert records(caplog) == [
        ("DEBUG", "UserWarning: no engine"),
        ("WARNING", "WARNING: DeprecationWarning: a tool is old"),
    ]
    assert capsys.readouterr().err == ""


def test_what_was_printed_before_an_error_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger.name), pytest.raises(ValueError, match="wrong"), printed_to(logger):
        print("about to fail")  # noqa: T201
        raise ValueError("wrong")
    assert records(caplog) == [("WARNING", "about to fail")]


@pytest.mark.parametrize("shown", [True, False])
def test_weight_bars_are_off_inside_and_as_before_after(shown: bool) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    set_bars(shown)
    try:
        with without_weight_bars():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled() == shown
    finally:
        set_bars(before)


def set_bars(shown: bool) -> None:
    if shown:
        transformers_logging.enable_progress_bar()
    else:
        transformers_logging.disable_progress_bar()
