from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workbench.train import checkpoints
from workbench.train.checkpoints import DONE, FILES, newest_valid, write_checkpoint


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def _fill(content: str) -> Any:
    def fill(directory: Path) -> None:
        (directory / "weights").write_text(content)
        (directory / "deep").mkdir()
        (directory / "deep" / "state").write_text(content * 100)

    return fill


def _newest(root: Path) -> tuple[str | None, list[str]]:
    faults: list[str] = []
    found = newest_valid(root, lambda path, fault: faults.append(f"{path.name}: {fault}"))
    return (None if found is None else found.name), faults


def test_newest_of_two_is_found_and_older_ones_are_removed(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        write_checkpoint(tmp_path, step, _fill(str(step)))
    assert _newest(tmp_path) == ("step-000006", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000006"]


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert _newest(tmp_path / "none") == (None, [])


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda path: (path / DONE).unlink(), "it was not finished"),
        (lambda path: (path / FILES).unlink(), "it was not finished"),
        (lambda path: (path / FILES).write_text("{}"), "files.json was changed"),
        (lambda path: (path / "weights").unlink(), "weights is missing"),
        (lambda path: (path / "weights").write_text("x"), "weights was changed or cut off"),
        (lambda path: os.truncate(path / "deep" / "state", 5), "deep/state was changed or cut off"),
    ],
)
def test_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: Any, fault: str) -> None:
    write_checkpoint(tmp_path, 2, _fill("two"))
    write_checkpoint(tmp_path, 4, _fill("four"))
    damage(tmp_path / "step-000004")
    assert _newest(tmp_path) == ("step-000002", [f"step-000004: {fault}"])


def test_killed_between_any_two_operations_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every system call that writes, renames or forces to disk is, in turn, the last one."""
    moments = 0
    while True:
        root = tmp_path / str(moments)
        write_checkpoint(root, 2, _fill("two"))
        with monkeypatch.context() as patch:
            countdown = _kill_at(patch, moments)
            try:
                write_checkpoint(root, 4, _fill("four"))
            except Killed:
                assert countdown[0] == 0
            else:
                break
        found, _ = _newest(root)
        assert found in ("step-000002", "step-000004")
        write_checkpoint(root, 4, _fill("four"))
        assert _newest(root) == ("step-000004", [])
        assert not list(root.glob(".step-*"))
        moments += 1
    assert moments > 8


def _kill_at(patch: pytest.MonkeyPatch, moment: int) -> list[int]:
    """Ends the process, in effect, at the `moment`-th operation on files."""
    left = [moment]

    def counted(operation: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return operation(*arguments, **options)

        return call

    patch.setattr(os, "fsync", counted(os.fsync))
    patch.setattr(Path, "rename", counted(Path.rename))
    patch.setattr(Path, "replace", counted(Path.replace))
    patch.setattr(Path, "mkdir", counted(Path.mkdir))
    patch.setattr(checkpoints.shutil, "rmtree", counted(checkpoints.shutil.rmtree))
    return left
