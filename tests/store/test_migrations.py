from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from sample_project import RUN

from workbench.core.errors import IncompleteError
from workbench.core.paths import Project
from workbench.store import migrations
from workbench.store.connection import IndexOutdated
from workbench.store.loader import load_artifact, load_pending, load_run, pending, rebuild
from workbench.store.queries import query


def set_version(index: Path, version: int) -> None:
    with duckdb.connect(str(index)) as connection:
        connection.execute("UPDATE schema_version SET version = ?", [version])


def test_an_index_of_a_newer_version_is_refused_everywhere_and_left_alone(indexed: Project) -> None:
    set_version(indexed.index, 99)
    content = indexed.index.read_bytes()
    artifact = next((indexed.artifacts / "gate").iterdir())
    for refused in (
        lambda: query(indexed.index, "SELECT 1"),
        lambda: load_artifact(indexed.index, artifact),
        lambda: load_run(indexed.index, indexed.runs / RUN),
        lambda: pending(indexed.index, indexed),
    ):
        with pytest.raises(IncompleteError, match=r"schema 99.*\n.*workbench store rebuild"):
            refused()
    assert indexed.index.read_bytes() == content
    rebuild(indexed)
    assert query(indexed.index, "SELECT version FROM schema_version").rows == ((migrations.SCHEMA_VERSION,),)


def test_an_older_index_keeps_its_rows_and_gets_the_new_tables(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = query(indexed.index, "SELECT count(*) FROM samples").rows
    later = (*migrations.MIGRATIONS, lambda connection: connection.execute("CREATE TABLE notes (note VARCHAR)"))
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", len(later))
    monkeypatch.setattr("workbench.store.connection.SCHEMA_VERSION", len(later))
    with pytest.raises(IndexOutdated, match="workbench store rebuild"):
        query(indexed.index, "SELECT 1")
    load_run(indexed.index, indexed.runs / RUN)
    assert query(indexed.index, "SELECT count(*) FROM samples").rows == before
    assert query(indexed.index, "SELECT count(*) FROM notes").rows == ((0,),)
    assert query(indexed.index, "SELECT version FROM schema_version").rows == ((len(later),),)


def test_judgments_of_the_third_schema_stay_and_say_nothing_of_repeat_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        with monkeypatch.context() as earlier:
            earlier.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:3])
            earlier.setattr(migrations, "SCHEMA_VERSION", 3)
            migrations.migrate(connection, "x")
        connection.execute("INSERT INTO judgments (fingerprint, judge, preference) VALUES ('f', 'j', 0.5)")
        assert migrations.migrate(connection, "x") == migrations.SCHEMA_VERSION >= 4
        found = connection.execute("SELECT judge, preference, repeat, served_model FROM judgments").fetchall()
        assert found == [("j", 0.5, None, None)]
        assert connection.execute("SELECT count(*) FROM grades").fetchall() == [(0,)]


@pytest.mark.parametrize("version", [3, 4])
def test_grades_of_before_there_was_a_table_for_them_come_with_the_next_load(version: int, indexed: Project) -> None:
    columns = "SELECT judge, repeat, served_model, preference FROM judgments ORDER BY position"
    queries = (columns, "SELECT arm, score FROM grades", "SELECT count(*) FROM samples")
    expected = [query(indexed.index, sql).rows for sql in queries]
    assert all(expected)
    with duckdb.connect(str(indexed.index)) as connection:
        connection.execute("ALTER TABLE judgments DROP COLUMN repeat")
        connection.execute("ALTER TABLE judgments DROP COLUMN served_model")
        connection.execute("DROP TABLE grades")
        if version == 4:
            migrations.m004_judges(connection)
    set_version(indexed.index, version)
    load_pending(indexed.index, indexed)
    assert [query(indexed.index, sql).rows for sql in queries] == expected
    assert pending(indexed.index, indexed) == ()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE TABLE half (a INTEGER)")
        connection.execute("SELECT * FROM no_such_table")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        with pytest.raises(duckdb.CatalogException):
            migrations.migrate(connection, "x")
        connection.rollback()
        assert migrations.version_of(connection) == 0
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]
