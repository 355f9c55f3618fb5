"""`workbench iterate` as a user runs it: killed in its second training, continued, and nothing planted ever learned."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from iterate_project import SECRET, write_project
from loop_commands import command, kill_when, run, statuses

from workbench.adapters.registry import read_registry
from workbench.core.iteration import Iteration
from workbench.core.parts import read_rows
from workbench.core.paths import Project
from workbench.core.records import Candidate, Record
from workbench.loop.registering import run_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_rounds_are_killed_and_taken_up_again_and_learn_no_planted_document(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    root = tmp_path / "p"
    write_project(root, tiny_model_dir)
    process = subprocess.Popen(command(root, "iterate", "--quiet", "--run-id", "broken"))
    assert kill_when(
        root,
        "broken",
        process,
        lambda event: event.event == "node_metric" and event.node == "train:round-1" and event.step >= 6,
    ), "the run ended before it could be killed"
    done = {name for name, status in statuses(root, "broken").items() if status in ("done", "cached")}
    assert {"train:round-0", "gate:round-0", "compare:weaknesses-round-1", "mix:round-1"} <= done

    resumed = run(root, "iterate", "--resume", "broken", "--json")
    assert resumed.returncode == 0, resumed.stderr
    document: dict[str, Any] = json.loads(resumed.stdout)
    assert set(document["cached"]) == done and "train:round-1" in document["ran"]
    found = Iteration.model_validate(document["iteration"])
    assert document["message"] == found.headline and found.stopped in ("rounds", "no gain")
    assert found.rounds[1].topics == ("gamma",) and 0 < found.rounds[1].accepted <= found.rounds[1].candidates == 40
    assert found.rounds[1].rows == found.rounds[0].rows + found.rounds[1].accepted
    assert found.rounds[0].weaknesses is not None and found.rounds[0].weaknesses.topics[0].weak

    artifacts = run_artifacts(Project(root), "broken")
    development = artifacts["curate:development"].part("development.jsonl").read_text()
    assert SECRET not in development and "planted" in (root / "manual.jsonl").read_text()
    texts = {json.loads(line)["text"] for line in development.splitlines()}
    gamma = {record.id for record in read_rows(artifacts["curate:development"].part("records.jsonl"), Record)
             if record.topic == "gamma"}  # fmt: skip
    used: set[str] = set()
    for number in range(1, len(found.rounds)):
        learned = list(read_rows(artifacts[f"mix:round-{number}"].part("train.jsonl"), Record))
        assert not [record for record in learned if record.text in texts or SECRET in record.full_text()]
        made = list(read_rows(artifacts[f"synth:round-{number}"].part("candidates.jsonl"), Candidate))
        seeds = {seed for one in made for seed in one.seed_ids}
        assert seeds <= gamma and not seeds & used and SECRET not in json.dumps([one.raw_reply for one in made])
        used |= {seed for one in made if one.status == "accepted" for seed in one.seed_ids}

    assert found.offered is not None
    (registered,) = read_registry(Project(root)).adapters.values()
    offered = artifacts[f"train:round-{found.offered}"]
    assert registered.reference == "manual@1"
    weights = "adapter_model.safetensors"
    assert (registered.directory / weights).read_bytes() == offered.part(f"adapter/{weights}").read_bytes()
    assert run(root, "adapters", "promote", "manual@1").returncode == 0, "the gate's verdict did not come with it"

    page = Project(root).reports / "broken" / "iterate.md"
    said = page.read_text()
    page.unlink()
    assert run(root, "report", "broken").stdout.strip() == str(page) and page.read_text() == said

    short = run(root, "iterate", "--run-id", "short", "--budget", "1s", "--json")
    brief = Iteration.model_validate(json.loads(short.stdout)["iteration"])
    assert (brief.stopped, len(brief.rounds), brief.offered) == ("budget", 1, 0)
    assert {status for name, status in statuses(root, "short").items() if "round-1" in name} == {"pending"}
