"""What the screens show and what the keys do, on a project made from the core models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_project import HOSTILE, NODES, RUN, append_events, write_plan
from shown import cells, everything_shown, text_of
from textual.pilot import Pilot
from textual.widgets import Input, Log

from workbench.core.events import (
    NodeCached,
    NodeFailed,
    NodeMessage,
    NodeMetric,
    NodeProgress,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from workbench.core.paths import Project
from workbench.core.wire import printable
from workbench.store.loader import load_run
from workbench.store.queries import query
from workbench.tui.app import DARK, LIGHT, WorkbenchApp
from workbench.tui.outputs import in_brief, readable
from workbench.tui.screens.compare import CompareScreen
from workbench.tui.screens.confirm import ConfirmScreen
from workbench.tui.screens.help import HelpScreen
from workbench.tui.screens.home import HomeScreen
from workbench.tui.screens.run import RunScreen
from workbench.tui.screens.sample import SampleScreen
from workbench.tui.screens.start import StartScreen
from workbench.tui.screenshot import save_screenshot
from workbench.tui.widgets.lists import RowTable

Until = Callable[..., Any]


async def open_screen(pilot: Pilot[None], until: Until, *keys: str, screen: type) -> None:
    await until(
        pilot, lambda: pilot.app.screen.query("#runs") and pilot.app.screen.query_one("#runs", RowTable).row_count
    )
    await pilot.press(*keys)
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (150, 45)])
async def test_home_lists_runs_with_status_and_verdict(project: Project, until: Until, size: tuple[int, int]) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: cells(app, "#runs") and cells(app, "#runs")[0][1] != "-")
        (row,) = cells(app, "#runs")
        assert row[:3] == ["✔ completed", "? inconclusive", RUN]
        assert "8 of 8 nodes" in text_of(app, "#details") and "$ workbench demo" in text_of(app, "#details")
        for shown in (RUN, "? inconclusive", "Quit"):
            await until(pilot, lambda shown=shown: shown in everything_shown(app))
        assert "No runs here yet" not in everything_shown(app)


async def test_an_empty_project_says_what_to_press(tmp_path: Path, until: Until) -> None:
    app = WorkbenchApp(Project(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Press d to run the demo" in everything_shown(app))
        await pilot.press("enter", "c", "f", "x", "j", "k")
        assert isinstance(app.screen, HomeScreen)
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_index_is_named_and_the_runs_stay(project: Project, until: Until) -> None:
    project.index.write_bytes(b"no database" * 999)
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        await until(pilot, lambda: "workbench store rebuild" in text_of(app, "#title"))
        await until(pilot, lambda: [row[2] for row in cells(app, "#runs")] == [RUN])
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "workbench store rebuild" in text_of(app, "#reason"))


async def test_the_demo_is_started_as_a_job_and_watched_with_its_command(
    project: Project, jobs: Any, until: Until
) -> None:
    app = WorkbenchApp(project, jobs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "d", screen=RunScreen)
        assert jobs.started == ["demo"]
        assert any("workbench demo" in notice.message for notice in app._notifications)


async def test_a_loop_file_is_checked_before_it_is_started(project: Project, jobs: Any, until: Until) -> None:
    (project.root / "workbench.yaml").write_text("name: mine\ntrain: {max_steps: 7}\n")
    (project.root / "a-broken.yaml").write_text("train: {rnak: 4}\n")
    app = WorkbenchApp(project, jobs)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "r", screen=StartScreen)
        await until(pilot, lambda: "mine: no data; qlora, 7 steps" in text_of(app, "#check"))
        assert text_of(app, "#command") == "$ workbench run workbench.yaml"
        await pilot.press("j")
        await until(pilot, lambda: "did you mean 'rank'" in text_of(app, "#check"))
        await pilot.press("enter")
        assert isinstance(app.screen, StartScreen) and jobs.started == []
        await pilot.press("k", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert jobs.started == [project.root / "workbench.yaml"]


async def test_the_run_screen_follows_events_as_they_are_written(project: Project, until: Until) -> None:
    directory = write_plan(project, "live", {}, created_at="2026-11-22T12:00:00+00:00")
    append_events(
        directory, [RunStarted(run="live", pid=os.getpid(), nodes=tuple(n for n, _, _ in NODES), resumed=False)]
    )
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        app.open_run("live")
        await until(pilot, lambda: "0/8 nodes" in text_of(app, "#title"))
        append_events(
            directory,
            [
                NodeStarted(node="train", fingerprint="f"),
                NodeProgress(node="train", done=1, total=60, unit="steps"),
                *(NodeMetric(node="train", step=step, values={"loss": 4 - step / 10}) for step in range(1, 13)),
                NodeProgress(node="train", done=12, total=60, unit="steps"),
                NodeMessage(node="train", level="warning", message="grad norm is high"),
            ],
        )
        await until(pilot, lambda: "12/60 steps" in text_of(app, "#nodes"))
        await until(pilot, lambda: "loss 2.800 at step 12" in everything_shown(app))
        curve = everything_shown(app)
        assert "3.90" in curve and "2.80" in curve
        assert any("\u2800" < character <= "\u28ff" for character in curve)
        assert "train: warning: grad norm is high" in app.screen.query_one("#log", Log).lines
        append_events(
            directory,
            [
                NodeFailed(node="train", message="loss is not finite", exit_code=3),
                RunFinished(run="live", status="failed", exit_code=3, message="train failed"),
            ],
        )
        await until(pilot, lambda: "✘ failed" in text_of(app, "#title"))
        assert "loss is not finite" in text_of(app, "#nodes")


JOB = """
import fcntl, os, signal, sys, time
from pathlib import Path
from workbench.core.events import EventWriter, NodeProgress, NodeStarted, RunFinished, RunStarted
directory = Path(sys.argv[1])
lock = (directory / "lock").open("ab")
fcntl.flock(lock, fcntl.LOCK_EX)
writer = EventWriter(directory / "events.jsonl", lambda: "2026-11-22T12:00:00+00:00")
def stop(number, frame):
    writer.write(RunFinished(run=directory.name, status="cancelled", exit_code=143, message="stopped"))
    writer.close()
    os._exit(143)
