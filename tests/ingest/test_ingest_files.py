from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from ingest_makers import card_of

from workbench.core.errors import UsageError
from workbench.core.nodes import IngestNode
from workbench.ingest.read import read_records
from workbench.ingest.stage import STAGE

ROW = '{"text": "%s"}\n'


def texts(tmp_path: Path, path: str) -> list[str | None]:
    return [record.text for record in read_records(card_of(path), tmp_path).records]


def test_folders_and_globs_are_read_in_name_order_at_any_depth(tmp_path: Path) -> None:
    for name in (
        "data/b.jsonl",
        "data/a.jsonl",
        "data/sub/c.json",
        "data/.hidden.jsonl",
        "data/README.md",
        "data/x.bin",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ROW % name)

    assert texts(tmp_path, "data") == ["data/a.jsonl", "data/b.jsonl", "data/sub/c.json"]
    assert texts(tmp_path, "data/*.jsonl") == ["data/a.jsonl", "data/b.jsonl"]
    assert texts(tmp_path, "data/**/*.json*") == ["data/a.jsonl", "data/b.jsonl", "data/sub/c.json"]
    assert texts(tmp_path, str(tmp_path / "data" / "[ab].jsonl")) == ["data/a.jsonl", "data/b.jsonl"]


def test_notes_beside_data_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(ROW % "row")
    (tmp_path / "data" / "README.md").write_text("About the data.")
    warnings: list[str] = []
    read_records(card_of("data"), tmp_path, warnings.append)

    assert warnings == ["left out, because there are data files beside them: README.md"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "rows[1].jsonl").write_text(ROW % "brackets")

    assert texts(tmp_path, "rows[1].jsonl") == ["brackets"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jsonl", "absent.jsonl does not exist"),
        ("/no/such/dir/rows.jsonl", "does not exist"),
        ("empty", "holds no data file"),
        ("*.parquet", "no data file matches"),
        ("../rows.jsonl", "leaves the project"),
        ("../*.jsonl", "leaves the project"),
        ("../../etc/passwd", "leaves the project"),
        ("rows.xlsx", "a ZIP archive"),
        ("rows.yaml", "no reader for files of kind '.yaml'"),
        ("rows.parquet.gz", "a compressed Parquet file"),
        ("pipe.jsonl", "neither a file nor a folder"),
        ("rows.jsonl/x", "does not exist"),
    ],
)
def test_paths_that_cannot_be_read_are_usage_errors_that_name_the_card(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.xlsx").write_bytes(b"PK\x03\x04 and so on")
    (tmp_path / "rows.parquet.gz").write_bytes(gzip.compress(b"PAR1 and so on"))
    (tmp_path / "rows.yaml").write_text("text: x\n")
    (tmp_path / "rows.jsonl").write_text(ROW % "x")
    os.mkfifo(tmp_path / "pipe.jsonl")

    with pytest.raises(UsageError) as caught:
        read_records(card_of(path), tmp_path)
    assert message in str(caught.value) and caught.value.where


@pytest.mark.parametrize("path", ["link.jsonl", "folder", "folder/*.jsonl", "absolute"])
def test_links_out_of_the_project_or_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    project = tmp_path / "project"
    (project / "folder").mkdir(parents=True)
    (tmp_path / "secret.jsonl").write_text(ROW % "secret")
    (project / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (project / "folder" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")

    with pytest.raises(UsageError, match=r"leaves the project|leads out of"):
        read_records(card_of(str(project / "folder") if path == "absolute" else path), project)


def test_an_absolute_path_may_lie_outside_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROW % "outside")
    (tmp_path / "project").mkdir()
    reading = read_records(card_of(str(tmp_path / "rows.jsonl")), tmp_path / "project")

    assert reading.records[0].source.file == str(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("path", ["data", "data/*.jsonl"])
def test_what_is_no_file_in_a_folder_is_left_out_and_said_once(tmp_path: Path, path: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(ROW % "x")
    (tmp_path / "data" / "gone.jsonl").symlink_to("nowhere.jsonl")
    os.mkfifo(tmp_path / "data" / "pipe.jsonl")
    warnings: list[str] = []
    reading = read_records(card_of(path), tmp_path, warnings.append)

    assert [record.text for record in reading.records] == ["x"]
    said = "gone.jsonl (a link that leads nowhere), pipe.jsonl (a named pipe)"
    assert warnings == [f"skipped, because they are no files: {said}"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens but cannot be read")
def test_a_file_that_fails_while_it_is_read_is_a_usage_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").symlink_to("/proc/self/mem")
    card = card_of(str(tmp_path / "rows.jsonl"))

    for read in (lambda: read_records(card, tmp_path), lambda: STAGE.external(IngestNode(card=card, seed=0), tmp_path)):
        with pytest.raises(UsageError, match="cannot be read: Input/output error"):
            read()
