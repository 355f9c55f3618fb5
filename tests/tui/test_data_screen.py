"""The data part of the terminal, on a small file that the real curation cleaned."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shown import cells, everything_shown, text_of
from textual.pilot import Pilot
from textual.widgets import Input, Static

from workbench.core.paths import Project
from workbench.core.wire import printable
from workbench.loop.decisions import restored_records
from workbench.loop.restoring import restored
from workbench.tui.app import WorkbenchApp
from workbench.tui.differences import marked_differences
from workbench.tui.screens.clusters import ClustersScreen
from workbench.tui.screens.data import DataScreen
from workbench.tui.screens.pair import PairScreen
from workbench.tui.screens.record import RecordScreen
from workbench.tui.screens.restore import RestoreScreen
from workbench.tui.widgets.lists import RowTable

Until = Callable[..., Any]
HOSTILE = "a\x1b]52;c;ZXZpbA==\x07b [/nope] \u202egnp \x1b[2J end"
SIZES = pytest.mark.parametrize("size", [(80, 24), (140, 45)])


def messy_rows() -> list[dict[str, str]]:
    """Row 0 to 3 one page (1 with another word, 2 in capitals), 4 a refusal, 5 without an answer, 6 mojibake, then 130
    answers that end in blanks."""
    chosen = random.Random(3)
    words = [f"word{number}" for number in range(400)]
    page = " ".join(chosen.sample(words, 60))
    other = page.replace(page.split()[30], "changed")
    return [
        {"instruction": "Copy the page.", "output": page},
        {"instruction": "Copy the page.", "output": other},
        {"instruction": "COPY the  page.", "output": page},
        {"instruction": "Copy the page.", "output": page},
        {"instruction": f"Say {HOSTILE}", "output": "I'm sorry, but as an AI language model I cannot do that."},
        {"instruction": f"Shout {HOSTILE} loud.", "output": ""},
        {"instruction": "Fix this: caf\u00c3\u00a9 au lait", "output": "It is a coffee with milk."},
        *(
            {"instruction": f"Question {number}?", "output": " ".join(chosen.sample(words, 12)) + ".  \n "}
            for number in range(130)
        ),
    ]


@pytest.fixture(scope="session")
def curated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the file was curated."""
    root = tmp_path_factory.mktemp("curated") / "project"
    root.mkdir()
    (root / "messy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in messy_rows()))
    command = [sys.executable, "-m", "workbench", "-C", str(root), "curate", str(root / "messy.jsonl"), "--quiet"]
    keep_marks = ["--set", "curate.actions={control_chars: 'off'}", "--set", "curate.count_tokens=false"]
    subprocess.run([*command, *keep_marks], check=True, capture_output=True, timeout=120)
    return root


@pytest.fixture
def curated(curated_once: Path, tmp_path: Path) -> Project:
    """A copy of it."""
    return Project(Path(shutil.copytree(curated_once, tmp_path / "project")))


def run_of(project: Project) -> str:
    (directory,) = project.runs.iterdir()
    return directory.name


async def at_data(pilot: Pilot[None], until: Until, project: Project) -> None:
    assert isinstance(pilot.app, WorkbenchApp)
    app = pilot.app
    app.open_data(run_of(project))
    await until(pilot, lambda: isinstance(app.screen, DataScreen) and cells(app, "#examples"))


async def choose(pilot: Pilot[None], until: Until, action: str, reason: str) -> None:
    """Puts the cursor on a reason."""
    app: Any = pilot.app
    app.screen.query_one("#reasons", RowTable).focus()
    places = [row[:2] for row in cells(app, "#reasons")]
    app.screen.query_one("#reasons", RowTable).move_cursor(row=places.index([action, reason]))
    await until(pilot, lambda: f"{action} {reason}" in text_of(app, "#examples-title"))
    await until(pilot, lambda: cells(app, "#examples"))


async def opened(pilot: Pilot[None], until: Until, screen: type[Any], *keys: str) -> None:
    await pilot.press(*keys)
    await until(pilot, lambda: isinstance(pilot.app.screen, screen) and pilot.app.screen.is_mounted)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@SIZES
async def test_the_funnel_shows_reasons_of_every_kind_and_their_rows_dropped_or_kept(
    curated: Project, until: Until, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=size) as pilot:
        await at_data(pilot, until, curated)
        assert "137 rows in → 133 kept" in text_of(app, "#title")
        found = {(row[0], row[1]): row[2:4] for row in cells(app, "#reasons")}
        assert found["✘ drop", "exact_duplicate"] == ["2", "2"] and found["✘ drop", "near_duplicate"] == ["1", "1"]
        await choose(pilot, until, "✘ drop", "near_duplicate")
        (row,) = cells(app, "#examples")
        assert row[:2] == ["✘ dropped", "1"] and row[2].startswith("Jaccard 0.8")
        await choose(pilot, until, "! flag", "refusal")
        (row,) = cells(app, "#examples")
        assert row[:2] == ["✔ kept", "4"] and row[3].startswith("Say a\\x1b]52;")
        await choose(pilot, until, "~ repair", "mojibake")
        assert [row[:2] for row in cells(app, "#examples")] == [["✔ kept", "6"]]
        for shown in ("refusal", "Clusters", "Restore"):
            await until(pilot, lambda shown=shown: shown in everything_shown(app))


@SIZES
async def test_lengths_balance_and_settings_are_there(curated: Project, until: Until, size: tuple[int, int]) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=size) as pilot:
        await at_data(pilot, until, curated)
        numbers = text_of(app, "#numbers-text")
        for said in (
            "Length of the kept rows in words",
            "Balance of the kept rows",
            "5-grams from 0.7",
            "as diverse as",
        ):
            assert said in numbers
        wide = size[0] > 110
        assert ("Balance of the kept rows" in everything_shown(app)) == wide
        await pilot.press("i")
        await until(pilot, lambda: ("Length of the kept rows" in everything_shown(app)) != wide)
        assert ("only this" in everything_shown(app)) == wide
        await pilot.press("i")
        await until(pilot, lambda: "only this" in everything_shown(app))