signal.signal(signal.SIGTERM, stop)
writer.write(RunStarted(run=directory.name, pid=os.getpid(), nodes=("train",), resumed=False))
writer.write(NodeStarted(node="train", fingerprint="f"))
print("working", flush=True)
for line in sys.stdin:
    writer.write(NodeProgress(node="train", done=int(line), total=60, unit="steps"))
"""


@pytest.fixture
def job(project: Project) -> Any:
    """A real process that writes events as a job does, one progress report per number it is told."""
    directory = write_plan(project, "job", {}, created_at="2026-11-22T12:00:00+00:00")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JOB), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None and process.stdout.readline() == "working\n"
    yield process
    process.kill()
    process.communicate()


def report(job: subprocess.Popen[str], done: int) -> None:
    assert job.stdin is not None
    job.stdin.write(f"{done}\n")
    job.stdin.flush()


async def test_closing_and_reopening_the_terminal_does_not_disturb_a_job(
    project: Project, job: Any, until: Until
) -> None:
    for done in (10, 20):
        app = WorkbenchApp(project)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda app=app: cells(app, "#runs") and cells(app, "#runs")[0][0] == "▶ running")
            await pilot.press("enter")
            report(job, done)
            await until(
                pilot, lambda app=app, done=done: app.screen.query("#nodes") and f"{done}/60" in text_of(app, "#nodes")
            )
            await pilot.press("q")
        assert job.poll() is None


async def test_cancel_asks_first_then_stops_the_job(project: Project, job: Any, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "enter", screen=RunScreen)
        await until(pilot, lambda: "▶ running" in text_of(app, "#title"))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, lambda: "workbench runs cancel job" in everything_shown(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert job.poll() is None
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "■ cancelled" in text_of(app, "#title"))
    assert job.wait() == 143


async def test_a_killed_job_is_shown_as_killed_and_the_terminal_stays_up(
    project: Project, job: Any, until: Until
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "enter", screen=RunScreen)
        await until(pilot, lambda: "▶ running" in text_of(app, "#title"))
        job.send_signal(signal.SIGKILL)
        job.wait()
        await until(pilot, lambda: "✘ killed" in text_of(app, "#title"))
        assert "workbench run --resume job" in text_of(app, "#title")
        await pilot.press("x")
        assert isinstance(app.screen, RunScreen)


@pytest.mark.parametrize("size", [(80, 24), (150, 45)])
async def test_the_comparison_shows_states_intervals_and_forgotten_flips_first(
    project: Project, until: Until, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await open_screen(pilot, until, "c", screen=CompareScreen)
        await until(pilot, lambda: len(cells(app, "#flips")) == 25)
        rows = {row[1]: row for row in cells(app, "#suites")}
        assert rows["capitals"][:6] == ["? inconclusive", "capitals", "40.0%", "82.5%", "▲ +42.5", "[+32.5, +52.5]"]
        assert rows["docs"][0] == "▲ improved" and rows["docs"][4].startswith("▼ -0.")
        kinds = [row[0] for row in cells(app, "#flips")]
        assert kinds == ["✘ forgotten"] * 4 + ["✔ learned"] * 21
        assert "4 forgotten" in text_of(app, "#filter") and "21 learned" in text_of(app, "#filter")
        for shown in ("[+32.5, +52.5]", "✘ forgotten", "Quit"):
            await until(pilot, lambda shown=shown: shown in everything_shown(app))


async def test_flips_are_filtered_by_kind_suite_and_text(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_screen(pilot, until, "c", screen=CompareScreen)
        await until(pilot, lambda: len(cells(app, "#flips")) == 25)
        await pilot.press("t")
        await until(pilot, lambda: len(cells(app, "#flips")) == 4)
        assert "forgotten only" in text_of(app, "#filter")
        await pilot.press("t")
        await until(pilot, lambda: len(cells(app, "#flips")) == 21)
        await pilot.press("t", "s")
        await until(pilot, lambda: "suite capitals" in text_of(app, "#filter"))
        await pilot.press("s")
        await until(pilot, lambda: "shown" not in text_of(app, "#filter"))
        await pilot.press("shift+tab", "j", "enter")
        await until(pilot, lambda: "suite capitals" in text_of(app, "#filter"))
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press(*"COUNTRY 29", "enter")
        await until(pilot, lambda: len(cells(app, "#flips")) == 1)
        assert "Capital of country 29?" in cells(app, "#flips")[0][2]
        await pilot.press("slash", "escape")
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_a_flip_opens_side_by_side_with_whole_texts_and_what_differs_marked(
    project: Project, until: Until
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "c", screen=CompareScreen)
        await until(pilot, lambda: len(cells(app, "#flips")) == 25)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SampleScreen) and "acc 1" in text_of(app, "#before"))
        assert text_of(app, "#before").startswith("base@nf4  ✔ right") and "✘ wrong" in text_of(app, "#after")
        assert "expected\nLima" in text_of(app, "#prompt")
        assert "1 of 25" in text_of(app, "#title")
        await pilot.press("n")
        assert "2 of 25" in text_of(app, "#title")
        await pilot.press("b", "b")
        assert "25 of 25" in text_of(app, "#title")
        assert "✘ wrong" in text_of(app, "#before")


async def test_more_flips_than_a_page_are_fetched_as_the_cursor_comes_near(
    project: Project, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.tui.screens.compare.PAGE_ROWS", 12)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "c", screen=CompareScreen)
        await until(pilot, lambda: len(cells(app, "#flips")) >= 12)
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: len(cells(app, "#flips")) >= 24)
        await pilot.press("end", "end")
        await until(pilot, lambda: len(cells(app, "#flips")) == 25)


@pytest.mark.parametrize("keys", ["enter", "c", "f"])
async def test_hostile_text_is_shown_literally_and_reaches_no_terminal(
    project: Project, until: Until, keys: str
) -> None:
    hostile = printable(HOSTILE)
    directory = project.runs / RUN
    with (directory / "log.txt").open("w") as log:
        log.write(HOSTILE.replace("\x00", "") + "\n[/nope] progress 1%\rprogress 2%\n")
    append_events(directory, [NodeMessage(node="train", level="info", message=HOSTILE)])
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        await until(pilot, lambda: cells(app, "#runs"))
        await pilot.press(keys)
        await until(pilot, lambda: not isinstance(app.screen, HomeScreen))
        await app.workers.wait_for_complete()
        await pilot.pause()
        if keys == "enter":
            log_widget = app.screen.query_one("#log", Log)
            await until(pilot, lambda: len(log_widget.lines) > 8)
            assert f"train: {hostile}" in log_widget.lines and "progress 2%" in log_widget.lines
        if keys == "c":
            screen = app.screen
            assert isinstance(screen, CompareScreen)
            await until(pilot, lambda: len(cells(app, "#flips")) == 25)
            flip = screen._flips[0]
            screen._flips[0] = replace(flip, prompt=HOSTILE, before_output=HOSTILE, doc_hash="none")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, SampleScreen))
            await pilot.pause()
            assert hostile in text_of(app, "#prompt") and hostile in text_of(app, "#before")
        if keys == "f":
            await pilot.press("j")
            await until(pilot, lambda: any("[/nope]" in cell for row in cells(app, "#examples") for cell in row))
        await until(pilot, lambda: "[/nope]" in everything_shown(app))
        shown = everything_shown(app)
        assert "\\x1b" in shown
        assert {character for character in shown if character < " "} == {"\n"} and "\u202e" not in shown


async def test_a_run_name_from_the_disk_cannot_break_the_list(project: Project, until: Until) -> None:
    name = "a\x1b[2J[nope]\u202e"
    write_plan(project, name, {})
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        await until(pilot, lambda: len(cells(app, "#runs")) == 2)
        assert printable(name) in [row[2] for row in cells(app, "#runs")]
        await until(pilot, lambda: "[nope]" in everything_shown(app))
        assert "\x1b" not in everything_shown(app)


async def test_the_theme_changes_and_both_show_signs_with_words(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cells(app, "#runs"))
        for theme in (LIGHT, DARK):
            await pilot.press("f2")
            assert app.theme == theme
            await until(pilot, lambda: "✔ completed" in everything_shown(app))


async def test_help_can_be_opened_from_everywhere_and_left_again(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_screen(pilot, until, "c", screen=CompareScreen)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("question_mark", "escape")
        assert isinstance(app.screen, CompareScreen)


async def test_screens_closed_before_they_are_drawn_break_nothing(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cells(app, "#runs"))
        for open_it in (app.open_run, app.open_comparison, app.open_data, lambda run: app.action_help()):
            open_it(RUN)
            app.pop_screen()
        await pilot.press("c")
        await until(pilot, lambda: len(cells(app, "#flips")) == 25)
        assert isinstance(app.screen, CompareScreen)


@pytest.mark.parametrize(
    ("output", "shown", "brief"),
    [
        (
            '{"choice": 1, "texts": ["was", "were"], "logprobs": [-6.694, -6.44]}',
            "were\nlog-likelihood  -6.69 was  -6.44 were",
            "were",
        ),
        (
            '{"choice": null, "logprobs": [null, -1.0]}',
            "no choice of 2\nlog-likelihood  - choice 1 of 2  -1.00 choice 2 of 2",
            "no choice of 2",
        ),
        ('{"nll": 12.0, "tokens": 4}', "3.000 nats per token over 4 tokens", "3.000 nats per token over 4 tokens"),
        ('{"nll": 12.0, "tokens": 0}', '{"nll": 12.0, "tokens": 0}', '{"nll": 12.0, "tokens": 0}'),
        ("Lima\nand more", "Lima\nand more", "Lima\nand more"),
        ("{not json", "{not json", "{not json"),
        ("[" * 5000, "[" * 5000, "[" * 5000),
        ('{"a":' + "[" * 9000, '{"a":' + "[" * 9000, '{"a":' + "[" * 9000),
    ],
)
def test_raw_outputs_are_put_into_words_and_text_is_left_alone(output: str, shown: str, brief: str) -> None:
    assert (readable(output), in_brief(output)) == (shown, brief)


async def test_the_curve_of_a_cached_training_comes_from_the_index(project: Project, until: Until) -> None:
    fingerprints = dict(query(project.index, "SELECT node, fingerprint FROM run_nodes").rows)
    directory = write_plan(project, "again", fingerprints)
    cached = [NodeCached(node=node, fingerprint=fingerprint) for node, fingerprint in fingerprints.items()]
    append_events(directory, [RunStarted(run="again", pid=1, nodes=tuple(fingerprints), resumed=False), *cached])
    load_run(project.index, directory)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 34)) as pilot:
        app.open_run("again")
        await until(pilot, lambda: "at step 60" in everything_shown(app))
        assert text_of(app, "#nodes").count("cached") == 8


@pytest.mark.parametrize(
    ("screen", "shown"), [("home", RUN), ("compare", "[+32.5,"), ("sample", "expected"), ("data", "exact_duplicate")]
)
def test_pictures_are_made_without_a_terminal(project: Project, tmp_path: Path, screen: Any, shown: str) -> None:
    save_screenshot(project, screen, tmp_path / "picture.svg", run=RUN, size=(100, 30), light=True)
    assert shown in (tmp_path / "picture.svg").read_text(encoding="utf-8").replace("&#160;", " ")
