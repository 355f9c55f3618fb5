"""Checkpoints that are whole or ignored.

    checkpoints/
      step-000040/
        adapter_model.safetensors, optimizer.pt, ...    the state
        files.json                                      size and SHA-256 of every file
        done                                            SHA-256 of files.json, written last

A checkpoint is written in a hidden directory, forced to disk, renamed, and then marked done. Whatever the moment of a
kill, what is left is a checkpoint that verifies, or one that does not and is passed over for the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.core.fingerprints import file_sha256
from workbench.core.parts import write_text

FILES = "files.json"
DONE = "done"
_KEPT = 2


def write_checkpoint(root: Path, step: int, fill: Callable[[Path], object]) -> Path:
    """Publishes what `fill` writes into a directory as the checkpoint of `step`; keeps it and the one before."""
    root.mkdir(parents=True, exist_ok=True)
    target = root / f"step-{step:06d}"
    aside = root / f".{target.name}.{os.getpid()}.tmp"
    _remove(aside)
    aside.mkdir()
    fill(aside)
    listing = {name: [path.stat().st_size, file_sha256(path)] for name, path in _files(aside).items()}
    for path in _files(aside).values():
        _force_to_disk(path)
    write_text(aside / FILES, json.dumps(listing, sort_keys=True))
    _force_to_disk(aside)
    _remove(target)
    aside.rename(target)
    _force_to_disk(root)
    write_text(target / DONE, file_sha256(target / FILES))
    _force_to_disk(target)
    _prune(root, target)
    return target


def newest_valid(root: Path, on_invalid: Callable[[Path, str], object]) -> Path | None:
    """The newest checkpoint whose every file is as written; `on_invalid` hears of newer ones that are not, and why."""
    for path in sorted(root.glob("step-*"), reverse=True):
        fault = _fault(path)
        if fault is None:
            return path
        on_invalid(path, fault)
    return None


def _fault(path: Path) -> str | None:
    """Why a checkpoint cannot be used, or None."""
    if not (path / DONE).is_file() or not (path / FILES).is_file():
        return "it was not finished"
    if (path / DONE).read_text(encoding="utf-8") != file_sha256(path / FILES):
        return f"{FILES} was changed"
    listing: dict[str, list[object]] = json.loads((path / FILES).read_text(encoding="utf-8"))
    for name, (size, digest) in listing.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size or file_sha256(file) != digest:
            return f"{name} was changed or cut off"
    return None


def _files(directory: Path) -> dict[str, Path]:
    return {path.relative_to(directory).as_posix(): path for path in sorted(directory.rglob("*")) if path.is_file()}


def _force_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prune(root: Path, newest: Path) -> None:
    """Removes older checkpoints beyond the kept ones, leftovers of killed writers, and steps beyond the newest."""
    for leftover in root.glob(".step-*.tmp"):
        _remove(leftover)
    older = sorted(path for path in root.glob("step-*") if path.name < newest.name)
    for path in root.glob("step-*"):
        if path != newest and path not in older[-(_KEPT - 1) :]:
            _remove(path)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
