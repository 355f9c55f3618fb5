"""The index's tables, as an append-only list of migrations: an old index is brought up to date, never edited by hand.

    migrate(connection)     ->  2        (schema version afterwards; runs m002_... on an index made by version 1)

Text columns hold what people wrote or models said; columns named `*_json` hold JSON. Rows that came from an artifact
carry its `fingerprint`, so two runs that share an artifact share its rows. `position` is the line in the part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.core.errors import IncompleteError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def m001_first_tables(connection: DuckDBPyConnection) -> None:
    """Artifacts, runs, decisions, and the rows of every stage that people ask about."""
    for statement in _M001:
        connection.execute(statement)


_M001 = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    """CREATE TABLE artifacts (
        fingerprint VARCHAR PRIMARY KEY, node VARCHAR, stage VARCHAR, stage_version INTEGER, schema_version INTEGER,
        config_json VARCHAR, external_json VARCHAR, libraries_json VARCHAR, parts_json VARCHAR, summary_json VARCHAR,
        created_at VARCHAR, seconds DOUBLE, size_bytes BIGINT, manifest_sha256 VARCHAR)""",
    "CREATE TABLE artifact_inputs (fingerprint VARCHAR, role VARCHAR, input_fingerprint VARCHAR)",
    "CREATE TABLE summaries (fingerprint VARCHAR, part VARCHAR, content_json VARCHAR)",
    """CREATE TABLE runs (
        run VARCHAR PRIMARY KEY, created_at VARCHAR, started_at VARCHAR, finished_at VARCHAR, command VARCHAR,
        config_hash VARCHAR, config_yaml VARCHAR, status VARCHAR, exit_code INTEGER, message VARCHAR,
        attempts INTEGER)""",
    """CREATE TABLE run_nodes (
        run VARCHAR, position INTEGER, node VARCHAR, stage VARCHAR, fingerprint VARCHAR, inputs_json VARCHAR,
        status VARCHAR, seconds DOUBLE, message VARCHAR)""",
    """CREATE TABLE quarantined (
        fingerprint VARCHAR, position BIGINT, file VARCHAR, row_number BIGINT, line BIGINT, byte BIGINT,
        reason VARCHAR, detail VARCHAR, excerpt VARCHAR)""",
    "CREATE TABLE funnels (fingerprint VARCHAR, rows_in BIGINT, rows_out BIGINT)",
    """CREATE TABLE funnel_reasons (
        fingerprint VARCHAR, position INTEGER, reason VARCHAR, action VARCHAR, row_count BIGINT, only_rows BIGINT,
        examples_json VARCHAR)""",
    """CREATE TABLE drops (
        fingerprint VARCHAR, position BIGINT, row_number BIGINT, record_id VARCHAR, kind VARCHAR, dataset VARCHAR,
        topic VARCHAR, prompt VARCHAR, answer VARCHAR)""",
    """CREATE TABLE findings (
        fingerprint VARCHAR, position BIGINT, record_id VARCHAR, row_number BIGINT, filter_name VARCHAR,
        reason VARCHAR, action VARCHAR, detail VARCHAR)""",
    """CREATE TABLE edges (
        fingerprint VARCHAR, position BIGINT, left_id VARCHAR, right_id VARCHAR, left_row BIGINT, right_row BIGINT,
        jaccard DOUBLE)""",
    """CREATE TABLE curve (
        fingerprint VARCHAR, step INTEGER, loss DOUBLE, learning_rate DOUBLE, grad_norm DOUBLE, tokens BIGINT,
        seconds DOUBLE)""",
    """CREATE TABLE arms (
        fingerprint VARCHAR, arm VARCHAR, model VARCHAR, model_fingerprint VARCHAR, adapter VARCHAR,
        adapter_sha256 VARCHAR, precision_name VARCHAR, system_prompt VARCHAR, batch_size INTEGER,
        conditions_json VARCHAR)""",
    """CREATE TABLE samples (
        fingerprint VARCHAR, position BIGINT, arm VARCHAR, suite VARCHAR, task VARCHAR, filter_name VARCHAR,
        metric VARCHAR, doc_hash VARCHAR, occurrence INTEGER, doc_id BIGINT, value DOUBLE, weight DOUBLE,
        parsed BOOLEAN, group_name VARCHAR, cluster VARCHAR, error VARCHAR)""",
    "CREATE TABLE outputs (fingerprint VARCHAR, position BIGINT, prompt VARCHAR, target VARCHAR, output VARCHAR)",
    """CREATE TABLE generations (
        fingerprint VARCHAR, position BIGINT, arm VARCHAR, suite VARCHAR, doc_hash VARCHAR, occurrence INTEGER,
        prompt VARCHAR, reference VARCHAR, output VARCHAR, tokens INTEGER, finish_reason VARCHAR)""",
    """CREATE TABLE judgments (
        fingerprint VARCHAR, position BIGINT, suite VARCHAR, doc_hash VARCHAR, occurrence INTEGER, judge VARCHAR,
        prompt_sha256 VARCHAR, answer_order VARCHAR, before_arm VARCHAR, after_arm VARCHAR, preference DOUBLE,
        raw VARCHAR, error VARCHAR)""",
    """CREATE TABLE pairs (
        fingerprint VARCHAR, pair INTEGER, before_arm VARCHAR, after_arm VARCHAR, purpose VARCHAR, comparable BOOLEAN,
        obstacles_json VARCHAR)""",
    """CREATE TABLE comparisons (
        fingerprint VARCHAR, pair INTEGER, position INTEGER, before_arm VARCHAR, after_arm VARCHAR, purpose VARCHAR,
        suite VARCHAR, task VARCHAR, filter_name VARCHAR, metric VARCHAR, kind VARCHAR, role VARCHAR, unit VARCHAR,
        gated BOOLEAN, margin DOUBLE, higher_is_better BOOLEAN, n BIGINT, unpaired BIGINT, failed_before BIGINT,
        failed_after BIGINT, unparsed_before BIGINT, unparsed_after BIGINT,
        before_value DOUBLE, before_low DOUBLE, before_high DOUBLE,
        after_value DOUBLE, after_low DOUBLE, after_high DOUBLE,
        gain DOUBLE, gain_low DOUBLE, gain_high DOUBLE, gain_se DOUBLE, method VARCHAR, test VARCHAR,
        p_improved DOUBLE, p_improved_holm DOUBLE, p_value DOUBLE,
        forgotten BIGINT, learned BIGINT, kept BIGINT, never_right BIGINT, identical BOOLEAN, noise_flips BIGINT,
        noise_gain_sd DOUBLE, chance DOUBLE, macro_before DOUBLE, macro_after DOUBLE,
        both_parsed_gain DOUBLE, both_parsed_low DOUBLE, both_parsed_high DOUBLE, both_parsed_n BIGINT,
        mde DOUBLE, n_needed BIGINT, sign_reversals_json VARCHAR)""",
    """CREATE TABLE comparison_groups (
        fingerprint VARCHAR, pair INTEGER, position INTEGER, suite VARCHAR, metric VARCHAR, group_name VARCHAR,
        n BIGINT, before_value DOUBLE, after_value DOUBLE, gain DOUBLE, gain_low DOUBLE, gain_high DOUBLE,
        p_value DOUBLE, q_value DOUBLE)""",
    """CREATE TABLE flips (
        fingerprint VARCHAR, position BIGINT, kind VARCHAR, suite VARCHAR, task VARCHAR, filter_name VARCHAR,
        metric VARCHAR, doc_hash VARCHAR, occurrence INTEGER, before_arm VARCHAR, after_arm VARCHAR,
        group_name VARCHAR, prompt VARCHAR, target VARCHAR, before_output VARCHAR, after_output VARCHAR)""",
    """CREATE TABLE verdicts (
        fingerprint VARCHAR, state VARCHAR, headline VARCHAR, exit_code INTEGER, strict BOOLEAN)""",
    """CREATE TABLE pair_verdicts (
        fingerprint VARCHAR, pair INTEGER, decisive BOOLEAN, before_arm VARCHAR, after_arm VARCHAR, purpose VARCHAR,
        state VARCHAR, nothing_changed BOOLEAN, reasons_json VARCHAR)""",
    """CREATE TABLE suite_verdicts (
        fingerprint VARCHAR, pair INTEGER, before_arm VARCHAR, after_arm VARCHAR, suite VARCHAR, metric VARCHAR,
        role VARCHAR, gated BOOLEAN, state VARCHAR, nothing_changed BOOLEAN, reason VARCHAR)""",
    """CREATE TABLE decisions (
        id VARCHAR PRIMARY KEY, decided_at VARCHAR, who VARCHAR, kind VARCHAR, target VARCHAR, verdict VARCHAR,
        note VARCHAR, file VARCHAR, line BIGINT)""",
)


def m002_adapter_events(connection: DuckDBPyConnection) -> None:
    """The adapters' log: what was registered, judged, promoted, rolled back and archived, by whom and on which hash."""
    connection.execute(
        """CREATE TABLE adapter_events (
            position INTEGER, happened_at VARCHAR, who VARCHAR, event VARCHAR, name VARCHAR, version INTEGER,
            sha256 VARCHAR, run VARCHAR, slot VARCHAR, state VARCHAR, forced BOOLEAN, reason VARCHAR,
            line_json VARCHAR)"""
    )