async def test_long_lists_come_page_by_page_and_are_searched_in_record_and_evidence(
    curated: Project, until: Until
) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_data(pilot, until, curated)
        await choose(pilot, until, "~ repair", "edge_whitespace")
        await until(pilot, lambda: len(cells(app, "#examples")) == 100)
        assert "100+ of 130 rows" in text_of(app, "#examples-title")
        await pilot.press("enter", "end")
        await until(pilot, lambda: len(cells(app, "#examples")) == 130)
        assert [int(row[1]) for row in cells(app, "#examples")] == list(range(7, 137))
        await pilot.press("slash", *"QUESTION 12", "enter")
        await until(pilot, lambda: len(cells(app, "#examples")) == 11)
        assert "11 found" in text_of(app, "#examples-title")
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press("escape")
        assert isinstance(app.screen, DataScreen)
        await pilot.press("slash", *["backspace"] * 12, "enter")
        await until(pilot, lambda: len(cells(app, "#examples")) == 100)


@SIZES
async def test_a_record_is_shown_whole_with_every_finding_and_its_place_and_nothing_reaches_the_terminal(
    curated: Project, until: Until, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=size) as pilot:
        await at_data(pilot, until, curated)
        await choose(pilot, until, "! flag", "refusal")
        await opened(pilot, until, RecordScreen, "enter", "enter")
        await until(pilot, lambda: text_of(app, "#record"))
        assert "refusal" in text_of(app, "#findings") and "ai_boilerplate" in text_of(app, "#findings")
        record = text_of(app, "#record")
        assert record.startswith(f"user\nSay {printable(HOSTILE)}\n\nassistant\nI'm sorry, but")
        source = text_of(app, "#source")
        assert "messy.jsonl" in source and "4, counted from 0" in source and "line          5" in source
        await until(pilot, lambda: "[/nope]" in everything_shown(app))
        shown = everything_shown(app)
        assert {character for character in shown if character < " "} == {"\n"} and "\u202e" not in shown
        await pilot.press("escape")
        await choose(pilot, until, "✘ drop", "empty_output")
        await opened(pilot, until, RecordScreen, "enter", "enter")
        await until(pilot, lambda: "the answer is empty" in text_of(app, "#findings"))
        assert text_of(app, "#record").endswith("assistant\n(empty)")
        await pilot.press("c")
        await until(pilot, lambda: any("no duplicate" in notice.message for notice in app._notifications))


