"""How the command ends when something nobody foresaw happens, and when nobody reads what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from command_runs import small_project
from in_process import workbench

from workbench.cli import main as entry
from workbench.core.errors import UsageError


def ended(monkeypatch: pytest.MonkeyPatch, error: Exception, *arguments: str) -> object:
    """The exit code of a command that meets `error`."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def meet() -> None:
        raise error

    monkeypatch.setattr(entry, "app", app)
    monkeypatch.setattr(sys, "argv", ["workbench", *arguments])
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # typer puts another in its place when a pipe is closed
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with pytest.raises(SystemExit) as caught:
        entry.main()
    return caught.value.code


@pytest.mark.parametrize("error", [RuntimeError("no way"), BrokenPipeError(32, "a server hung up")])
def test_a_crash_is_no_regression(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    assert ended(monkeypatch, error) == 3
    shown = capsys.readouterr()
    assert shown.out == "" and "Traceback" in shown.err
    assert shown.err.splitlines()[-1] == f"error: unexpected {type(error).__name__}: {error}"
    assert ended(monkeypatch, error, "--json") == 3
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 3


def test_the_home_of_nobody_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such home directory"):
        workbench("-C", str(tmp_path), "serve", "--model", "~no-such-user-here/x")


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """The end to write to; nobody reads at the other."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    project = small_project(tmp_path)

    def call(*arguments: str, stdout: int, stderr: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "workbench", *arguments]
        return subprocess.run(
            words, cwd=project, stdout=stdout, stderr=stderr, text=True, timeout=120, check=False
        )

    return call


@pytest.mark.parametrize("arguments", [("config", "schema"), ("--help",), ("run", "--help")])
def test_without_a_reader_it_ends_quietly_as_a_closed_pipe_ends_others(
    command: Callable[..., subprocess.CompletedProcess[str]], closed_pipe: int, arguments: tuple[str, ...]
) -> None:
    shown = command(*arguments, stdout=closed_pipe, stderr=subprocess.PIPE)
    assert (shown.returncode, shown.stderr) == (141, "")


def test_work_goes_on_to_its_end_where_nobody_reads_its_progress(
    command: Callable[..., subprocess.CompletedProcess[str]], closed_pipe: int
) -> None:
    words = ("curate", "mine.jsonl", "--json", "--set", "curate.count_tokens=false", "-o", "kept.jsonl")
    shown = command(*words, stdout=subprocess.PIPE, stderr=closed_pipe)
    assert shown.returncode == 0 and json.loads(shown.stdout)["output"]["kept"]["rows"] > 0