def m003_ratings(connection: DuckDBPyConnection) -> None:
    """What people said of pairs of answers, line by line; `contest` names the texts, as the latest word counts."""
    connection.execute(
        """CREATE TABLE ratings (
            contest VARCHAR, position INTEGER, rated_at VARCHAR, rater VARCHAR, suite VARCHAR, doc_hash VARCHAR,
            occurrence INTEGER, before_arm VARCHAR, after_arm VARCHAR, verdict VARCHAR, shown_first VARCHAR,
            note VARCHAR, prompt VARCHAR, reference VARCHAR, before_output VARCHAR, after_output VARCHAR)"""
    )


def m004_judges(connection: DuckDBPyConnection) -> None:
    """Which time a judge was asked, which model answered by the server's word (both empty in rows from before), and
    its grades."""
    connection.execute("ALTER TABLE judgments ADD COLUMN repeat INTEGER")
    connection.execute("ALTER TABLE judgments ADD COLUMN served_model VARCHAR")
    connection.execute(
        """CREATE TABLE grades (
            fingerprint VARCHAR, position BIGINT, suite VARCHAR, doc_hash VARCHAR, occurrence INTEGER, arm VARCHAR,
            judge VARCHAR, prompt_sha256 VARCHAR, scale VARCHAR, turn INTEGER, repeat INTEGER, score DOUBLE,
            soft BOOLEAN, feedback VARCHAR, error VARCHAR, served_model VARCHAR)"""
    )


