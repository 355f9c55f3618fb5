from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from workbench.core.cards import Card
from workbench.core.errors import ExitCode, PrerequisiteError, UsageError
from workbench.core.nodes import IngestNode
from workbench.ingest.read import read_records
from workbench.ingest.stage import STAGE


def hub_card(identifier: str = "someone/something", **source: Any) -> Card:
    return Card.model_validate({"name": "hub", "source": {"kind": "hub", "id": identifier, **source}})


@pytest.fixture
def hub_answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A hub on loopback that answers every request with the status in the list."""
    status = [500]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield status
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("offline", [True, False])
def test_an_unreachable_hub_is_a_missing_prerequisite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(PrerequisiteError, match="the hub cannot be reached") as caught:
        read_records(hub_card(), tmp_path)
    assert caught.value.exit_code == ExitCode.PREREQUISITE
    assert "someone/something" in str(caught.value) and "HF_ENDPOINT" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "not found on the hub"), (401, "HF_TOKEN"), (503, "cannot be reached: .* answers 503")],
)
def test_what_the_hub_answers_is_told_apart(
    tmp_path: Path, hub_answering: list[int], status: int, message: str
) -> None:
    hub_answering[0] = status
    with pytest.raises(PrerequisiteError, match=message):
        read_records(hub_card(), tmp_path)


@pytest.mark.parametrize(
    "identifier", ["json", "../data", "http://169.254.169.254/x", "file:///etc/passwd", "/etc/passwd", "a/b/c", "a/.."]
)
def test_addresses_and_paths_are_no_ids(tmp_path: Path, identifier: str) -> None:
    with pytest.raises(UsageError, match="OWNER/NAME"):
        read_records(hub_card(identifier), tmp_path)
    with pytest.raises(UsageError, match="OWNER/NAME"):
        STAGE.external(IngestNode(card=hub_card(identifier), seed=0), tmp_path)


def test_a_local_folder_of_the_same_name_is_not_read_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "someone" / "something").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="local file or folder"):
        read_records(hub_card(), tmp_path)


def test_rows_of_a_loaded_dataset_become_records_and_no_code_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    rows = [{"question": f"Question {number}?", "answer": f"Answer {number}."} for number in range(3)]
    asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def load_dataset(*args: Any, **settings: Any) -> datasets.Dataset:
        asked.append((args, settings))
        return datasets.Dataset.from_list([*rows, {"question": "No answer?", "answer": None}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    reading = read_records(hub_card(revision="abc123", config="main", split="test"), tmp_path)

    assert [record.answer() for record in reading.records] == [row["answer"] for row in rows]
    assert reading.records[1].source.file == "hub:someone/something/main@abc123#test"
    assert reading.records[1].source.row == 1
    assert [row.reason for row in reading.quarantined] == ["unknown_shape"]
    assert asked == [(("someone/something", "main"), {"split": "test", "revision": "abc123"})]


def test_several_splits_are_read_one_after_another_each_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    asked: list[dict[str, Any]] = []

    def load_dataset(*args: Any, **settings: Any) -> datasets.Dataset:
        asked.append(settings)
        return datasets.Dataset.from_list([{"text": f"{settings['split']} {number}"} for number in range(2)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    records = read_records(hub_card(revision="a", split="train_sft+test+all", folder="en"), tmp_path).records

    assert [(record.text, record.source.split, record.source.row) for record in records] == [
        ("train_sft 0", "train", 0),
        ("train_sft 1", "train", 1),
        ("test 0", "test", 0),
        ("test 1", "test", 1),
        ("all 0", None, 0),
        ("all 1", None, 1),
    ]
    assert records[2].source.file == "hub:someone/something/en@a#test"
    assert [(settings["split"], settings["data_dir"]) for settings in asked] == [
        (split, "en") for split in ("train_sft", "test", "all")
    ]


def test_the_fingerprint_of_a_hub_dataset_holds_id_and_revision(tmp_path: Path) -> None:
    def external(**source: Any) -> dict[str, str]:
        return STAGE.external(IngestNode(card=hub_card(**source), seed=0), tmp_path)

    assert external(revision="abc123") == {"hub:someone/something@abc123#train": "abc123"}
    assert external() != external(revision="abc123")
