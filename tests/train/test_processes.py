"""One training in several processes: the same training, ended together, taken up again to the same bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contexts import made_up_context
from pydantic import ValidationError
from safetensors.torch import load_file
from training_run import STEPS, TrainingRun, tiny_train_node, training_records

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.errors import ExitCode, UsageError
from workbench.core.events import NodeMetric, NodeProgress
from workbench.core.stage import Cancelled, Done, Failed, Outcome
from workbench.train import processes
from workbench.train.group import ALONE, Group
from workbench.train.processes import process_count, run_in_processes
from workbench.train.refusals import refuse

HERE = Path(__file__).parent


# What the processes say to each other.


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two real processes found, over gloo on the loopback interface."""
    store = tmp_path_factory.mktemp("group") / "store"
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    started = [
        subprocess.Popen(
            [sys.executable, str(HERE / "group_member.py"), str(rank), "2", str(store)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    return [json.loads(process.communicate(timeout=120)[0]) for process in started]


def test_gradients_are_summed_over_the_processes_and_none_is_zero(members: list[dict[str, Any]]) -> None:
    for member in members:
        assert member["gradients"] == [[3.0, 6.0, 9.0], [5.0, 5.0, 5.0, 5.0]]


def test_processes_that_drifted_apart_are_an_error_and_share_the_leaders_values(members: list[dict[str, Any]]) -> None:
    for member in members:
        assert "no longer have the same adapter" in member["apart"]
        assert "no longer have the same adapter" in member["swapped"]
        assert member["shared"] == [1.0, 1.0, 1.0]
        assert member["any"] == [True, False] and member["of_leader"] == 7.5


def test_random_numbers_differ_between_processes_and_are_taken_up_where_they_were(
    members: list[dict[str, Any]],
) -> None:
    for member in members:
        assert member["drawn"] == member["again"] and member["is_own"] and not member["of_other_count"]
    assert members[0]["drawn"] != members[1]["drawn"]
    torch.manual_seed(3)
    assert members[0]["drawn"] == torch.rand(4).tolist()  # the leader draws what a single process would


def test_a_single_process_says_nothing_to_nobody() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    ALONE.sum_gradients([parameter])
    assert parameter.grad is None and ALONE.sum([1.5, 2.0]) == [1.5, 2.0] and ALONE.random_states() == {}


# How many.


@pytest.mark.parametrize(
    ("settings", "gpus", "count"),
    [
        ({}, 0, 1),
        ({}, 1, 1),
        ({}, 2, 2),
        ({}, 3, 2),  # 8 rows of a step cannot be shared by 3
        ({"batch_size": 6}, 4, 3),
        ({"processes": 1}, 4, 1),
        ({"processes": 4}, 0, 4),
        ({"objective": "dpo"}, 4, 1),
    ],
)
def test_one_process_per_gpu_as_many_as_divide_the_rows_of_a_step(
    settings: dict[str, Any], gpus: int, count: int
) -> None:
    assert process_count(TrainConfig(**settings), gpus) == count


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"processes": 3}, "3 processes cannot share the 8 rows of a step"),
        ({"processes": 2, "objective": "dpo"}, "objective dpo is trained in one process"),
    ],
)
def test_what_cannot_be_shared_is_refused_when_the_configuration_is_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainConfig(**settings)


@pytest.mark.parametrize(("gpus", "refused"), [(0, False), (1, True), (2, False)])
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch, gpus: int, refused: bool) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    settings = TrainConfig(processes=2)
    if refused:
        with pytest.raises(UsageError, match="2 processes need a GPU each, and 1 is visible"):
            refuse(settings, ModelConfig())
    else:
        refuse(settings, ModelConfig())