def m005_read_judges_again(connection: DuckDBPyConnection) -> None:
    """Artifacts of judges that the index had before m004 lack what it made room for: the next load replaces them."""
    connection.execute("UPDATE artifacts SET manifest_sha256 = '' WHERE stage = 'score'")


MIGRATIONS: tuple[Callable[[DuckDBPyConnection], None], ...] = (
    m001_first_tables,
    m002_adapter_events,
    m003_ratings,
    m004_judges,
    m005_read_judges_again,
)
"""Append only: the place in the list, counted from 1, is the schema version."""

SCHEMA_VERSION = len(MIGRATIONS)


def version_of(connection: DuckDBPyConnection) -> int:
    """Version of the current schema's tables; 0 if there are none."""
    import duckdb  # imported already

    try:
        found = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    except duckdb.CatalogException:
        return 0
    return int(found[0]) if found and found[0] is not None else 0


def refuse_newer(version: int, where: str) -> None:
    """IncompleteError if the index was made by a newer program than this one."""
    if version > SCHEMA_VERSION:
        raise IncompleteError(
            f"the index has schema {version}, and this version of workbench knows {SCHEMA_VERSION}",
            where=where,
            next_step="upgrade workbench; or make the index anew with: workbench store rebuild",
        )


def migrate(connection: DuckDBPyConnection, where: str) -> int:
    """Runs what is missing in one transaction; returns the version afterwards. IncompleteError for a newer index."""
    version = version_of(connection)
    refuse_newer(version, where)
    if version == SCHEMA_VERSION:
        return version
    connection.begin()
    for migration in MIGRATIONS[version:]:
        migration(connection)
    connection.execute("DELETE FROM schema_version")
    connection.execute(f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION})")
    connection.commit()
    return SCHEMA_VERSION
