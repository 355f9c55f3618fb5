"""Suites: documents with identities, and clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.suites import Documents, Suite, read_documents, settings_hash, suite_path


def _suite(**changes: object) -> Suite:
    values = {
        "name": "s",
        "kind": "lm_eval",
        "role": "general",
        "documents": {"file": "s.jsonl"},
        "primary_metric": "acc",
        **changes,
    }
    return Suite.model_validate(values)


def test_equal_documents_are_told_apart_by_occurrence(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"b": 2, "a": 1}\n\n{"a": 3}\n')
    documents = read_documents(path, _suite())
    assert [(d.doc_id, d.occurrence) for d in documents] == [(0, 0), (1, 1), (2, 0)]
    assert documents[0].doc_hash == documents[1].doc_hash != documents[2].doc_hash


def test_limit_takes_the_first_documents(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(10)))
    assert [d.fields["n"] for d in read_documents(path, _suite(limit=3))] == [0, 1, 2]


@pytest.mark.parametrize(("content", "message"), [("", "no documents"), ("[1]\n", "JSON object"), ("{\n", "s.jsonl:1")])
def test_unusable_documents_are_an_error_with_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(content)
    with pytest.raises(IncompleteError, match=message):
        read_documents(path, _suite())


def test_documents_may_not_leave_the_suites_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leaves the project"):
        suite_path(tmp_path, _suite(documents={"file": "../../etc/passwd"}), {})
    (tmp_path / "evals").mkdir()
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (tmp_path / "evals" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(UsageError, match="leaves the project"):
        suite_path(tmp_path / "evals", _suite(documents={"file": "link.jsonl"}), {})


def test_documents_need_exactly_one_place() -> None:
    with pytest.raises(ValidationError):
        Documents(file="a", dataset="d", part="p")
    with pytest.raises(ValidationError):
        Documents(dataset="d")


def test_policy_is_no_part_of_what_must_agree_between_arms(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"a": 1}\n')
    assert settings_hash(_suite(margin=0.1), path) == settings_hash(_suite(margin=0.2, gated=False), path)
    assert settings_hash(_suite(), path) != settings_hash(_suite(limit=1), path)
