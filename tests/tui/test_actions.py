"""One registry: bindings, palette, help screen, docs page. None of them may say what another does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_project import RUN
from scripted_chat import DUET, Scripted
from textual.screen import Screen
from textual.widgets import Input

from workbench.core.paths import Project
from workbench.tui.actions import ACTIONS, SCREEN_TITLES, Action, ScreenName, actions_on, help_table, shown_keys
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.chat import ChatScreen
from workbench.tui.screens.clusters import ClustersScreen
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.confirm import ConfirmScreen
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.help import HelpScreen, help_text
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.note import NoteScreen
from workbench.tui.screens.pair import PairScreen
from workbench.tui.screens.rate import RateScreen
from workbench.tui.screens.record import RecordScreen
from workbench.tui.screens.restore import RestoreScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.sample import SampleScreen
from workbench.tui.screens.start import StartScreen
from workbench.tui.widgets.lists import RowTable

SCREENS: dict[ScreenName, type[Any]] = {
    "home": HomeScreen,
    "start": StartScreen,
    "confirm": ConfirmScreen,
    "run": RunScreen,
    "compare": CompareScreen,
    "sample": SampleScreen,
    "data": DataScreen,
    "record": RecordScreen,
    "clusters": ClustersScreen,
    "pair": PairScreen,
    "restore": RestoreScreen,
    "rate": RateScreen,
    "note": NoteScreen,
    "chat": ChatScreen,
    "help": HelpScreen,
}


def test_every_action_belongs_to_a_screen_that_has_its_method() -> None:
    assert set(SCREENS) | {"app"} == set(SCREEN_TITLES) == {screen for action in ACTIONS for screen in action.on}
    for action in ACTIONS:
        for screen in action.on:
            owner = WorkbenchApp if screen == "app" else SCREENS[screen]
            assert callable(getattr(owner, f"action_{action.name}", None)), (screen, action.name)


def test_no_key_means_two_things_on_one_screen() -> None:
    for screen in SCREENS:
        keys = [key for action in (*actions_on(screen), *actions_on("app")) for key in action.keys.split(",")]
        assert len(keys) == len(set(keys)), screen


def test_help_screen_and_docs_have_every_action_with_its_keys_and_command() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tui.md").read_text(encoding="utf-8")
    assert help_table() in page, "docs/tui.md is stale: paste the output of workbench.tui.actions.help_table()"
    shown = help_text().plain
    for action in ACTIONS:
        assert f"{action.label}: {action.help}" in shown and shown_keys(action) in shown
        assert action.command in shown


async def settled(pilot: Any, until: Callable[..., Any]) -> None:
    await until(pilot, lambda: not any(worker.is_running for worker in pilot.app.workers))


async def at_home(pilot: Any, until: Callable[..., Any]) -> None:
    while len(pilot.app.screen_stack) > 1:
        await pilot.app.pop_screen()
    await until(pilot, lambda: pilot.app.screen.query_one("#runs", RowTable).row_count)


async def at(pilot: Any, screen: ScreenName, until: Callable[..., Any]) -> Screen[Any]:
    """Brings the app to a screen, as a user would."""
    app: WorkbenchApp = pilot.app
    await at_home(pilot, until)
    if screen in ("run", "compare", "data"):
        {"run": app.open_run, "compare": app.open_comparison, "data": app.open_data}[screen](RUN)
    elif screen == "sample":
        app.open_comparison(RUN)
        await until(pilot, lambda: app.screen.query_one("#flips", RowTable).row_count)
        await pilot.press("enter")
    elif screen in ("record", "clusters", "pair"):
        app.open_data(RUN)
        await until(pilot, lambda: app.screen.query_one("#examples", RowTable).row_count)
        await pilot.press(*(("enter", "enter") if screen == "record" else ("c",)))
        if screen == "pair":
            await until(pilot, lambda: app.screen.query_one("#members", RowTable).row_count)
            await pilot.press("enter", "enter")
    elif screen == "restore":
        app.push_screen(RestoreScreen("0a1b2c3d4e5f6071", "a poem"))
    elif screen == "rate":
        app.open_run(RUN)
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.is_mounted)
        await pilot.press("v")
    elif screen == "note":
        app.push_screen(NoteScreen(""))
    elif screen == "chat":
        app.push_screen(ChatScreen(DUET, Scripted(stays=False)))
    elif screen == "help":
        await pilot.press("question_mark")
    elif screen == "start":
        await pilot.press("r")
    elif screen == "confirm":
        app.push_screen(ConfirmScreen("Really?", "workbench --help"))
    expected = SCREENS.get(screen, HomeScreen)
    await until(pilot, lambda: isinstance(app.screen, expected) and app.screen.is_mounted)
    await settled(pilot, until)
    return app.screen


def noted_actions(owner: type[Any], actions: tuple[Action, ...], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets every action work as it does and notes its name."""
    done: list[str] = []
    for action in actions:
        original = getattr(owner, f"action_{action.name}")

        def noted(self: Any, original: Callable[[Any], Any] = original, name: str = action.name) -> Any:
            done.append(name)
            return original(self)

        monkeypatch.setattr(owner, f"action_{action.name}", noted)
    monkeypatch.setattr(owner, "check_action", lambda *arguments: True)  # whatever state the run is in
    return done


@pytest.mark.parametrize("screen", ["app", *SCREENS])
async def test_every_key_does_its_action_and_the_palette_has_them_all(
    project: Project, jobs: Any, until: Callable[..., Any], screen: ScreenName, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "workbench.yaml").write_text("name: mine\n")
    owner = WorkbenchApp if screen == "app" else SCREENS[screen]
    done = noted_actions(owner, actions_on(screen), monkeypatch)
    app = WorkbenchApp(project, jobs)
    async with app.run_test(size=(100, 30)) as pilot:
        here = await at(pilot, screen, until)
        on: ScreenName = "home" if screen == "app" else screen
        titles = [command.title for command in app.get_system_commands(here)]
        possible = [action for action in actions_on(on) if here.check_action(action.name, ())]
        assert titles == [action.label for action in (*possible, *actions_on("app"))]
        assert screen == "app" or possible == list(actions_on(screen))
        for action in sorted(actions_on(screen), key=lambda action: action.name == "quit"):
            for key in action.keys.split(","):
                if app.screen is not here or isinstance(app.focused, Input):
                    here = await at(pilot, screen, until)
                done.clear()
                await pilot.press(key)
                await until(pilot, lambda: done)
                assert done == [action.name], key
                if action.name != "quit":
                    await settled(pilot, until)
    assert not [notice for notice in app._notifications if notice.severity == "error"]


async def test_the_palette_opens_and_closes(project: Project, until: Callable[..., Any]) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        here = await at(pilot, "home", until)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen is not here)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is here)


def test_importing_the_app_and_its_screens_imports_nothing_heavy() -> None:
    modules = ["app", "jobs", "live", "screenshot", *(f"screens.{name}" for name in SCREENS)]
    script = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module('workbench.tui.' + name)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'lm_eval', 'pyarrow', 'pandas', 'numpy', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout == "[]\n"
