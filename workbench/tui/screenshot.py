"""Pictures of the terminal without a terminal, for README and docs.

save_screenshot(Project(Path(".")), "compare", Path("docs/compare.svg"), run="demo-20261122-101500")
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Literal

from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from workbench.core.parts import write_text
from workbench.core.paths import Project
from workbench.tui.app import LIGHT, WorkbenchApp

Picture = Literal["home", "run", "compare", "sample", "data", "help"]


def save_screenshot(
    project: Project,
    screen: Picture,
    path: Path,
    *,
    run: str = "",
    size: tuple[int, int] = (120, 34),
    light: bool = False,
) -> None:
    """Writes one screen of a project as SVG; `run` names the run for all screens but `home` and `help`."""
    asyncio.run(_picture(project, screen, path, run, size, light))


async def _picture(project: Project, screen: Picture, path: Path, run: str, size: tuple[int, int], light: bool) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=size, notifications=False) as pilot:
        if light:
            app.theme = LIGHT
        openers = {
            "run": app.open_run,
            "compare": app.open_comparison,
            "sample": app.open_comparison,
            "data": app.open_data,
        }
        if screen == "help":
            app.action_help()
        elif screen in openers:
            openers[screen](run)
        await _settled(pilot)
        if screen == "sample":
            await pilot.press("enter")
            await _settled(pilot)
        write_text(path, app.export_screenshot())


async def _settled(pilot: Pilot[None]) -> None:
    """Until the questions asked are answered and drawn, those asked because of the answers included."""
    for _ in range(3):
        await pilot.pause(0.15)  # drawing is done by a timer
        with suppress(WorkerCancelled):  # a newer question replaced it and is waited for in the next round
            await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.15)
