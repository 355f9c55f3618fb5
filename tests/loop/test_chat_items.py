"""Chat turns as regression items: a suite that can be scored, no duplicates, and an undo that deletes nothing else."""

from __future__ import annotations

import errno
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workbench.core.errors import UsageError
from workbench.core.paths import Project
from workbench.core.records import Message
from workbench.core.suites import read_documents
from workbench.loop.chat_items import ChatItems
from workbench.loop.settings import load_suite, suites_dir
from workbench.score.dialogue import messages_of
from workbench.score.tasks import check_suite

PERU = [Message(role="user", content="Capital of Peru?")]


def items_of(project: Path, name: str = "chat-regressions") -> ChatItems:
    return ChatItems(Project(project), name, lambda: datetime(2026, 11, 22, tzinfo=UTC))


def test_the_suite_is_made_with_the_first_item_and_can_be_checked(tmp_path: Path) -> None:
    path = items_of(tmp_path).add(PERU, "Lima", "Quito\ud800", "tuned")
    suite = load_suite(tmp_path, "evals", "chat-regressions")
    check_suite(suite)
    (document,) = read_documents(path, suite)
    assert document.fields["choices"][document.fields["answer"]] == "Lima"
    assert sorted(document.fields["choices"]) == ["Lima", "Quito\ufffd"]
    assert (suite.kind, suite.primary_metric, suite.chat) == ("regression", "acc_norm", True)


def test_items_go_where_the_project_keeps_its_suites(tmp_path: Path) -> None:
    (tmp_path / "workbench.yaml").write_text("suites_dir: checks\n", encoding="utf-8")
    path = items_of(tmp_path).add(PERU, "Lima", "Quito", "tuned")

    assert path == tmp_path / "checks" / "chat-regressions.jsonl" and not (tmp_path / "evals").exists()
    assert load_suite(tmp_path, suites_dir(Project(tmp_path)), "chat-regressions").kind == "regression"
    assert items_of(tmp_path).add(PERU, "Lima", "Cusco", "base") == path


def test_the_right_answer_does_not_always_stand_in_the_same_place(tmp_path: Path) -> None:
    items = items_of(tmp_path)
    for number in range(40):
        items.add([Message(role="user", content=f"question {number}")], f"right {number}", f"wrong {number}", "base")
    lines = [json.loads(line) for line in items.items_file.read_text().splitlines()]
    assert all(line["choices"][line["answer"]].startswith("right") for line in lines)
    # 40 fair draws: 10 to 30 with probability 0.998
    assert 10 <= sum(line["answer"] for line in lines) <= 30


def test_what_leaves_no_choice_or_stands_there_already_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    items = items_of(tmp_path)
    for right, wrong in (("Lima", " Lima\n"), ("", "Lima"), ("Lima", " ")):
        with pytest.raises(UsageError, match="two different answers"):
            items.add(PERU, right, wrong, "base")
    assert not (tmp_path / "evals").exists()
    items.add(PERU, "Lima", "Quito", "base")
    with pytest.raises(UsageError, match="stands there already"):
        items_of(tmp_path).add(PERU, "Lima", "Quito", "tuned")
    assert len(items.items_file.read_text().splitlines()) == 1


def test_undo_takes_back_what_this_chat_added_and_no_more(tmp_path: Path) -> None:
    first = items_of(tmp_path)
    first.add(PERU, "Lima", "Quito", "base")
    kept = first.items_file.read_bytes()
    second = items_of(tmp_path)
    assert second.undo() is False
    second.add(PERU, "Lima", "Cusco", "base")
    with first.items_file.open("ab") as stream:
        stream.write(b'{"question": "by hand"}\n')
    with pytest.raises(UsageError, match="not the item of this chat any more"):
        second.undo()
    first.items_file.write_bytes(first.items_file.read_bytes().replace(b'{"question": "by hand"}\n', b""))
    assert second.undo() is True and first.items_file.read_bytes() == kept
    assert first.undo() is True and not first.items_file.exists() and not first.suite_file.exists()


def test_an_item_goes_behind_a_last_line_without_its_end(tmp_path: Path) -> None:
    items = items_of(tmp_path)
    items.add(PERU, "Lima", "Quito", "base")
    items.items_file.write_bytes(items.items_file.read_bytes().rstrip(b"\n"))
    items.add(PERU, "Lima", "Cusco", "base")
    assert len([json.loads(line) for line in items.items_file.read_text().splitlines()]) == 2


def test_suites_that_cannot_take_items_and_impossible_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "other.yaml").write_text(
        "name: other\nkind: perplexity\nrole: general\nprimary_metric: nll\ndocuments: {file: other.jsonl}\n"
    )
    with pytest.raises(UsageError, match="kind `regression`"):
        items_of(tmp_path, "other")
    for name in ("../outside", "a b", "", "x: y", "123"):
        with pytest.raises(UsageError, match="no suite can be called"):
            items_of(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evals"]


def test_a_disk_that_is_full_leaves_the_items_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    items = items_of(tmp_path)
    items.add(PERU, "Lima", "Quito", "base")
    kept = items.items_file.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("os.fsync", full)
        items.add(PERU, "Lima", "Cusco", "base")
    assert items.items_file.read_bytes() == kept
    items.add(PERU, "Lima", "Cusco", "base")
    assert items.undo() and items.items_file.read_bytes() == kept


@pytest.mark.parametrize("call", ["fsync", "mkdir"])
@pytest.mark.parametrize("kept", [None, b'{"question": "by hand"}\n'])
def test_a_disk_that_is_full_at_the_first_item_leaves_no_suite(
    kept: bytes | None, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = items_of(tmp_path)
    items.items_file.parent.mkdir()
    if kept is not None:
        items.items_file.write_bytes(kept)
    on_disk = sorted(items.items_file.parent.iterdir())

    def full(*_: object, **__: object) -> None:
        if items.suite_file.exists():  # the suite's own file still went in
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("os.fsync" if call == "fsync" else "pathlib.Path.mkdir", full)
        items.add(PERU, "Lima", "Quito", "base")
    assert sorted(items.items_file.parent.iterdir()) == on_disk
    assert kept is None or items.items_file.read_bytes() == kept
    assert items.undo() is False
    items.add(PERU, "Lima", "Quito", "base")
    assert items.undo() is True


def test_a_conversation_keeps_its_turns_and_the_system_prompt_it_was_held_under(tmp_path: Path) -> None:
    turns = [
        Message(role="system", content="Be brief."),
        *PERU,
        Message(role="assistant", content="Lima"),
        Message(role="user", content="And of Chile?"),
    ]
    items = items_of(tmp_path)
    path = items.add(turns, "Santiago", "Lima", "tuned")
    with pytest.raises(UsageError, match="stands there already"):
        items.add(turns, "Santiago", "Lima", "tuned")
    items.add(turns[1:], "Santiago", "Lima", "tuned")  # under no system prompt it is another item
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["question"] == second["question"] == "User: Capital of Peru?\n\nAssistant: Lima\n\nUser: And of Chile?"
    assert messages_of(first) == tuple(turns) and messages_of(second) == tuple(turns[1:])
    alone = json.loads(items_of(tmp_path, "other").add(PERU, "Lima", "Quito", "base").read_text())
    assert messages_of(alone) is None and alone["question"] == "Capital of Peru?"
