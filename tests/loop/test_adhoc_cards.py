from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.errors import UsageError
from workbench.loop.adhoc import typed_card


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets_cfg").mkdir()
    (tmp_path / "datasets_cfg" / "exam.yaml").write_text("name: exam\nsource: {kind: file, path: exam.jsonl}\n")
    for name in ("tickets.v2.jsonl.gz", "Größe (1).csv", "...", "exam"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("tickets.v2.jsonl.gz", "tickets"),
        ("Größe (1).csv", "Gr--e--1"),
        ("*.csv", "data"),
        ("...", "data"),
        ("datasets_cfg", "datasets_cfg"),
    ],
)
def test_a_file_gives_a_card_with_a_usable_name(project: Path, typed: str, name: str) -> None:
    card = typed_card(typed, project)
    assert card.name == name and card.heldout_fraction == 0
    assert card.source.kind == "file" and card.source.path == str(project / typed)


def test_hub_sets_and_entries(project: Path) -> None:
    card = typed_card("hub:openai/gsm8k:test", project)
    assert card.source.kind == "hub" and (card.source.id, card.source.split) == ("openai/gsm8k", "test")
    assert card.name == "openai-gsm8k"
    entry = typed_card("datasets_cfg", project, entry="dpo en")
    assert entry.source.kind == "llama_factory" and entry.source.entry == "dpo en" and entry.name == "dpo-en"


def test_a_name_means_a_card_unless_there_is_such_a_file(project: Path) -> None:
    (project / "exam").unlink()
    assert typed_card("exam", project, datasets_dir="datasets_cfg").source.path == "exam.jsonl"
    (project / "exam").touch()
    card = typed_card("exam", project, datasets_dir="datasets_cfg", taken={"exam", "exam-2"})
    assert card.source.path == str(project / "exam") and card.name == "exam-3"


def test_a_card_that_a_suite_needs_as_it_is_stays_as_it_is(project: Path) -> None:
    (project / "exam").unlink()
    assert typed_card("exam", project, datasets_dir="datasets_cfg").heldout_fraction == 0
    assert typed_card("exam", project, datasets_dir="datasets_cfg", taken={"exam"}).heldout_fraction > 0


@pytest.mark.parametrize("typed", ["", "no/such/file", "hub:", "hub:a/b:"])
def test_what_is_nothing_is_refused(project: Path, typed: str) -> None:
    with pytest.raises(UsageError):
        typed_card(typed, project)
