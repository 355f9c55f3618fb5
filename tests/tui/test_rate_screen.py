"""Rating in the terminal: names hidden, every key writes what it says, and a rater comes back to where they were."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown import everything_shown, text_of

from workbench.core.paths import Project
from workbench.core.records import HumanRating
from workbench.loop.contests import Contest, Contests
from workbench.loop.ratings import ratings_path
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.note import NoteScreen
from workbench.tui.screens.rate import RateScreen

HOSTILE = "\x1b]52;c;ZXZpbA==\x07 [bold]markup[/nope] \u202egnp"


def contest(number: int, after: str | None = None) -> Contest:
    return Contest(
        suite="prompts",
        doc_hash=f"{number:016x}",
        occurrence=0,
        before="arm-one",
        after="arm-two",
        prompt=f"question {number}",
        reference=f"truth {number}",
        before_output=f"before {number}",
        after_output=after or f"after {number}",
    )


def contests(count: int, **other: Any) -> Contests:
    found = tuple(contest(number, **other) for number in range(count))
    return Contests("run-1", "arm-one", "arm-two", found, equal=2, failed=0, unpaired=0)


def lines(project: Project) -> list[dict[str, Any]]:
    path = ratings_path(project)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


async def on_screen(pilot: Any, until: Callable[..., Any], text: str) -> None:
    await until(pilot, lambda: text in everything_shown(pilot.app))


@pytest.mark.parametrize("size", [(80, 24), (150, 45)])
async def test_names_of_the_arms_are_nowhere_and_each_key_writes_its_verdict(
    project: Project, until: Callable[..., Any], size: tuple[int, int]
) -> None:
    app = WorkbenchApp(project, first=RateScreen(contests(5), "ada"))
    async with app.run_test(size=size) as pilot:
        for number, key in enumerate("abtn"):
            await on_screen(pilot, until, f"rated {number} of 5")
            assert "arm-" not in everything_shown(app)
            await pilot.press(key)
        await on_screen(pilot, until, "rated 4 of 5")
    first, second, tie, neither = lines(project)
    assert first["verdict"] == first["shown_first"] and first["rater"] == "ada"
    assert second["verdict"] != second["shown_first"] and second["verdict"] in ("before", "after")
    assert (tie["verdict"], neither["verdict"]) == ("tie", "neither")
    assert len({line["prompt"] for line in lines(project)}) == 4


async def test_what_is_on_the_left_is_what_the_line_says_stood_first(
    project: Project, until: Callable[..., Any]
) -> None:
    app = WorkbenchApp(project, first=RateScreen(contests(8), "ada"))
    seen = []
    async with app.run_test(size=(100, 30)) as pilot:
        for number in range(8):
            await on_screen(pilot, until, f"rated {number} of 8")
            seen.append(text_of(app, "#first").splitlines()[1].split()[0])
            await pilot.press("a")
    assert seen == [line["verdict"] for line in lines(project)] and set(seen) == {"before", "after"}


async def test_undo_is_a_further_line_and_gives_the_note_back(project: Project, until: Callable[..., Any]) -> None:
    app = WorkbenchApp(project, first=RateScreen(contests(2), "ada"))
    async with app.run_test(size=(80, 24)) as pilot:
        await on_screen(pilot, until, "rated 0 of 2")
        await pilot.press("u")
        await on_screen(pilot, until, "nothing to take back")
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, NoteScreen))
        await pilot.press(*"too", "space", *"long", "enter")
        await on_screen(pilot, until, "note: too long")
        await pilot.press("t", "u")
        await on_screen(pilot, until, "taken back")
        assert "note: too long" in everything_shown(app) and "rated 0 of 2" in everything_shown(app)
        await pilot.press("a")
    said = [(line["verdict"], line["note"]) for line in lines(project)]
    assert said[:2] == [("tie", "too long"), ("withdrawn", "")] and said[2][1] == "too long"
    assert len({line["prompt"] for line in lines(project)}) == 1


async def test_a_rater_goes_on_where_they_stopped_and_another_begins(
    project: Project, until: Callable[..., Any]
) -> None:
    for rater, keys, expected in (("ada", "at", "rated 0 of 3"), ("ada", "n", "rated 2 of 3"), ("bo", "", "rated 0")):
        app = WorkbenchApp(project, first=RateScreen(contests(3), rater))
        async with app.run_test(size=(80, 24)) as pilot:
            await on_screen(pilot, until, expected)
            await pilot.press(*keys)
            if expected == "rated 2 of 3":
                await on_screen(pilot, until, "workbench rate run-1 --summary")
                await pilot.press("a", "s", "w", "r")  # nothing is left: nothing is written
            await pilot.press("escape")
            await until(pilot, lambda app=app: app._exit)
    assert len(lines(project)) == 3


async def test_skipped_pairs_come_last_and_nothing_is_written_of_them(
    project: Project, until: Callable[..., Any]
) -> None:
    app = WorkbenchApp(project, first=RateScreen(contests(2), "ada"))
    async with app.run_test(size=(80, 24)) as pilot:
        await on_screen(pilot, until, "rated 0 of 2")
        put_off = text_of(app, "#prompt")
        await pilot.press("s")
        await until(pilot, lambda: text_of(app, "#prompt") != put_off)
        assert lines(project) == []
        await pilot.press("a")
        await until(pilot, lambda: text_of(app, "#prompt") == put_off)


async def test_answers_cannot_write_to_the_terminal_and_the_reference_is_shown_when_asked(
    project: Project, until: Callable[..., Any]
) -> None:
    app = WorkbenchApp(project, first=RateScreen(contests(1, after=HOSTILE), "ada"))
    async with app.run_test(size=(100, 30)) as pilot:
        for piece in ("\\x1b]52;c;ZXZpbA==\\x07", "[bold]markup[/nope]", "\\u202egnp"):
            await on_screen(pilot, until, piece)
        assert "\x1b]52" not in everything_shown(app) and "truth 0" not in everything_shown(app)
        await pilot.press("r")
        await on_screen(pilot, until, "truth 0")


async def test_a_disk_that_refuses_is_said_and_the_pair_is_asked_again(
    project: Project, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, rating: HumanRating) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    app = WorkbenchApp(project, first=RateScreen(contests(2), "ada"))
    async with app.run_test(size=(80, 24)) as pilot:
        await on_screen(pilot, until, "rated 0 of 2")
        await pilot.press("a")
        await on_screen(pilot, until, "rated 1 of 2")
        with monkeypatch.context() as patch:
            patch.setattr("workbench.loop.ratings.append_rating", full)
            await pilot.press("a")
            await on_screen(pilot, until, "not kept")
            assert "No space left on device" in str([told.message for told in app._notifications])
            await pilot.press("u")
            await on_screen(pilot, until, "not taken back")
            assert "rated 1 of 2" in everything_shown(app)
        await pilot.press("u")
        await on_screen(pilot, until, "rated 0 of 2")
    assert [line["verdict"] == "withdrawn" for line in lines(project)] == [False, True]
