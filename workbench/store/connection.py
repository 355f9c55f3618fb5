"""Opening and closing the index: short, private, and with a clear word when somebody else holds it.

A process that writes keeps everybody else out, readers included, so every connection here lives for one transaction or
one query. Who meets the lock tries again for five seconds and is then told who holds it.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench.core.errors import IncompleteError
from workbench.store.migrations import SCHEMA_VERSION, migrate, refuse_newer, version_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LOCK_TIMEOUT_S = 5.0
REBUILD = "make it anew from artifacts, runs and decisions with: workbench store rebuild"
Opened = TypeVar("Opened")

# Without this a table name that is not there is looked up among the variables of the calling Python code.
NO_PYTHON: dict[str, str | bool | int | float | list[str]] = {"python_enable_replacements": "false"}
# Every reader is locked down in the same way: DuckDB refuses two configurations of one file in one process.
_READER_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    **NO_PYTHON,
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}


class IndexMissing(IncompleteError):
    """There is no index: nothing was loaded yet, or it was deleted."""


class IndexBusy(IncompleteError):
    """Somebody wrote to the index for longer than a reader waits."""


class IndexOutdated(IncompleteError):
    """The index was made by an older version; the next loader brings it up to date."""


class IndexDamaged(IncompleteError):
    """The index cannot be read or written; what it was made from is untouched."""


@dataclass(frozen=True, slots=True)
class StoreBusy:
    """The index could not be had in time; what was to be loaded stays pending and nothing is lost."""

    holder: str
    """Who holds it, for people: the process id where DuckDB names one."""


def literal(value: str | int) -> str:
    """`value` as SQL, whatever it contains: text travels as hexadecimal digits, and none of those ends a literal.

    Bound parameters would do as well, but binding the first one imports pandas and pyarrow (0.7 s, 90 MB), which the
    terminal must not.
    """
    if isinstance(value, int):
        return str(int(value))
    return f"decode(from_hex('{value.encode('utf-8', 'replace').hex()}'))"


@contextmanager
def reading(index: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[DuckDBPyConnection]:
    """A read-only connection without access to other files, closed at the end.

    IndexMissing, IndexBusy, IndexOutdated, IndexDamaged, or IncompleteError for an index of a newer version."""
    import duckdb  # 75 ms, and `workbench --help` needs none of it

    if not index.exists():
        raise IndexMissing("there is no index", where=str(index), next_step=REBUILD)
    opened = with_retry(lambda: duckdb.connect(str(index), read_only=True, config=_READER_SETTINGS), index, timeout_s)
    if isinstance(opened, StoreBusy):
        raise IndexBusy(f"the index is in use by {opened.holder}", where=str(index), next_step="try again")
    try:
        version = version_of(opened)
        refuse_newer(version, str(index))
        if version < SCHEMA_VERSION:
            raise IndexOutdated(f"the index has the older schema {version}", where=str(index), next_step=REBUILD)
        yield opened
    except damage_errors() as error:
        raise damaged(index, error) from None
    finally:
        opened.close()


def attach(staging: DuckDBPyConnection, index: Path, timeout_s: float = LOCK_TIMEOUT_S) -> StoreBusy | None:
    """Attaches the index for writing as `store`, the current database of `staging`, with the newest schema.

    From here until `staging` is closed nobody else can open it. StoreBusy if it is not free in time; IndexDamaged, or
    IncompleteError for a newer index."""
    place = str(index).replace("'", "''")
    busy = with_retry(lambda: staging.execute(f"ATTACH '{place}' AS store"), index, timeout_s)
    if isinstance(busy, StoreBusy):
        return busy
    staging.execute("USE store")
    migrate(staging, str(index))
    return None


@contextmanager
def private_files() -> Iterator[None]:
    """Files made meanwhile can be read by their owner alone: the database and its log hold prompts and answers."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def with_retry(open_it: Callable[[], Opened], index: Path, timeout_s: float) -> Opened | StoreBusy:
    """Calls `open_it` until it succeeds or `timeout_s` has passed; IndexDamaged if the file is no good."""
    import duckdb  # imported already

    end = time.monotonic() + timeout_s
    while True:
        try:
            return open_it()
        except duckdb.Error as error:
            busy = _busy(error)
            if busy is None:
                raise damaged(index, error) from None
            if time.monotonic() >= end:
                return busy
            time.sleep(random.uniform(0.01, 0.06))


def _busy(error: Exception) -> StoreBusy | None:
    """Who holds the file, if that is what the error says."""
    text = str(error)
    if "Could not set lock" in text:
        holder = re.search(r"PID (\d+)", text)
        return StoreBusy(f"process {holder.group(1)}" if holder else "another process")
    if "already attached" in text or "different configuration" in text:
        return StoreBusy("another part of this process")
    return None


def damage_errors() -> tuple[type[Exception], ...]:
    """What DuckDB raises for a file that is not what it should be."""
    import duckdb  # imported already

    return (duckdb.IOException, duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)


def damaged(index: Path, error: Exception) -> IndexDamaged:
    """The error a user meets when the index cannot be read or written."""
    first_line = str(error).splitlines()[0]
    return IndexDamaged(f"the index cannot be used: {first_line}", where=str(index), next_step=REBUILD)