@pytest.mark.parametrize(
    ("allowed", "count", "names"), [(None, 2, ["0", "1"]), ("3,5", 2, ["3", "5"]), ("", 0, []), ("7", 1, ["7"])]
)
def test_each_process_sees_one_of_the_gpus_that_this_one_sees(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, count: int, names: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert processes.visible_gpus() == names
    assert processes._environment(names[0] if names else None).get("CUDA_VISIBLE_DEVICES") == (
        names[0] if names else allowed
    )


# Ending together: workers that only say what they are told to.

_FAKE = """
import json, os, sys, time
task = json.loads(sys.stdin.readline())
rank, attempts = task["rank"], os.path.join(task["work_dir"], f"attempts-{task['rank']}")
open(attempts, "a").write("x")
attempt = len(open(attempts).read())
def say(**said):
    print(json.dumps(said), flush=True)
def progress(done):
    say(event={"event": "node_progress", "node": "train", "done": done, "total": 9, "unit": "steps"})
"""


def _supervise(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    cancelled: Callable[[list[Any]], bool] = lambda events: False,
) -> tuple[Outcome, list[Any]]:
    script = place / "fake.py"
    script.write_text(_FAKE + textwrap.dedent(behaviour))
    monkeypatch.setattr(processes, "WORKER", (sys.executable, str(script)))
    monkeypatch.setattr(processes, "_GRACE_S", 0.3)
    events: list[Any] = []
    context = made_up_context("train", place, emit=events.append, cancelled=lambda: cancelled(events))
    return run_in_processes(tiny_train_node(place), place / "train.jsonl", context, 2), events


def test_a_killed_process_ends_the_others_which_wait_for_it_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = """
        other = os.path.join(task["work_dir"], "pid-0")
        if rank == 1:
            while not os.path.exists(other):
                time.sleep(0.01)
            os.kill(os.getpid(), 9)
        progress(1)
        open(other + ".tmp", "w").write(str(os.getpid()))
        os.rename(other + ".tmp", other)
        time.sleep(600)
    """
    outcome, events = _supervise(tmp_path, monkeypatch, behaviour)
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("training process 2 of 2 ended by signal 9 (SIGKILL); the others were stopped")
    assert [event.done for event in events] == [1]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid-0").read_text()), 0)


def test_a_process_killed_in_the_middle_of_a_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = """
        progress(1)
        if rank == 1:
            print('{"event": {"event": "node_pro', end="", flush=True)
            os.kill(os.getpid(), 9)
        time.sleep(600)
    """
    outcome, _ = _supervise(tmp_path, monkeypatch, behaviour)
    assert isinstance(outcome, Failed) and "process 2 of 2 ended by signal 9 (SIGKILL)" in outcome.message
    assert "train.processes: 1, which is another training and begins anew" in outcome.message


def test_the_first_cause_is_told_and_not_what_it_led_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = """
        if rank == 0:
            say(outcome="peer lost", message="connection closed")
        else:
            time.sleep(0.1)
            say(outcome="failed", message="the loss of step 3 is nan", exit_code=3)
    """
    outcome, _ = _supervise(tmp_path, monkeypatch, behaviour)
    assert outcome == Failed("the loss of step 3 is nan", ExitCode.INCOMPLETE)


def test_short_memory_in_one_process_begins_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = """
        if attempt == 1:
            say(outcome="again" if rank == 1 else "peer lost")
        else:
            say(outcome="done", summary={"steps": 9} if rank == 0 else {})
    """
    outcome, _ = _supervise(tmp_path, monkeypatch, behaviour)
    assert outcome == Done({"steps": 9})
    assert [(tmp_path / f"attempts-{rank}").read_text() for rank in range(2)] == ["xx", "xx"]


def test_cancelling_is_passed_on_to_the_leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = """
        progress(1)
        if rank == 0:
            assert sys.stdin.readline() == "cancel\\n"
        say(outcome="cancelled")
    """
    outcome, _ = _supervise(tmp_path, monkeypatch, behaviour, cancelled=bool)
    assert outcome == Cancelled()


def test_a_worker_ends_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    worker = subprocess.Popen(processes.WORKER, stdin=subprocess.PIPE, text=True)
    task = processes.Task(
        rank=1, count=2, store=str(tmp_path / "store"), node="train", config=tiny_train_node(tmp_path),
        train_file=str(tmp_path / "none.jsonl"), out_dir="", work_dir="", project="", seed=0, fingerprint="",
    )  # fmt: skip
    assert worker.stdin is not None
    worker.stdin.write(task.model_dump_json() + "\n")
    worker.stdin.close()
    assert worker.wait(timeout=60) == ExitCode.TERMINATED


# The real thing.

TOLERANCE = 2e-5
"""Of weights of the order of 0.05 after eight steps in fp32: sums are taken in another order."""


def _run(place: Path, model: Path, **settings: Any) -> TrainingRun:
    place.mkdir()
    chosen = {"precision": "fp32", "method": "lora", "processes": 2, "samples": 1, "validation_share": 0.2}
    return TrainingRun(place, tiny_train_node(model, **(chosen | settings)), training_records())


def _weights(run: TrainingRun) -> Any:
    tensors = load_file(str(run.out / "adapter" / "adapter_model.safetensors"))
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


@pytest.fixture(scope="module")
def two_processes(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """Eight steps in two processes, without dropout."""
    run = _run(tmp_path_factory.mktemp("two") / "run", tiny_model_dir, dropout=0.0)
    assert isinstance(run.attempt(), Done)
    return run


@pytest.mark.slow
def test_penalty_of_a_method_counts_once_whatever_the_number_of_processes(tiny_model_dir: Path, tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / str(count), tiny_model_dir, method="adalora", dropout=0.0, processes=count, samples=0)
        for count in (1, 2)
    ]
    assert all(isinstance(run.attempt(), Done) for run in runs)
    assert [point["loss"] for point in runs[0].curve()] == pytest.approx(
        [point["loss"] for point in runs[1].curve()], rel=1e-6
    )
    assert float((_weights(runs[0]) - _weights(runs[1])).abs().max()) < TOLERANCE


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(two_processes: TrainingRun, tiny_model_dir: Path, tmp_path: Path) -> None:
    one = _run(tmp_path / "one", tiny_model_dir, dropout=0.0, processes=1)
    one.attempt()
    assert [(point["tokens"], pytest.approx(point["loss"], rel=1e-5)) for point in one.curve()] == [
        (point["tokens"], point["loss"]) for point in two_processes.curve()
    ]
    assert float((_weights(one) - _weights(two_processes)).abs().max()) < TOLERANCE
    summary = two_processes.summary()
    assert (summary["processes"], summary["batch_size"], summary["gradient_accumulation"]) == (2, 2, 1)
    losses = [event for event in two_processes.events if isinstance(event, NodeMetric) and "loss" in event.values]
    assert [event.step for event in losses] == list(range(1, STEPS + 1))  # one process tells, not both
    assert summary["best_validation_loss"] == pytest.approx(one.summary()["best_validation_loss"], rel=1e-5)
    assert (two_processes.out / "samples.jsonl").read_bytes() == (one.out / "samples.jsonl").read_bytes()


@pytest.mark.slow
def test_one_share_alone_learns_something_else(
    two_processes: TrainingRun, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would see if gradients were not summed: the leader's rows alone."""
    from workbench.train.checkpointed import Checkpointed

    def without_exchange(trainer: Checkpointed, group: Group) -> None:
        trainer._share_rows(Group(0, 2))

    monkeypatch.setattr(Checkpointed, "join", without_exchange)
    alone = _run(tmp_path / "alone", tiny_model_dir, dropout=0.0, processes=1)
    alone.attempt()
    assert float((_weights(alone) - _weights(two_processes)).abs().max()) > 50 * TOLERANCE


@pytest.mark.slow
def test_killed_with_all_its_processes_and_taken_up_again_it_ends_in_the_same_bits(
    two_processes: TrainingRun, tiny_model_dir: Path, tmp_path: Path
) -> None:
    run = _run(tmp_path / "run", tiny_model_dir, dropout=0.0)
    path = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    supervisor = subprocess.Popen(
        [sys.executable, str(HERE / "run_until_killed.py"), str(run.root), run.config.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert supervisor.stdout is not None
    for line in supervisor.stdout:
        event = json.loads(line)
        if event["event"] == "node_progress" and event["done"] == 3:
            supervisor.kill()
            break
    supervisor.wait(timeout=60)
    assert not (run.out / "training.json").exists()
    assert isinstance(run.attempt(), Done)
    assert run.summary()["resumed_from"] == [2]
    assert run.adapter_bytes() == two_processes.adapter_bytes()
    assert run.curve() == two_processes.curve()
    assert (run.out / "samples.jsonl").read_bytes() == (two_processes.out / "samples.jsonl").read_bytes()
    assert any(isinstance(event, NodeProgress) for event in run.events)
