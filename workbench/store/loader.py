"""Filling the index: one artifact, one run, all decisions or the adapters' log in one short transaction each; or all.

    load_artifact(index, artifacts / "score" / "3f...")    ->  Loaded(rows=1204) | AlreadyLoaded() | StoreBusy(...)

Rows are read and checked in memory first, so the index is held for the copy alone. A loader that does not get it within
five seconds gives `StoreBusy`; the artifact stays in `pending` until some later loader takes it.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.errors import IncompleteError, WorkbenchError
from workbench.core.parts import read_model
from workbench.core.paths import Project
from workbench.core.records import SCHEMA_VERSION, Manifest
from workbench.core.wire import storable
from workbench.store.connection import (
    LOCK_TIMEOUT_S,
    NO_PYTHON,
    IndexBusy,
    IndexDamaged,
    IndexMissing,
    IndexOutdated,
    StoreBusy,
    attach,
    damaged,
    private_files,
    reading,
    with_retry,
)
from workbench.store.history import add_adapter_events, add_decisions, add_run
from workbench.store.migrations import migrate
from workbench.store.rows import add_artifact
from workbench.store.sink import Sink

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_GLANCE_S = 0.2
_FRUGAL = {**NO_PYTHON, "memory_limit": "128MB", "threads": "2"}
"""What does not fit goes to disk: a million rows then take 0.35 GB of memory instead of 1.3, and the same time."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rows are in the index."""

    rows: int
    problems: tuple[str, ...] = ()
    """Lines that could not be read and were left out, each with its place."""


@dataclass(frozen=True, slots=True)
class AlreadyLoaded:
    """The index has this artifact."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The index was made anew."""

    artifacts: int
    runs: int
    decisions: int
    rows: dict[str, int]
    """Rows per table."""
    problems: tuple[str, ...]
    """What could not be read and was left out, each with its place."""


def load_artifact(
    index: Path, artifact_dir: Path, timeout_s: float = LOCK_TIMEOUT_S
) -> Loaded | AlreadyLoaded | StoreBusy:
    """Puts the rows of a committed artifact into the index, once; an artifact made again replaces the older one.

    IncompleteError if the artifact cannot be read; IndexDamaged, or IncompleteError for an index of a newer version."""
    manifest, manifest_sha256 = _read_manifest(artifact_dir)
    if _glance(index).get(manifest.fingerprint) == manifest_sha256:
        return AlreadyLoaded()

    fill = _artifact_filler(artifact_dir, manifest, manifest_sha256)
    return _load(index, fill, partial(_delete_by, "fingerprint", manifest.fingerprint), _ARTIFACTS, timeout_s)


