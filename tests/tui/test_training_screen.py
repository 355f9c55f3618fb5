"""A training while it happens: its numbers, its answers, and taking it up again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_project import HOSTILE, NODES, RUN, append_events, write_plan
from shown import cells, everything_shown, text_of

from workbench.core.errors import UsageError
from workbench.core.events import (
    Event,
    NodeMetric,
    NodeProgress,
    NodeSample,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from workbench.core.paths import Project
from workbench.core.records import TrainingSample
from workbench.loop.jobs import LOCK_FD, resume
from workbench.tui.app import WorkbenchApp
from workbench.tui.live import LiveRun
from workbench.tui.screens.run import RunScreen

Until = Callable[..., Any]
NAMES = tuple(name for name, _, _ in NODES)


def sample(step: int, answer: str, record: str = "r1", prompt: str = "What does len() do?") -> NodeSample:
    row = TrainingSample(
        step=step, record=record, held_back=True, prompt=prompt, reference="Counts", answer=answer, finish_reason="stop"
    )
    return NodeSample(node="train", sample=row)


def metric(step: int, **values: float) -> NodeMetric:
    return NodeMetric(node="train", step=step, values=values)


def test_a_resumed_training_repeats_its_steps_looks_and_answers_once() -> None:
    live = LiveRun((("train", "train"),))
    live.apply([NodeStarted(node="train", fingerprint="f")])
    live.apply([metric(step, loss=4 - step / 10, learning_rate=step / 10) for step in range(1, 7)])
    live.apply([metric(3, validation_loss=3.0), metric(6, validation_loss=2.5), sample(6, "late")])
    live.apply([RunStarted(run="r", pid=1, nodes=("train",), resumed=True), NodeStarted(node="train", fingerprint="f")])
    live.apply([metric(4, loss=3.6, learning_rate=0.4), sample(4, "again")])
    live.apply([metric(4, validation_loss=2.9)])
    assert [step for step, _ in live.points["train"]] == [1, 2, 3, 4]
    assert live.validation["train"] == {3: 3.0, 4: 2.9}
    assert live.numbers["train"] == {"learning_rate": 0.4}
    assert [found.answer for found in live.samples["train"].values()] == ["again"]


def test_of_several_trainings_the_one_at_work_is_shown_then_the_last() -> None:
    live = LiveRun((("train:a", "train"), ("train:b", "train")))

    def loss(node: str) -> Event:
        return NodeMetric(node=node, step=1, values={"loss": 1.0})

    assert live.shown_training() is None
    live.apply([NodeStarted(node="train:a", fingerprint="f"), loss("train:a")])
    live.apply([NodeStarted(node="train:b", fingerprint="f")])
    live.nodes["train:a"].status = "done"
    assert live.shown_training() == "train:a"  # the other one has no step yet
    live.apply([loss("train:b")])
    assert live.shown_training() == "train:b"


@pytest.mark.parametrize("size", [(80, 24), (150, 45)])
async def test_the_run_screen_shows_every_number_and_the_last_answers(
    project: Project, until: Until, size: tuple[int, int]
) -> None:
    directory = write_plan(project, "live", {}, created_at="2026-11-22T12:00:00+00:00")
    append_events(
        directory,
        [
            RunStarted(run="live", pid=os.getpid(), nodes=NAMES, resumed=False),
            NodeStarted(node="train", fingerprint="f"),
            sample(0, "I am a model."),
            metric(
                20, loss=2.8, learning_rate=1.8e-4, grad_norm=0.42, tokens_per_s=387.4, memory_bytes=2.0 * (1 << 30),
                **{"rewards/margins": 0.3125},
            ),
            metric(15, validation_loss=3.021),
            metric(20, validation_loss=3.05),
            sample(20, f"Counts items. {HOSTILE}"),
            NodeProgress(node="train", done=20, total=60, unit="steps"),
        ],
    )  # fmt: skip
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        app.open_run("live")
        await until(pilot, lambda: "gradient norm 0.42" in text_of(app, "#numbers"))
        numbers = text_of(app, "#numbers")
        for shown in ("learning rate 1.8e-04", "387 tokens/s", "memory 2.00 GiB", "rewards/margins 0.3125"):
            assert shown in numbers
        assert "validation loss 3.050 at step 20, lowest 3.021 at step 15" in numbers
        await until(pilot, lambda: "step 20" in text_of(app, "#samples"))
        answers = text_of(app, "#samples")
        assert "What does len() do? → Counts items." in answers and "I am a model" not in answers
        assert "\x1b" not in answers and "\u202e" not in answers
        await until(pilot, lambda: "gradient norm 0.42" in everything_shown(app))
        assert "loss 2.800 at step 20" in everything_shown(app)


async def test_a_run_without_samples_has_no_empty_box(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        app.open_run(RUN)
        await until(pilot, lambda: "8/8 nodes" in text_of(app, "#title"))
        assert not app.screen.query_one("#samples-area").display


async def test_a_stopped_run_is_taken_up_again_from_either_screen(project: Project, jobs: Any, until: Until) -> None:
    directory = write_plan(project, "stopped", {}, created_at="2027-01-01T00:00:00+00:00")
    append_events(
        directory,
        [
            RunStarted(run="stopped", pid=os.getpid(), nodes=NAMES, resumed=False),
            RunFinished(run="stopped", status="cancelled", exit_code=143, message="stopped in train"),
        ],
    )
    app = WorkbenchApp(project, jobs)
    async with app.run_test(size=(150, 45)) as pilot:
        await until(pilot, lambda: cells(app, "#runs") and "$ workbench demo" in text_of(app, "#details"))
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "cancelled" in text_of(app, "#title"))
        assert jobs.resumed == ["stopped"]
        assert any("workbench run --resume stopped" in notice.message for notice in app._notifications)
        append_events(directory, [RunStarted(run="stopped", pid=os.getpid(), nodes=NAMES, resumed=True)])
        await pilot.press("g")
        await until(pilot, lambda: "cancelled" not in text_of(app, "#title"))
        assert jobs.resumed == ["stopped", "stopped"]


@pytest.mark.parametrize("ended", ["cancelled", "killed"])
async def test_a_dead_run_looks_dead_and_offers_what_can_be_done(project: Project, until: Until, ended: str) -> None:
    directory = write_plan(project, "dead", {}, created_at="2027-01-01T00:00:00+00:00")
    begun: list[Event] = [
        RunStarted(run="dead", pid=os.getpid(), nodes=NAMES, resumed=False),
        NodeStarted(node="train", fingerprint="f"),
        NodeProgress(node="train", done=100, total=300, unit="steps", at="2027-01-01T00:00:10+00:00"),
        NodeProgress(node="train", done=106, total=300, unit="steps", at="2027-01-01T00:00:11+00:00"),
    ]
    end = RunFinished(run="dead", status="cancelled", exit_code=143, message="stopped in train")
    append_events(directory, [*begun, end] if ended == "cancelled" else begun)  # a killed one writes no last word
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        await until(pilot, lambda: "■ stopped train 106/300 steps" in text_of(app, "#details"))
        assert _offered(app) >= {"g"} and "x" not in _offered(app)
        app.open_run("dead")
        await until(pilot, lambda: ended in text_of(app, "#title"))
        await until(pilot, lambda: "stopped at 106/300 steps" in text_of(app, "#nodes"))
        assert "■ train" in text_of(app, "#nodes") and "left" not in text_of(app, "#nodes")
        await until(pilot, lambda: "g" in _offered(app))
        assert "x" not in _offered(app)


async def test_a_complete_run_can_be_neither_stopped_nor_taken_up(project: Project, until: Until) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(150, 45)) as pilot:
        app.open_run(RUN)
        await until(pilot, lambda: "8/8 nodes" in text_of(app, "#title"))
        assert not _offered(app) & {"x", "g"} and "c" in _offered(app)


def _offered(app: WorkbenchApp) -> set[str]:
    return set(app.screen.active_bindings)


class _Started:
    """Stands in for the process: what was asked for, and whether the run's lock was handed over."""

    commands: list[list[str]] = []

    def __init__(self, command: list[str], **options: Any) -> None:
        assert options["env"][LOCK_FD] == str(options["pass_fds"][0])
        self.commands.append(command)


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_the_job_that_goes_on_is_the_command_line_s(
    project: Project, monkeypatch: pytest.MonkeyPatch, status: Any
) -> None:
    directory = write_plan(project, "stopped", {}, created_at="2027-01-01T00:00:00+00:00")
    append_events(directory, [RunFinished(run="stopped", status=status, exit_code=3, message="")])
    monkeypatch.setattr(_Started, "commands", [])
    monkeypatch.setattr(subprocess, "Popen", _Started)
    resume(project, "stopped")
    assert _Started.commands[0][-3:] == ["run", "--resume", "stopped"]


def test_what_cannot_be_taken_up_says_so_with_the_next_step(project: Project) -> None:
    with pytest.raises(UsageError, match="is completed: there is nothing to take up"):
        resume(project, RUN)
    directory = write_plan(project, "alone", {}, created_at="2027-01-01T00:00:00+00:00")
    plan = Path(directory / "plan.json")
    plan.write_text(plan.read_text().replace('"workbench demo"', '"workbench train --data a.jsonl"'))
    append_events(directory, [RunFinished(run="alone", status="cancelled", exit_code=143, message="")])
    with pytest.raises(UsageError, match=r"again goes on where it was: workbench train --data a\.jsonl"):
        resume(project, "alone")
