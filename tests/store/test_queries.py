from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_project import HOSTILE, RUN, append_events, flips_of, paired, scores, weighted_mean, write_plan

from workbench.core.errors import UsageError
from workbench.core.events import NodeCached, RunStarted
from workbench.core.paths import Project
from workbench.store import queries
from workbench.store.connection import IndexMissing, literal
from workbench.store.curation import curation
from workbench.store.loader import load_run

DOCS = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


def by_hand(run: str) -> str:
    """The query that docs/store.md gives for recomputing a report's numbers."""
    (block,) = (block for block in DOCS.split("\n\n") if block.startswith("    with mine as"))
    return block.replace("'RUN'", f"'{run}'")


def test_the_docs_name_every_table(indexed: Project) -> None:
    tables = queries.query(indexed.index, "SELECT table_name FROM duckdb_tables()").rows
    assert [name for (name,) in tables if f"`{name}`" not in DOCS and name != "schema_version"] == []


def test_the_comparison_can_be_recomputed_from_samples_in_sql_and_in_python(indexed: Project) -> None:
    before, after = scores("base@nf4", 2), scores("candidate", 3)
    (pair,) = queries.comparison(indexed.index, RUN)
    rows = {row.suite: row for row in pair.suites}
    for suite, n, mean_before, mean_after, forgotten, learned in queries.query(indexed.index, by_hand(RUN)).rows:
        row, pairs = rows[suite], paired(before, after, suite)
        assert row.n == n == len(pairs)
        assert row.before == pytest.approx(mean_before, abs=1e-12)
        assert row.after == pytest.approx(mean_after, abs=1e-12)
        assert mean_before == pytest.approx(weighted_mean([old for old, _ in pairs]), abs=1e-12)
        sign = -1 if suite == "docs" else 1
        assert row.gain == pytest.approx(sign * (mean_after - mean_before), abs=1e-12)
        if suite == "capitals":
            assert (row.forgotten, row.learned) == (forgotten, learned)
            values = [old.value for old, _ in pairs if old.value is not None]
            assert mean_before == pytest.approx(statistics.fmean(values))


def test_suites_carry_the_gates_state(indexed: Project) -> None:
    (pair,) = queries.comparison(indexed.index, RUN)
    assert (pair.before, pair.after, pair.decisive, pair.state) == ("base@nf4", "candidate", True, "inconclusive")
    assert {row.suite: row.state for row in pair.suites} == {"docs": "improved", "capitals": "inconclusive"}


def test_flips_come_page_by_page_forgotten_first(indexed: Project) -> None:
    expected = flips_of(scores("base@nf4", 2), scores("candidate", 3))
    keys = [(flip.kind, flip.doc_hash, flip.occurrence) for flip in sorted(expected, key=lambda flip: flip.kind)]
    pages = [
        queries.flips(indexed.index, RUN, "base@nf4", "candidate", offset=offset, limit=7)
        for offset in range(0, len(keys) + 7, 7)
    ]
    found = [(flip.kind, flip.doc_hash, flip.occurrence) for page in pages for flip in page]
    assert found == keys
    assert pages[-1] == () or len(pages[-1]) < 7
    counts = queries.count_flips(indexed.index, RUN, "base@nf4", "candidate")
    assert counts[("capitals", "forgotten")] == sum(kind == "forgotten" for kind, _, _ in keys)


def test_flips_are_filtered_by_suite_kind_and_text(indexed: Project) -> None:
    def found(**filters: str) -> int:
        return len(queries.flips(indexed.index, RUN, "base@nf4", "candidate", limit=1000, **filters))

    everything = flips_of(scores("base@nf4", 2), scores("candidate", 3))
    assert found(suite="docs") == 0
    assert found(kind="learned") == sum(flip.kind == "learned" for flip in everything)
    text = everything[0].before_output[:9]
    assert found(contains=text.upper()) == sum(
        text in f"{flip.prompt}\n{flip.target}\n{flip.before_output}\n{flip.after_output}".lower()
        for flip in everything
    )
    assert found(contains="' OR 1=1 --") == 0


def test_a_document_is_shown_in_both_arms_in_the_order_asked(indexed: Project) -> None:
    rows = queries.samples(indexed.index, RUN, "capitals", f"{1:016x}", 1, ("candidate", "base@nf4"))
    assert [row.arm for row in rows] == ["candidate", "base@nf4"]
    assert all(row.doc_id == 3 and row.prompt == HOSTILE for row in rows)
    both = (*scores("base@nf4", 2), *scores("candidate", 3))
    expected = {row.arm: row for row in both if (row.suite, row.doc_id) == ("capitals", 3)}
    assert all(row.output == expected[row.arm].output for row in rows)


