"""Registering and resolving: versions, content, references, files that changed, a damaged log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_adapters import AT, BASE_FINGERPRINT, judged, passed, registered, write_adapter

from workbench.adapters.log import log_path
from workbench.adapters.promotion import archive, promote
from workbench.adapters.registry import read_registry, resolve
from workbench.adapters.versions import Training, collectable_versions, kept_artifacts, register
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def by_hand(project: Project, directory: Path, name: str = "mine") -> str:
    trained = Training(directory, "pypi:some-base", BASE_FINGERPRINT, "lora")
    return register(project, trained, name, who="ada", at=AT)[0].reference


def test_versions_count_per_name_and_the_same_content_is_one_version(project: Project) -> None:
    assert [registered(project, seed) for seed in (1, 2, 1)] == ["support@1", "support@2", "support@1"]
    assert registered(project, 1, "other") == "other@1"
    assert len(log_path(project).read_text().splitlines()) == 3


def test_a_reference_resolves_by_version_slot_and_directory(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    promote(project, first, "production", who="ada", at=AT)
    promote(project, second, "tenant-a", who="ada", at=AT)
    assert resolve(project, "support@2").reference == second
    assert resolve(project, "support@production").reference == first
    assert resolve(project, "support@tenant-a").reference == second
    assert resolve(project, "trained-2").reference == second and resolve(project, "trained-2").run == "run-2"
    assert resolve(project, str(project.root / "trained-1")).reference == first


def test_an_unregistered_directory_says_its_base_itself(project: Project) -> None:
    directory = write_adapter(project.root / "loose", 7)
    found = resolve(project, "loose")
    assert (found.version, found.base, found.base_fingerprint) == (None, "pypi:some-base", BASE_FINGERPRINT)
    assert found.reference == str(directory) and found.gate is None
    (directory / "workbench_adapter.json").unlink()
    with pytest.raises(IncompleteError, match=r"which base(.|\n)*workbench adapters register"):
        resolve(project, "loose")


def test_an_adapter_of_another_version_with_other_training_settings_is_read(project: Project) -> None:
    directory = write_adapter(project.root / "old", 7)
    note = json.loads((directory / "workbench_adapter.json").read_text())
    note["train"] = {"method": "galore", "a_setting_of_old": 3}
    (directory / "workbench_adapter.json").write_text(json.dumps(note))
    found = resolve(project, "old")
    assert (found.method, found.base, found.precision) == ("galore", "pypi:some-base", "nf4")


def test_a_directory_called_like_a_reference_is_found_unless_the_name_is_registered(project: Project) -> None:
    write_adapter(project.root / "support@1", 9)
    assert resolve(project, "support@1").version is None
    registered(project, 1)
    assert resolve(project, "support@1").run == "run-1"
    assert resolve(project, "./support@1").version is None


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("nobody@1", "no adapter is named 'nobody'; registered: support"),
        ("support@9", "no version 9; versions: 1"),
        ("support@production", "nothing stands in slot 'production' of 'support'; slots in use: none"),
        ("missing/directory", "no such directory"),
        ("../support@1", "no such directory"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(project: Project, reference: str, problem: str) -> None:
    registered(project, 1)
    with pytest.raises(UsageError, match=problem):
        resolve(project, reference)


def test_weights_or_settings_that_changed_are_refused(project: Project) -> None:
    for seed, file in ((1, "adapter_model.safetensors"), (2, "adapter_config.json")):
        reference = registered(project, seed)
        path = resolve(project, reference).directory / file
        path.unlink()
        path.write_bytes(b'{"peft_type": "LORA", "r": 2, "lora_alpha": 4000}')
        with pytest.raises(IncompleteError, match=f"{reference} was changed after it was registered"):
            resolve(project, reference)


def test_a_runs_files_are_linked_and_a_users_are_copied(project: Project) -> None:
    registered(project, 1)
    write_adapter(project.root / "by-hand", 2)
    reference = by_hand(project, project.root / "by-hand")
    weights = "adapter_model.safetensors"
    linked, copied = resolve(project, "support@1").directory / weights, resolve(project, reference).directory / weights
    assert linked.stat().st_ino == (project.root / "trained-1" / weights).stat().st_ino
    assert copied.stat().st_ino != (project.root / "by-hand" / weights).stat().st_ino
    assert copied.read_bytes() == (project.root / "by-hand" / weights).read_bytes()


def test_files_are_copied_where_the_file_system_links_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    registered(project, 1)
    assert resolve(project, "support@1").run == "run-1"


def test_pickles_and_links_out_of_the_directory_are_not_registered(project: Project) -> None:
    directory = write_adapter(project.root / "theirs", 1)
    (directory / "optimizer.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"optimizer.pt is a pickle"):
        by_hand(project, directory)
    (directory / "optimizer.pt").unlink()
    (directory / "notes.txt").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"notes.txt is no regular file"):
        by_hand(project, directory)
    assert read_registry(project).adapters == {}


def test_what_a_killed_writer_left_is_replaced(project: Project) -> None:
    versions = project.adapters / "versions" / "support"
    for leftover in ("1", ".1.writing"):
        (versions / leftover).mkdir(parents=True)
        (versions / leftover / "half").write_text("x")
    assert registered(project, 1) == "support@1"
    assert sorted(path.name for path in resolve(project, "support@1").directory.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "workbench_adapter.json",
    ]
    assert [path.name for path in versions.iterdir()] == ["1"]


def test_a_torn_last_line_was_never_said_and_is_cut_off_by_the_next_writer(project: Project) -> None:
    registered(project, 1)
    with log_path(project).open("ab") as stream:
        stream.write(b'{"event": "archived", "name": "supp')
    assert not read_registry(project).get("support@1").archived
    assert registered(project, 2) == "support@2"
    assert [json.loads(line)["version"] for line in log_path(project).read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda lines: [lines[0], b"{}", *lines[1:]], r"log.jsonl:2: is no line of the adapters' log"),
        (lambda lines: [lines[0].replace(b'"schema_version":1', b'"schema_version":99')], r"log.jsonl:1: .*newer"),
        (lambda lines: lines[1:], r"log.jsonl:1: support@1 is judged here, but an earlier line"),
    ],
)
def test_a_damaged_log_is_an_error_with_its_line_and_nothing_is_skipped(
    project: Project, damage: object, problem: str
) -> None:
    passed(project, 1)
    lines = log_path(project).read_bytes().splitlines()
    log_path(project).write_bytes(b"".join(line + b"\n" for line in damage(lines)))
    with pytest.raises(IncompleteError, match=problem):
        read_registry(project)


def test_the_same_verdict_is_kept_once_and_the_last_one_counts(project: Project) -> None:
    reference = registered(project, 1)
    for state, gate in (("passed", "g1"), ("regressed", "g2"), ("passed", "g1")):
        judged(project, reference, state, gate)
    found = read_registry(project).get(reference)
    assert [line.gate for line in found.judged] == ["g1", "g2"] and found.gate == "regressed"


def test_archived_adapters_keep_nothing_from_the_collector(project: Project) -> None:
    directory = write_adapter(project.root / "trained-1", 1)
    trained = Training(
        directory, "b", BASE_FINGERPRINT, "qlora", run="run-1", artifacts={"mix": "data-of-1", "train": "train-of-1"}
    )
    reference = register(project, trained, "support", who="ada", at=AT)[0].reference
    judged(project, reference, "passed")
    registry = read_registry(project)
    assert kept_artifacts(registry) == {"data-of-1", "train-of-1", "gate-of-1"} and not collectable_versions(registry)
    archive(project, reference, who="ada", at=AT)
    registry = read_registry(project)
    assert kept_artifacts(registry) == set()
    assert collectable_versions(registry) == [project.adapters / "versions" / "support" / "1"]


def test_a_slot_link_leads_a_server_to_the_files(project: Project) -> None:
    first, second = passed(project, 1), passed(project, 2)
    link = project.adapters / "slots" / "support" / "production"
    for reference in (first, second):
        promote(project, reference, "production", who="ada", at=AT)
        served = (link / "adapter_model.safetensors").read_bytes()
        assert served == (resolve(project, reference).directory / "adapter_model.safetensors").read_bytes()
    assert not link.readlink().is_absolute()
