"""Which files a card means: one file, a folder, or a glob.

    data/rows.jsonl     ->  that file
    data/               ->  every data file in it, at any depth, in name order
    data/part-*.csv     ->  every match, in name order

A relative path stays inside the project, symbolic links included. An absolute path may point anywhere, but a link that
was found in such a folder may not lead out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from workbench.core.cards import FileSource
from workbench.core.errors import UsageError
from workbench.core.paths import inside
from workbench.core.wire import storable
from workbench.ingest.readers.registry import READERS, TEXT_SUFFIXES, is_readable, suffix_of
from workbench.ingest.rows import DataFile

UNITS_FROM = 10
"""With so many text files, a file falls on one side of the held-out split as a whole; with fewer, a section does."""


def data_files(source: FileSource, project: Path, where: str, warn: Callable[[str], object]) -> list[DataFile]:
    """The files in name order. Raises UsageError if there are none, or if a path leads where it must not."""
    anchor, pattern = _anchor(project / source.path)  # an absolute path replaces the project
    if not Path(source.path).is_absolute():
        inside(project, str(anchor), where=where)
    try:
        found = _found(anchor, pattern, source.path, where)
    except PermissionError:
        raise UsageError(f"{source.path} cannot be read: permission denied", where=where) from None
    if found != [anchor]:
        _refuse_links_out(found, anchor, where)
        found = _without_stray_text(found, warn)
    text_files = sum(suffix_of(file) in TEXT_SUFFIXES for file in found)
    return [DataFile(file, _name(file, project), text_files >= UNITS_FROM) for file in found]


def _anchor(target: Path) -> tuple[Path, str | None]:
    """The path before the first wildcard, and the pattern from there; no pattern for a path that exists as it is."""
    for position, part in enumerate(target.parts):
        if any(character in part for character in "*?[") and not Path(*target.parts[: position + 1]).exists():
            return Path(*target.parts[:position]), str(Path(*target.parts[position:]))
    return target, None


def _found(anchor: Path, pattern: str | None, given: str, where: str) -> list[Path]:
    kinds = f"known kinds: {', '.join(READERS)}"
    if pattern is not None:
        matches = _readable(anchor.glob(pattern), anchor)
        if not matches:
            raise UsageError(f"no data file matches {given}", where=where, next_step=f"check the pattern; {kinds}")
        return matches
    if anchor.is_dir():
        held = _readable(anchor.rglob("*"), anchor)
        if not held:
            raise UsageError(f"folder {given} holds no data file", where=where, next_step=kinds)
        return held
    if anchor.is_file():
        return [anchor]
    if anchor.exists():
        raise UsageError(f"{given} is neither a file nor a folder", where=where)
    advice = "check source.path in the card; a relative path starts at the project"
    raise UsageError(f"file {given} does not exist", where=where, next_step=advice)


def _readable(paths: Iterable[Path], anchor: Path) -> list[Path]:
    """Data files among `paths` in name order, without hidden ones."""
    visible = (path for path in paths if not any(part.startswith(".") for part in path.relative_to(anchor).parts))
    return sorted(path for path in visible if is_readable(path) and path.is_file())


def _refuse_links_out(found: list[Path], anchor: Path, where: str) -> None:
    """Names found in a folder may be links that somebody else put there."""
    for file in found:
        if not file.resolve().is_relative_to(anchor.resolve()):
            raise UsageError(
                f"{storable(file.name)} is a link that leads out of {anchor}",
                where=where,
                next_step="put the file itself into the folder, or name it alone",
            )


def _without_stray_text(found: list[Path], warn: Callable[[str], object]) -> list[Path]:
    """Without the notes that lie beside data: a README is no training text."""
    tables = [file for file in found if suffix_of(file) not in TEXT_SUFFIXES]
    if tables and len(tables) < len(found):
        names = ", ".join(file.name for file in found if file not in tables)
        warn(f"left out, because there are data files beside them: {storable(names)}")
    return tables or found


def _name(file: Path, project: Path) -> str:
    relative = file.relative_to(project) if file.is_relative_to(project) else file
    return storable(relative.as_posix())
