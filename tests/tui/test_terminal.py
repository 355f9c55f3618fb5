"""The program in a real terminal: drawn, driven, left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from sample_project import RUN

from workbench.core.paths import Project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]


class Terminal:
    """One tmux server with one window of 80 by 24."""

    def __init__(self, name: str) -> None:
        self._name = name

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout

    def start(self, command: str) -> None:
        path = f"PYTHONPATH={os.pathsep.join(sys.path)}"
        self.tmux("new-session", "-d", "-x", "80", "-y", "24", f"env {path!r} {command}; echo ended with $?; exec cat")

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def wait_for(self, shown: Callable[[str], bool]) -> str:
        end = time.monotonic() + 30
        while not shown(screen := self.tmux("capture-pane", "-p")):
            assert time.monotonic() < end, screen
        return screen


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    name = f"workbench-test-{os.getpid()}"
    yield Terminal(name)
    subprocess.run(["tmux", "-L", name, "kill-server"], check=False, capture_output=True)


def test_the_interface_draws_follows_keys_and_leaves_the_terminal_as_it_was(
    project: Project, terminal: Terminal
) -> None:
    terminal.start(f"{sys.executable} -m workbench -C {project.root} tui")
    home = terminal.wait_for(lambda screen: RUN in screen and "inconclusive" in screen)
    assert "Quit" in home.splitlines()[-1]
    terminal.press("c")
    comparison = terminal.wait_for(lambda screen: "✘ forgotten" in screen and "[+32.5, +52.5]" in screen)
    assert "Search" in comparison.splitlines()[-1]
    terminal.press("Enter")
    terminal.wait_for(lambda screen: "expected" in screen and "candidate" in screen)
    terminal.press("q")
    left = terminal.wait_for(lambda screen: "ended with" in screen)
    assert left.split() == ["ended", "with", "0"]
