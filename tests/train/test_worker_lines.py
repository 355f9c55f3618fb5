"""What a worker writes is what its supervisor hears."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from contexts import made_up_context
from training_run import tiny_train_node

from workbench.core.events import Event, NodeProgress
from workbench.core.stage import Context
from workbench.train import processes, worker
from workbench.train.processes import Said, Task


def test_progress_without_a_total_reaches_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(task: Task, ctx: Context) -> Said:
        ctx.progress(3, None, "rows", "\u00e9\u2028\n")
        return Said(outcome="done", summary={"steps": 3})

    place = str(tmp_path)
    task = Task(
        rank=0, count=1, store=place, node="train", config=tiny_train_node(tmp_path), train_file=place, out_dir=place,
        work_dir=place, project=place, seed=0, fingerprint="",
    )  # fmt: skip
    written = tmp_path / "written"
    monkeypatch.setattr(worker, "_work", work)
    monkeypatch.setattr(worker, "_obey", lambda cancelled: None)
    monkeypatch.setattr(worker, "_own_output", lambda: written.open("w", encoding="utf-8"))
    monkeypatch.setattr(os, "_exit", lambda code: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(task.model_dump_json() + "\n"))
    worker.main()

    heard: list[Event] = []
    context = made_up_context("train", tmp_path, emit=heard.append)
    nobody: Any = None
    attempt = processes._Attempt(context, [processes._Worker(nobody)])
    with written.open(encoding="utf-8") as lines:
        for line in lines:
            attempt.said.put((0, line))
            attempt._hear()
    assert heard == [NodeProgress(node="train", done=3, total=None, unit="rows", message="\u00e9\u2028\n")]
    assert attempt.workers[0].outcome == Said(outcome="done", summary={"steps": 3})
