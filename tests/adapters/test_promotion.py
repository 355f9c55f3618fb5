"""Slots: through the gate or with a reason, back, out of use, and by two processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_adapters import AT, judged, passed, registered

from workbench.adapters.log import log_path
from workbench.adapters.promotion import archive, promote, roll_back
from workbench.adapters.registry import read_registry, resolve
from workbench.core.adapters import AdapterPromoted
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project

WHO = {"who": "ada", "at": AT}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def holder(project: Project, slot: str = "production") -> int | None:
    found = read_registry(project).holder("support", slot)
    return None if found is None else found.version


def link(project: Project, slot: str = "production") -> str:
    return (project.adapters / "slots" / "support" / slot).resolve().name


def test_only_what_the_gate_passed_is_promoted(project: Project) -> None:
    reference = registered(project, 1)
    with pytest.raises(IncompleteError, match=r"no gate has judged support@1"):
        promote(project, reference, "production", **WHO)
    for state in ("regressed", "inconclusive", "not comparable"):
        judged(project, reference, state)
        with pytest.raises(IncompleteError, match=rf"did not pass support@1: {state} in run judging-1. The verdict"):
            promote(project, reference, "production", **WHO)
    assert holder(project) is None
    judged(project, reference, "passed")
    assert promote(project, reference, "production", **WHO).before is None
    assert (holder(project), link(project)) == (1, "1")


def test_force_needs_a_reason_and_both_are_kept(project: Project) -> None:
    reference = registered(project, 1)
    judged(project, reference, "regressed")
    with pytest.raises(UsageError, match="--force needs a reason"):
        promote(project, reference, "production", force=True, reason="  ", **WHO)
    assert promote(project, reference, "production", force=True, reason="incident 4711", **WHO).forced
    line = read_registry(project).lines[-1]
    assert isinstance(line, AdapterPromoted)
    assert (line.forced, line.reason, line.state, line.who, line.run) == (
        True,
        "incident 4711",
        "regressed",
        "ada",
        "judging-1",
    )
    assert line.sha256 == resolve(project, reference).sha256


def test_force_on_a_passed_adapter_is_no_forced_promotion(project: Project) -> None:
    assert not promote(project, passed(project, 1), "production", force=True, reason="why not", **WHO).forced


@pytest.mark.parametrize("force", [False, True])
def test_changed_weights_are_never_promoted(project: Project, force: bool) -> None:
    reference = passed(project, 1)
    weights = resolve(project, reference).directory / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IncompleteError, match="was changed after it was registered"):
        promote(project, reference, "production", force=force, reason="now", **WHO)
    assert holder(project) is None


def test_slots_are_independent_and_go_back_one_by_one(project: Project) -> None:
    first, second, third = (passed(project, seed) for seed in (1, 2, 3))
    for reference in (first, second, third):
        promote(project, reference, "production", **WHO)
    promote(project, second, "tenant-a", **WHO)
    assert (roll_back(project, "support", "production", **WHO).after, link(project)) == (2, "2")
    assert (roll_back(project, "support", "production", **WHO).after, link(project)) == (1, "1")
    with pytest.raises(IncompleteError, match="none before it to go back to"):
        roll_back(project, "support", "production", **WHO)
    assert (holder(project, "tenant-a"), link(project, "tenant-a")) == (2, "2")
    promote(project, third, "production", **WHO)
    assert roll_back(project, "support", "production", **WHO).after == 1
    with pytest.raises(UsageError, match="nothing stands in slot 'tenant-b'"):
        roll_back(project, "support", "tenant-b", **WHO)


def test_going_back_passes_over_archived_versions_and_refuses_changed_ones(project: Project) -> None:
    first, second, third = (passed(project, seed) for seed in (1, 2, 3))
    for reference in (first, second, third):
        promote(project, reference, "production", **WHO)
    archive(project, second, **WHO)
    (resolve(project, first).directory / "added.txt").write_text("x")
    with pytest.raises(IncompleteError, match="support@1 was changed"):
        roll_back(project, "support", "production", **WHO)
    assert holder(project) == 3
    (project.adapters / "versions" / "support" / "1" / "added.txt").unlink()
    assert roll_back(project, "support", "production", **WHO).after == 1


def test_the_same_version_twice_in_a_slot_is_one_step_back(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    for reference in (first, second, second):
        promote(project, reference, "production", **WHO)
    assert roll_back(project, "support", "production", **WHO).after == 1


def test_what_serves_cannot_be_archived_and_what_is_archived_cannot_serve(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    promote(project, first, "production", **WHO)
    with pytest.raises(IncompleteError, match="stands in slot production"):
        archive(project, first, **WHO)
    archive(project, second, reason="superseded", **WHO)
    with pytest.raises(IncompleteError, match="support@2 is archived"):
        promote(project, second, "production", force=True, reason="now", **WHO)
    with pytest.raises(IncompleteError, match="archived already"):
        archive(project, second, **WHO)


@pytest.mark.parametrize("slot", ["3", "", "../x", "a b", "@", "-x", "x" * 65, "prod\n"])
def test_a_slot_that_could_be_taken_for_a_version_or_a_path_is_refused(project: Project, slot: str) -> None:
    reference = passed(project, 1)
    with pytest.raises(UsageError, match="cannot name a slot"):
        promote(project, reference, slot, **WHO)


def test_a_dry_run_writes_nothing(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    promote(project, first, "production", **WHO)
    promote(project, second, "production", **WHO)
    before = log_path(project).read_bytes()
    assert promote(project, first, "production", dry_run=True, **WHO).after == 1
    assert roll_back(project, "support", "production", dry_run=True, **WHO).after == 1
    archive(project, first, dry_run=True, **WHO)
    assert log_path(project).read_bytes() == before and link(project) == "2"


def test_a_link_that_a_kill_left_behind_is_set_right_by_the_next_command(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    promote(project, first, "production", **WHO)
    behind = project.adapters / "slots" / "support" / "production"
    promote(project, second, "production", **WHO)
    behind.unlink()
    behind.symlink_to("../../versions/support/1")
    assert resolve(project, "support@production").reference == second
    promote(project, first, "tenant-a", **WHO)
    assert link(project) == "2"


def test_two_processes_promoting_at_once_lose_nothing(project: Project) -> None:
    references = [passed(project, seed) for seed in (1, 2)]
    script = (
        "import sys; from pathlib import Path; from workbench.adapters.promotion import promote;"
        "from workbench.core.paths import Project\n"
        "for turn in range(40):\n"
        "    promote(Project(Path(sys.argv[1])), sys.argv[2], 'production', who=sys.argv[2], at='2026-11-22')\n"
    )
    arguments = [[sys.executable, "-c", script, str(project.root), reference] for reference in references]
    processes = [subprocess.Popen(command) for command in arguments]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    registry = read_registry(project)
    promotions = [line for line in registry.lines if isinstance(line, AdapterPromoted)]
    assert {line.who: sum(other.who == line.who for other in promotions) for line in promotions} == {
        "support@1": 40,
        "support@2": 40,
    }
    assert holder(project) == promotions[-1].version and link(project) == str(promotions[-1].version)
    assert [path.name for path in (project.adapters / "slots" / "support").iterdir()] == ["production"]


def test_a_promoter_killed_in_the_middle_leaves_a_history_that_goes_on(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    script = (
        "import sys; from pathlib import Path; from workbench.adapters.promotion import promote;"
        "from workbench.core.paths import Project\n"
        "while True:\n"
        "    for reference in sys.argv[2:]:\n"
        "        promote(Project(Path(sys.argv[1])), reference, 'production', who='ada', at='2026-11-22')\n"
        "        print(reference, flush=True)\n"
    )
    for lines in (1, 4, 9):
        command = [sys.executable, "-c", script, str(project.root), first, second]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline().strip() for _ in range(lines)]
            process.kill()
        assert said[:2] == [first, second][:lines]
        before = len(read_registry(project).lines)
        promote(project, first, "production", **WHO)
        assert len(read_registry(project).lines) == before + 1 and (holder(project), link(project)) == (1, "1")
    assert [path.name for path in (project.adapters / "slots" / "support").glob("[!.]*")] == ["production"]
