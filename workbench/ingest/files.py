"""Which files a card means: one file, a folder, or a glob.

    data/rows.jsonl     ->  that file
    data/               ->  every data file in it, at any depth, in name order
    data/part-*.csv     ->  every match, in name order
    saved/              ->  the tables that `save_to_disk` wrote there, split by split

A relative path stays inside the project, symbolic links included. An absolute path may point anywhere, but a link that
was found in such a folder may not lead out of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from workbench.core.cards import FileSource
from workbench.core.errors import UsageError
from workbench.core.paths import inside
from workbench.core.wire import storable
from workbench.ingest.readers.registry import KINDS, TEXT_SUFFIXES, holds_rows, is_readable, suffix_of
from workbench.ingest.rows import DataFile
from workbench.ingest.saved import SavedTables, saved_tables
from workbench.ingest.splits import splits_of

UNITS_FROM = 10
"""With so many text files, a file falls on one side of the held-out split as a whole; with fewer, a section does."""
_SHOWN_NAMES = 20
INDEX_NAMES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json")
"""Files that say something about data files."""


def data_files(source: FileSource, project: Path, where: str, warn: Callable[[str], object]) -> list[DataFile]:
    """The files in name order. Raises UsageError if there are none, or if a path leads where it must not."""
    anchor, pattern = _anchor(project / source.path)  # an absolute path replaces the project
    if not Path(source.path).is_absolute():
        inside(project, str(anchor), where=where)
    try:
        found, saved = _found(anchor, pattern, source.path, where, warn)
        if found != [anchor]:
            _refuse_links_out(found, anchor, where)
            found = _without_notes(found, warn)
    except PermissionError as error:
        place = storable(str(error.filename or source.path))
        raise UsageError(f"{place} cannot be read: permission denied", where=where) from None
    are_units = sum(suffix_of(file) in TEXT_SUFFIXES for file in found) >= UNITS_FROM
    splits = splits_of([_told(file, anchor, project) for file in found])
    return [
        DataFile(file, _name(file, project), are_units, saved.get(file) or split)
        for file, split in zip(found, splits, strict=True)
    ]


def _anchor(target: Path) -> tuple[Path, str | None]:
    """The path before the first wildcard, and the pattern from there; no pattern for a path that exists as it is."""
    for position, part in enumerate(target.parts):
        if any(character in part for character in "*?[") and not Path(*target.parts[: position + 1]).exists():
            return Path(*target.parts[:position]), str(Path(*target.parts[position:]))
    return target, None


def _found(
    anchor: Path, pattern: str | None, given: str, where: str, warn: Callable[[str], object]
) -> tuple[list[Path], SavedTables]:
    """Files, and the splits of those that a saved dataset lists."""
    kinds = f"known kinds: {', '.join(KINDS)}"
    if pattern is not None:
        matches, saved = _readable(_matches(anchor, pattern, given, where), anchor, warn)
        if not matches:
            raise UsageError(f"no data file matches {given}", where=where, next_step=f"check the pattern; {kinds}")
        return matches, saved
    if anchor.is_dir():
        held, saved = _readable(_walk(anchor), anchor, warn)
        if not held:
            raise UsageError(f"folder {given} holds no data file", where=where, next_step=kinds)
        return held, saved
    if anchor.is_file():
        return [anchor], {}
    if anchor.exists():
        raise UsageError(f"{given} is neither a file nor a folder", where=where)
    advice = "check source.path in the card; a relative path starts at the project"
    raise UsageError(f"file {given} does not exist", where=where, next_step=advice)


def _matches(anchor: Path, pattern: str, given: str, where: str) -> Iterator[Path]:
    """What matches and is no folder."""
    try:
        matches = sorted(set(anchor.glob(pattern)))
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"{given} is no pattern: {error}", where=where) from None
    for match in matches:
        if not match.is_dir():
            yield match


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, links to folders not followed. Raises PermissionError for one that cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            yield Path(parent, name)


def _readable(
    paths: Iterable[Path], anchor: Path, warn: Callable[[str], object]
) -> tuple[list[Path], SavedTables]:
    """Data files among `paths` in name order, without hidden ones and without those that only tell about others."""
    named = sorted(
        path for path in set(paths) if not any(part.startswith(".") for part in path.relative_to(anchor).parts)
    )
    visible = [path for path in named if path.is_file()]
    if skipped := [f"{path.relative_to(anchor)} ({_no_file(path)})" for path in named if not path.is_file()]:
        more = f" and {len(skipped) - _SHOWN_NAMES} more" if len(skipped) > _SHOWN_NAMES else ""
        warn(storable(f"skipped, because they are no files: {', '.join(skipped[:_SHOWN_NAMES])}{more}"))
    saved: SavedTables = {}
    in_saved: set[Path] = set()
    for state in (path for path in visible if path.name == "state.json"):
        if (tables := saved_tables(state)) is not None:
            saved |= tables
            in_saved.add(state.parent)
    kept = [path for path in visible if path in saved or (path.parent not in in_saved and _is_data(path))]
    return kept, saved


def _no_file(path: Path) -> str:
    if path.is_symlink():
        return "a link that leads nowhere" if not path.exists() else "a link to something else"
    kinds = {"a named pipe": path.is_fifo, "a socket": path.is_socket}
    return next((kind for kind, holds in kinds.items() if holds()), "a device")


def _is_data(path: Path) -> bool:
    if path.name in INDEX_NAMES:
        return False
    return is_readable(path) or (not path.suffix and holds_rows(DataFile(path, path.name)))


def _refuse_links_out(found: list[Path], anchor: Path, where: str) -> None:
    """Names found in a folder may be links that somebody else put there."""
    for file in found:
        if not file.resolve().is_relative_to(anchor.resolve()):
            raise UsageError(
                f"{storable(file.name)} is a link that leads out of {anchor}",
                where=where,
                next_step="put the file itself into the folder, or name it alone",
            )


def _without_notes(found: list[Path], warn: Callable[[str], object]) -> list[Path]:
    """Without the notes that lie beside data: a README is no training text."""
    tables = [file for file in found if suffix_of(file) not in TEXT_SUFFIXES or _is_misnamed(file)]
    if tables and len(tables) < len(found):
        names = ", ".join(file.name for file in found if file not in set(tables))
        warn(f"left out, because there are data files beside them: {storable(names)}")
    return tables or found


def _is_misnamed(file: Path) -> bool:
    return suffix_of(file) == ".txt" and holds_rows(DataFile(file, file.name))


def _told(file: Path, anchor: Path, project: Path) -> str:
    """The part of a path that was chosen for the data: not that of a scratch directory outside of the project."""
    if file.is_relative_to(project):
        return file.relative_to(project).as_posix()
    return file.name if file == anchor else file.relative_to(anchor.parent).as_posix()


def _name(file: Path, project: Path) -> str:
    relative = file.relative_to(project) if file.is_relative_to(project) else file
    return storable(relative.as_posix())
