"""Uploading: exactly the verified files, nothing on a dry run, and never the token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.adapters.export.record import RECORD, ExportRecord
from workbench.adapters.export.upload import plan_upload, upload
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.parts import describe_parts, write_model, write_text

TOKEN = "hf_thisTokenIsNobodysToken"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An export of two small files."""
    directory = tmp_path / "out"
    write_text(directory / "model.safetensors", "weights")
    write_text(directory / "README.md", "card")
    record = ExportRecord(
        name="tiny",
        reference="tiny@1",
        format="merged",
        merged_into="full",
        base="org/base",
        base_fingerprint="0" * 64,
        base_licence="mit",
        precision="nf4",
        method="qlora",
        adapter_sha256="0" * 64,
        run=None,
        made_at="2026-01-01T00:00:00Z",
        workbench_version="0",
        files=describe_parts(directory),
    )
    write_model(directory / RECORD, record)
    return directory


class RecordingApi:
    """Stands in for the hub's client and remembers what it was told."""

    calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repository: str, **settings: Any) -> None:
        self.calls.append(("create_repo", {"repository": repository, **settings}))

    def create_commit(self, repository: str, operations: list[Any], **settings: Any) -> Any:
        sent = {operation.path_in_repo: Path(operation.path_or_fileobj).read_text() for operation in operations}
        self.calls.append(("create_commit", {"repository": repository, "sent": sent, **settings}))
        return SimpleNamespace(commit_url="https://hub.example/commit/1")


def test_verified_files_are_sent_in_one_commit_to_a_private_repository(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", RecordingApi)
    monkeypatch.setattr(RecordingApi, "calls", [])
    (made / "notes.txt").write_text("not part of the export")
    assert upload(plan_upload(made, "me/tiny", private=True)) == "https://hub.example/commit/1"
    (_, created), (_, committed) = RecordingApi.calls
    assert created["private"] is True and created["repository"] == "me/tiny"
    assert set(committed["sent"]) == {"model.safetensors", "README.md", RECORD}
    assert committed["sent"]["model.safetensors"] == "weights"


def test_a_changed_file_is_not_sent(made: Path) -> None:
    (made / "model.safetensors").write_text("weightz")
    with pytest.raises(IncompleteError, match="was changed after it was verified"):
        plan_upload(made, "me/tiny", private=True)


def test_a_link_in_place_of_a_file_is_not_followed(made: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("card")
    (made / "README.md").unlink()
    (made / "README.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IncompleteError, match="or a link"):
        plan_upload(made, "me/tiny", private=True)


def test_a_listing_that_leaves_the_directory_is_refused(made: Path) -> None:
    record = (made / RECORD).read_text().replace("README.md", "../secret")
    (made / RECORD).write_text(record)
    with pytest.raises(IncompleteError, match="outside of the export"):
        plan_upload(made, "me/tiny", private=True)


@pytest.mark.parametrize("name", ["tiny", "me/tiny/more", "../tiny", "me/..", "me/ti ny"])
def test_bad_repository_names_are_refused(name: str, made: Path) -> None:
    with pytest.raises(UsageError, match="no ORG/NAME"):
        plan_upload(made, name, private=True)


def test_a_directory_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no export"):
        plan_upload(tmp_path, "me/tiny", private=True)


@pytest.fixture
def refusing_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server on loopback that answers 401 and remembers the authorisation it was shown."""
    from huggingface_hub import constants

    shown: list[str] = []

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.append(self.headers.get("Authorization", ""))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.end_headers()
            self.wfile.write(f"no: {self.headers.get('Authorization')}".encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield shown
    server.shutdown()
    server.server_close()


def test_a_refusal_says_what_to_do_and_never_shows_the_token(made: Path, refusing_hub: list[str]) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        upload(plan_upload(made, "me/tiny", private=True))
    assert refusing_hub == [f"Bearer {TOKEN}"]
    assert "refused (401)" in str(caught.value) and "HF_TOKEN" in str(caught.value)
    assert TOKEN not in str(caught.value) and caught.value.__suppress_context__


def test_an_unreachable_hub_is_a_missing_prerequisite(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(PrerequisiteError, match="cannot be reached"):
        upload(plan_upload(made, "me/tiny", private=True))
