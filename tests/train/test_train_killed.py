from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_run import CHECKPOINT_STEPS, TrainingRun

HERE = Path(__file__).parent
MakeRun = Callable[..., TrainingRun]


def start(run: TrainingRun) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parents[1])])
    return subprocess.Popen(
        [sys.executable, str(HERE / "run_until_killed.py"), str(run.root), run.config.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def kill_at(process: subprocess.Popen[str], moment: Callable[[dict[str, Any]], bool]) -> None:
    """Sends SIGKILL the instant an event arrives for which `moment` holds."""
    assert process.stdout is not None
    for line in process.stdout:
        if moment(json.loads(line)):
            process.kill()
            break
    assert process.wait(timeout=120) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[1], [3], [4], [2, 6, 8]])
def test_killed_process_taken_up_again_ends_in_the_same_bits(
    make_run: MakeRun, unbroken: TrainingRun, kills: list[int]
) -> None:
    run = make_run("run")
    for step in kills:
        kill_at(start(run), lambda event, at=step: event["event"] == "node_progress" and event["done"] == at)
        assert not (run.out / "training.json").exists()
    process = start(run)
    process.communicate(timeout=200)
    assert process.returncode == 0
    if kills != [1]:  # killed before the first checkpoint, it begins anew
        assert run.summary()["resumed_from"][-1] >= kills[-1] - CHECKPOINT_STEPS
    assert run.adapter_bytes() == unbroken.adapter_bytes()
    assert run.curve() == unbroken.curve()