def load_run(index: Path, run_dir: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Loaded | StoreBusy:
    """Puts a run's plan, configuration and outcome so far into the index, replacing what it had of the run.

    IncompleteError if the run has no plan yet; otherwise as `load_artifact`."""

    return _load(index, _run_filler(run_dir), partial(_delete_by, "run", run_dir.name), _RUNS, timeout_s)


def load_decisions(index: Path, decisions_dir: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Loaded | StoreBusy:
    """Puts all decisions into the index, replacing those it had. Lines that are none are named in `problems`."""

    def fill(sink: Sink) -> tuple[str, ...]:
        return add_decisions(sink, decisions_dir)

    return _load(index, fill, _delete_all, _DECISIONS, timeout_s)


def load_adapters(index: Path, log: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Loaded | StoreBusy:
    """Puts the adapters' log into the index, replacing what it had. Lines that are none are named in `problems`."""

    def fill(sink: Sink) -> tuple[str, ...]:
        return add_adapter_events(sink, log)

    return _load(index, fill, _delete_all, _ADAPTERS, timeout_s)


def pending(index: Path, project: Project) -> tuple[Path, ...] | StoreBusy:
    """Directories of the committed artifacts that the index does not have, in path order.

    Artifacts whose manifest cannot be read are left out: `rebuild` names them."""
    try:
        loaded = _manifests_in(index, LOCK_TIMEOUT_S)
    except IndexBusy as busy:
        return StoreBusy(busy.problem)
    except (IndexMissing, IndexOutdated):
        loaded = {}
    committed = _committed(project, [])
    return tuple(path for path, manifest, sha256 in committed if loaded.get(manifest.fingerprint) != sha256)


def load_pending(index: Path, project: Project, timeout_s: float = LOCK_TIMEOUT_S) -> Loaded | StoreBusy:
    """Loads what earlier loaders had to leave; `problems` names what cannot be read. Errors as `pending`."""
    waiting = pending(index, project)
    if isinstance(waiting, StoreBusy):
        return waiting
    rows, problems = 0, []
    for directory in waiting:
        try:
            loaded = load_artifact(index, directory, timeout_s)
        except IndexDamaged:
            raise
        except WorkbenchError as error:
            problems.append(str(error))
            continue
        if isinstance(loaded, StoreBusy):
            return loaded
        rows += loaded.rows if isinstance(loaded, Loaded) else 0
    return Loaded(rows, tuple(problems))


def rebuild(project: Project, timeout_s: float = LOCK_TIMEOUT_S) -> Rebuilt:
    """Makes the index anew from artifacts, runs and decisions, aside, and renames it into place.

    The old index, damaged or not, is replaced and nothing else touched. Loaders may work meanwhile: what they add is
    taken over under the lock, just before the rename. IndexBusy if somebody else holds the old index, or rebuilds."""
    import duckdb  # 75 ms

    project.state.mkdir(parents=True, exist_ok=True)
    aside = project.index.with_name(f"{project.index.name}.rebuilding")
    with _one_rebuild(aside) as alone, private_files():
        if not alone:
            raise IndexBusy("another rebuild is under way", where=str(project.index), next_step="wait for its end")
        _remove_database(aside)
        fresh = duckdb.connect(str(aside), config=_FRUGAL)
        holder = duckdb.connect(":memory:")
        try:
            migrate(fresh, str(aside))
            _fill_all(fresh, project)
            _hold(holder, project.index, timeout_s)
            problems = _fill_all(fresh, project)
            counts = _counts(fresh)
            fresh.close()
            _wal(project.index).unlink(missing_ok=True)
            aside.replace(project.index)
        except duckdb.Error as error:
            raise damaged(aside, error) from None
        finally:
            fresh.close()
            holder.close()
            _remove_database(aside)
    return Rebuilt(counts["artifacts"], counts["runs"], counts["decisions"], counts, problems)


_ARTIFACTS = "column_name = 'fingerprint' AND table_name <> 'run_nodes'"
_RUNS = "column_name = 'run'"
_DECISIONS = "(table_name = 'decisions' AND column_name = 'id') OR (table_name = 'ratings' AND column_name = 'contest')"
_ADAPTERS = "table_name = 'adapter_events' AND column_name = 'position'"
Statement = tuple[str, list[str]]


def _load(
    index: Path,
    fill: Callable[[Sink], tuple[str, ...]],
    clear: Callable[[str], Statement],
    tables: str,
    timeout_s: float,
) -> Loaded | StoreBusy:
    """Fills tables in memory, then replaces the same rows of the index in one transaction."""
    import duckdb  # 75 ms

    index.parent.mkdir(parents=True, exist_ok=True)
    staging = duckdb.connect(":memory:", config={**_FRUGAL, "temp_directory": f"{index}.loading"})
    try:
        migrate(staging, "memory")
        sink = Sink(staging)
        problems = fill(sink)
        sink.flush()
        with private_files():
            busy = attach(staging, index, timeout_s)
            if busy:
                return busy
            staging.begin()
            for table in _tables(staging, tables):
                staging.execute(*clear(table))
            for table in sorted(sink.tables):
                staging.execute(f'INSERT INTO store."{table}" BY NAME SELECT * FROM memory."{table}"')
            staging.commit()
            staging.close()
        return Loaded(sink.written, problems)
    except duckdb.Error as error:
        raise damaged(index, error) from None
    finally:
        staging.close()


def _delete_by(column: str, value: str, table: str) -> Statement:
    return f'DELETE FROM "{table}" WHERE {column} = ?', [storable(value)]


def _delete_all(table: str) -> Statement:
    return f'DELETE FROM "{table}"', []


def _tables(connection: DuckDBPyConnection, which: str) -> list[str]:
    sql = f"SELECT table_name FROM duckdb_columns() WHERE database_name = current_database() AND ({which}) ORDER BY 1"
    return [str(name) for (name,) in connection.execute(sql).fetchall()]


def _read_manifest(directory: Path) -> tuple[Manifest, str]:
    manifest = read_model(directory / "manifest.json", Manifest)
    if manifest.schema_version > SCHEMA_VERSION:
        raise IncompleteError(
            f"artifact was written by a newer version of workbench (schema {manifest.schema_version})",
            where=str(directory),
            next_step="upgrade workbench, or remove the directory to make it again",
        )
    return manifest, hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()


def _committed(project: Project, problems: list[str]) -> Iterator[tuple[Path, Manifest, str]]:
    """Every artifact with a readable manifest; the others are added to `problems`."""
    for path in sorted(project.artifacts.glob("*/*/manifest.json")):
        if path.parent.name.startswith("."):
            continue  # being written
        try:
            manifest, sha256 = _read_manifest(path.parent)
        except WorkbenchError as error:
            problems.append(str(error))
            continue
        yield path.parent, manifest, sha256


def _manifests_in(index: Path, timeout_s: float) -> dict[str, str]:
    with reading(index, timeout_s) as connection:
        return dict(connection.execute("SELECT fingerprint, manifest_sha256 FROM artifacts").fetchall())


def _glance(index: Path) -> dict[str, str]:
    """What the index has, if that can be seen at once; a wrong guess costs a second loading, never a wrong row."""
    try:
        return _manifests_in(index, _GLANCE_S)
    except (IndexMissing, IndexBusy, IndexOutdated):
        return {}


def _fill_all(connection: DuckDBPyConnection, project: Project) -> tuple[str, ...]:
    """Brings an index up to the files: artifacts it has not, all runs, all decisions. Gives what could not be read."""
    problems: list[str] = []
    loaded = dict(connection.execute("SELECT fingerprint, manifest_sha256 FROM artifacts").fetchall())
    kept = _tables(connection, _ARTIFACTS)
    for directory, manifest, sha256 in _committed(project, problems):
        if loaded.get(manifest.fingerprint) != sha256:
            clear = [_delete_by("fingerprint", manifest.fingerprint, table) for table in kept]
            problems += _one(connection, clear, _artifact_filler(directory, manifest, sha256))
    known = _tables(connection, _RUNS)
    for directory in sorted(path for path in project.runs.glob("*") if path.is_dir()):
        clear = [_delete_by("run", directory.name, table) for table in known]
        problems += _one(connection, clear, _run_filler(directory))
    clear = [_delete_all(table) for table in _tables(connection, _DECISIONS)]
    problems += _one(connection, clear, lambda sink: add_decisions(sink, project.decisions))
    log = project.adapters / "log.jsonl"
    problems += _one(connection, [_delete_all("adapter_events")], lambda sink: add_adapter_events(sink, log))
    return tuple(problems)


def _artifact_filler(directory: Path, manifest: Manifest, sha256: str) -> Callable[[Sink], tuple[str, ...]]:
    def fill(sink: Sink) -> tuple[str, ...]:
        add_artifact(sink, directory, manifest, sha256)
        return ()

    return fill


def _run_filler(directory: Path) -> Callable[[Sink], tuple[str, ...]]:
    def fill(sink: Sink) -> tuple[str, ...]:
        add_run(sink, directory)
        return ()

    return fill


def _one(
    connection: DuckDBPyConnection, clear: Iterable[Statement], fill: Callable[[Sink], tuple[str, ...]]
) -> tuple[str, ...]:
    """One thing in one transaction: whole, or not at all with the reason."""
    connection.begin()
    try:
        for statement in clear:
            connection.execute(*statement)
        sink = Sink(connection)
        problems = fill(sink)
        sink.flush()
    except WorkbenchError as error:
        connection.rollback()
        return (str(error),)
    connection.commit()
    return problems


def _counts(connection: DuckDBPyConnection) -> dict[str, int]:
    counts = {}
    for table in sorted(set(_tables(connection, "table_name <> 'schema_version'"))):
        found = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        assert found is not None
        counts[table] = int(found[0])
    return counts


@contextmanager
def _one_rebuild(aside: Path) -> Iterator[bool]:
    """True if no other rebuild is under way; the lock ends with the process, however it ends."""
    with aside.with_name(f"{aside.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _hold(holder: DuckDBPyConnection, index: Path, timeout_s: float) -> None:
    """Keeps loaders out of the old index until `holder` is closed; a damaged index needs no keeping. IndexBusy."""
    if not index.exists():
        return
    place = str(index).replace("'", "''")
    try:
        held = with_retry(lambda: holder.execute(f"ATTACH '{place}' AS old"), index, timeout_s)
    except IndexDamaged:
        return
    if isinstance(held, StoreBusy):
        raise IndexBusy(f"the index is in use by {held.holder}", where=str(index), next_step="try again")
    holder.execute("CHECKPOINT old")  # leaves no log behind that the new file would be mistaken to own


def _wal(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


def _remove_database(database: Path) -> None:
    database.unlink(missing_ok=True)
    _wal(database).unlink(missing_ok=True)