def test_the_funnel_and_the_lines_that_were_no_rows(indexed: Project) -> None:
    found = curation(indexed.index, RUN)
    assert found is not None
    assert (found.funnel.rows_in, found.funnel.rows_out, found.quarantined) == (10, 7, 1)
    first = found.funnel.reasons[0]
    assert (first.reason, first.rows, first.only) == ("exact_duplicate", 2, 2)
    assert curation(indexed.index, "no such run") is None


def test_runs_nodes_curve_and_generations(indexed: Project) -> None:
    (run,) = queries.runs(indexed.index)
    assert (run.run, run.status, run.verdict) == (RUN, "completed", "inconclusive")
    assert run.headline == queries.headline(indexed.index, RUN) == "Better at docs; capitals undecided."
    assert queries.verdicts(indexed.index) == {RUN: "inconclusive"}
    assert [node.node for node in queries.nodes(indexed.index, RUN)][:3] == ["ingest:faq", "curate", "train"]
    points = queries.curve(indexed.index, RUN)
    assert [point.step for point in points] == list(range(1, 61))
    (answer,) = queries.generations(indexed.index, RUN, "base@nf4", "candidate")
    assert (answer.before, answer.after) == (f"base@nf4 says {HOSTILE}", f"candidate says {HOSTILE}")


def test_a_run_that_stopped_before_a_node_does_not_borrow_what_another_run_made_of_it(indexed: Project) -> None:
    fingerprints = dict(queries.query(indexed.index, "SELECT node, fingerprint FROM run_nodes").rows)
    directory = write_plan(indexed, "stopped", fingerprints)
    append_events(directory, [RunStarted(run="stopped", pid=1, nodes=(), resumed=False)])
    append_events(directory, [NodeCached(node="curate", fingerprint=fingerprints["curate"])])
    load_run(indexed.index, directory)
    found = curation(indexed.index, "stopped")
    assert found is not None and (found.funnel.rows_in, found.quarantined) == (10, 0)
    assert queries.verdicts(indexed.index) == {RUN: "inconclusive"}
    assert queries.headline(indexed.index, "stopped") is None
    assert queries.comparison(indexed.index, "stopped") == ()
    assert queries.flips(indexed.index, "stopped", "base@nf4", "candidate") == ()
    assert queries.curve(indexed.index, "stopped") == ()
    assert {run.run: run.verdict for run in queries.runs(indexed.index)} == {RUN: "inconclusive", "stopped": None}


def test_names_in_queries_are_only_names(indexed: Project) -> None:
    for name in ("' OR '1'='1", "x'; DROP TABLE samples; --", "\x00", "ü\u202e", "\ud800"):
        assert queries.comparison(indexed.index, name) == ()
        assert queries.flips(indexed.index, name, name, name, suite=name, kind=name, contains=name) == ()
        assert queries.samples(indexed.index, name, name, name, 0, (name,)) == ()
    assert queries.query(indexed.index, "SELECT count(*) FROM samples").rows == ((160,),)


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_a_literal_is_the_text_itself(text: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY samples TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb' AS other",
        "SET enable_external_access = true",
        "SET threads = 1",
        "INSTALL httpfs",
        "EXPORT DATABASE '/tmp/stolen'",
        "DELETE FROM samples",
        "DROP TABLE samples",
        "CREATE TABLE mine (a INTEGER)",
        "SELECT 1; DROP TABLE samples",
        "SELECT * FROM no_such_table",
        "SELECT * FROM sql",  # a variable of the Python code around the query
        "not sql",
    ],
)
def test_questions_of_users_can_neither_write_nor_leave_the_index(indexed: Project, sql: str) -> None:
    with pytest.raises(UsageError):
        queries.query(indexed.index, sql)
    assert queries.query(indexed.index, "SELECT count(*) AS n FROM samples") == (("n",), ((160,),))


def test_a_missing_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="workbench store rebuild"):
        queries.runs(tmp_path / "workbench.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_reading_imports_neither_pandas_nor_pyarrow_nor_numpy_and_leaves_stderr_clean(indexed: Project) -> None:
    script = (
        "import sys; from pathlib import Path; from workbench.store import queries\n"
        f"index, run = Path(sys.argv[1]), {RUN!r}\n"
        "queries.runs(index); queries.comparison(index, run); queries.flips(index, run, 'base@nf4', 'candidate')\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(indexed.index)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