@SIZES
async def test_clusters_show_who_stayed_and_a_pair_side_by_side(
    curated: Project, until: Until, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=size) as pilot:
        await at_data(pilot, until, curated)
        await opened(pilot, until, ClustersScreen, "c")
        await until(pilot, lambda: len(cells(app, "#members")) == 3)
        (cluster,) = cells(app, "#clusters")
        assert cluster[0] == "4" and cluster[1].startswith("0.8") and cluster[2] == "2"
        assert "1 clusters; 3 rows" in text_of(app, "#title")
        assert [row[1:3] for row in cells(app, "#members")] == [
            ["1", cluster[1]],
            ["0", "same text"],
            ["3", "same text"],
        ]
        await opened(pilot, until, PairScreen, "enter", "enter")
        await until(pilot, lambda: "changed" in text_of(app, "#member"))
        assert text_of(app, "#kept").startswith("✔ kept  row 2") and text_of(app, "#member").startswith(
            "✘ dropped  row 1"
        )
        assert f"true Jaccard similarity {cluster[1]}" in text_of(app, "#title")
        member: Any = app.screen.query_one("#member", Static).content
        marked = {member.plain[span.start : span.end] for span in member.spans if "underline" in str(span.style)}
        assert "changed" in marked and len(marked) <= 3
        await pilot.press("n")
        await until(pilot, lambda: "row 0" in text_of(app, "#member"))
        assert "same text" in text_of(app, "#title")


async def test_a_dropped_row_is_restored_with_a_reason_and_withdrawn_again(curated: Project, until: Until) -> None:
    app = WorkbenchApp(curated)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_data(pilot, until, curated)
        await choose(pilot, until, "✘ drop", "near_duplicate")
        await pilot.press("enter")
        await opened(pilot, until, RestoreScreen, "u")
        await pilot.press("enter")
        assert isinstance(app.screen, RestoreScreen) and "a reason is needed" in text_of(app, "#keys")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DataScreen))
        assert restored_records(curated.root) == ()
        await opened(pilot, until, RestoreScreen, "u")
        await pilot.press(*"the word matters", "enter")
        await until(pilot, lambda: [row[0] for row in cells(app, "#examples")] == ["↺ restored"])
        assert "1 restored: the next `curate` keeps them" in text_of(app, "#examples-title")
        (decision,) = restored(curated)
        assert (decision.kind, decision.verdict, decision.note) == ("restore", "restore", "the word matters")
        assert decision.target == text_of_record_id(curated, 1)
        await opened(pilot, until, RecordScreen, "enter")
        await until(pilot, lambda: "↺ restored" in text_of(app, "#title"))
        await pilot.press("u")
        await until(pilot, lambda: "✘ dropped" in text_of(app, "#title"))
        await pilot.press("escape")
        await until(pilot, lambda: [row[0] for row in cells(app, "#examples")] == ["✘ dropped"])
        assert restored_records(curated.root) == ()


def text_of_record_id(project: Project, row: int) -> str:
    """Id of a dropped row, from the artifact's own file."""
    (part,) = project.artifacts.glob("curate/*/dropped.jsonl")
    drops = [json.loads(line) for line in part.read_text(encoding="utf-8").splitlines()]
    (found,) = (drop["record"]["id"] for drop in drops if drop["row"] == row)
    return str(found)


async def test_what_cannot_be_restored_is_said(curated_once: Path, tmp_path: Path, until: Until) -> None:
    root = tmp_path / "copies"
    shutil.copytree(curated_once, root)
    (root / "twice.jsonl").write_text('{"text": "the very same words"}\n' * 2)
    shutil.rmtree(root / ".workbench")
    command = [sys.executable, "-m", "workbench", "-C", str(root), "curate", str(root / "twice.jsonl"), "--quiet"]
    subprocess.run([*command, "--set", "curate.count_tokens=false"], check=True, capture_output=True, timeout=120)
    project = Project(root)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_data(pilot, until, project)
        await pilot.press("enter", "u")
        await until(pilot, lambda: any("very same record and stays" in one.message for one in app._notifications))
        assert restored_records(root) == ()


async def test_an_artifact_that_is_gone_is_said_and_the_funnel_stays(curated: Project, until: Until) -> None:
    shutil.rmtree(curated.artifacts / "curate")
    app = WorkbenchApp(curated)
    async with app.run_test(size=(140, 45)) as pilot:
        app.open_data(run_of(curated))
        await until(pilot, lambda: "cannot be read" in text_of(app, "#examples-title"))
        assert len(cells(app, "#reasons")) > 5


def test_differences_of_long_texts_are_marked_and_blanks_are_not() -> None:
    words = [f"w{number % 50}" for number in range(2000)]
    other = [*words[:1000], "new", "words", *words[1000:]]
    before, after = marked_differences("  ".join(words), " ".join(other))
    assert before.plain == "  ".join(words) and after.plain == " ".join(other)
    assert before.spans == []
    assert [after.plain[span.start : span.end] for span in after.spans] == ["new words"]
    assert all(not text.spans for text in marked_differences("a " * 50, "b " * 50, most_words=40))
