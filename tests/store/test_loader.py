from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import duckdb
import pytest
from sample_project import (
    HOSTILE,
    NODES,
    RUN,
    append_events,
    build_project,
    commit_artifact,
    load_everything,
    write_plan,
    write_run,
)

from workbench.core.errors import IncompleteError
from workbench.core.events import RunFinished, RunStarted
from workbench.core.parts import write_text
from workbench.core.paths import Project
from workbench.core.records import CurvePoint, HumanRating, ScoreRow, contest_id
from workbench.core.wire import storable
from workbench.store.connection import IndexDamaged, reading
from workbench.store.loader import (
    AlreadyLoaded,
    Loaded,
    Rebuilt,
    load_artifact,
    load_decisions,
    load_pending,
    load_run,
    pending,
    rebuild,
)
from workbench.store.queries import query
from workbench.store.sink import Sink


def dump(index: Path) -> dict[str, list[str]]:
    """Every row of every table, in an order of its own."""
    with reading(index) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        return {name: sorted(map(repr, connection.execute(f'FROM "{name}"').fetchall())) for (name,) in tables}


def artifact(project: Project, stage: str) -> Path:
    return next(iter(sorted((project.artifacts / stage).iterdir())))


def test_every_part_of_every_artifact_has_its_rows(indexed: Project) -> None:
    expected = {
        "artifacts": 8,
        "artifact_inputs": 9,
        "samples": 160,
        "outputs": 160,
        "curve": 60,
        "drops": 3,
        "findings": 4,
        "edges": 1,
        "funnels": 1,
        "funnel_reasons": 3,
        "quarantined": 1,
        "arms": 2,
        "generations": 2,
        "judgments": 2,
        "grades": 1,
        "pairs": 1,
        "comparisons": 2,
        "verdicts": 1,
        "pair_verdicts": 1,
        "suite_verdicts": 2,
        "runs": 1,
        "run_nodes": len(NODES),
        "decisions": 1,
    }
    counts = {table: len(rows) for table, rows in dump(indexed.index).items()}
    assert {table: counts[table] for table in expected} == expected


def test_judgments_and_grades_say_which_time_and_which_model(indexed: Project) -> None:
    asked = query(indexed.index, "SELECT answer_order, repeat, served_model FROM judgments ORDER BY 1").rows
    name = storable(HOSTILE)
    assert asked == (("after_first", 1, name), ("before_first", 1, name))
    graded = query(indexed.index, "SELECT arm, scale, turn, repeat, score, soft, feedback, served_model FROM grades")
    assert graded.rows == (("candidate", "accuracy", 2, 0, 4.25, True, name, "judge-0301"),)
    found = query(
        indexed.index,
        "SELECT content_json ->> '$.win_rate.value' FROM summaries WHERE part = 'findings.json'",
    )
    assert found.rows == (("0.5",),)


def test_loading_an_artifact_twice_changes_nothing(indexed: Project) -> None:
    before = dump(indexed.index)
    assert load_artifact(indexed.index, artifact(indexed, "score")) == AlreadyLoaded()
    assert dump(indexed.index) == before


def test_an_artifact_made_again_replaces_its_rows(indexed: Project) -> None:
    directory = artifact(indexed, "train")
    inputs = {"curate": next((indexed.artifacts / "curate").iterdir()).name}
    shutil.rmtree(directory)
    point = CurvePoint(step=1, loss=9.0, learning_rate=0.1, grad_norm=1, tokens=1, seconds=1)
    again, _ = commit_artifact(indexed, "train", inputs, {"curve.jsonl": [point]})
    assert again == directory
    assert pending(indexed.index, indexed) == (directory,)
    assert isinstance(load_artifact(indexed.index, directory), Loaded)
    assert query(indexed.index, "SELECT step, loss FROM curve").rows == ((1, 9.0),)


def test_rebuild_gives_the_same_database_as_loading_piece_by_piece(indexed: Project) -> None:
    piecewise = dump(indexed.index)
    rebuilt = rebuild(indexed)
    assert rebuilt.problems == ()
    assert dump(indexed.index) == piecewise
    assert rebuilt.rows == {table: len(rows) for table, rows in piecewise.items() if table != "schema_version"}


def test_rebuild_gives_the_same_database_whatever_the_order_of_loading(indexed: Project) -> None:
    forwards = dump(indexed.index)
    indexed.index.unlink()
    load_decisions(indexed.index, indexed.decisions)
    load_run(indexed.index, indexed.runs / RUN)
    found = pending(indexed.index, indexed)
    assert isinstance(found, tuple)
    for directory in reversed(found):
        load_artifact(indexed.index, directory)
    assert dump(indexed.index) == forwards
    rebuild(indexed)
    assert dump(indexed.index) == forwards


def test_rebuild_replaces_a_deleted_or_damaged_index(indexed: Project) -> None:
    whole = dump(indexed.index)
    indexed.index.unlink()
    rebuild(indexed)
    assert dump(indexed.index) == whole
    indexed.index.write_bytes(os.urandom(100_000))
    with pytest.raises(IndexDamaged, match="workbench store rebuild"):
        query(indexed.index, "SELECT 1")
    with pytest.raises(IndexDamaged, match="workbench store rebuild"):
        load_run(indexed.index, indexed.runs / RUN)
    rebuild(indexed)
    assert dump(indexed.index) == whole
    assert not indexed.index.with_name("workbench.duckdb.rebuilding").exists()


def test_a_flipped_block_is_noticed_and_repaired_by_rebuild(indexed: Project) -> None:
    whole = dump(indexed.index)
    content = bytearray(indexed.index.read_bytes())
    for place in range(3 * 4096 + 100, len(content), 4096):  # past the three headers, one byte in every page
        content[place] ^= 0xFF
    indexed.index.write_bytes(bytes(content))
    with pytest.raises(IndexDamaged, match="workbench store rebuild"):
        dump(indexed.index)
    rebuild(indexed)
    assert dump(indexed.index) == whole


def test_rebuild_keeps_what_is_readable_and_names_the_rest(project: Project) -> None:
    (artifact(project, "train") / "curve.jsonl").write_text("{}\n")
    write_text(artifact(project, "gate") / "manifest.json", "{")
    (project.runs / "starting").mkdir()
    rebuilt = rebuild(project)
    assert isinstance(rebuilt, Rebuilt)
    assert (rebuilt.artifacts, rebuilt.runs) == (6, 1)
    assert len(rebuilt.problems) == 3
    for name, problem in zip(("gate", "curve", "starting"), rebuilt.problems, strict=True):
        assert name in problem
    assert rebuilt.rows["curve"] == 0


def test_a_run_is_loaded_again_as_it_goes_on(project: Project) -> None:
    directory = write_plan(project, "second", {})
    sql = "SELECT status, attempts, exit_code FROM runs WHERE run = 'second'"
    load_run(project.index, directory)
    assert query(project.index, sql).rows == (("unfinished", 0, None),)
    append_events(directory, [RunStarted(run="second", pid=1, nodes=(), resumed=False)])
    load_run(project.index, directory)
    assert query(project.index, sql).rows == (("unfinished", 1, None),)
    append_events(directory, [RunFinished(run="second", status="failed", exit_code=3, message="no data")])
    load_run(project.index, directory)
    assert query(project.index, sql).rows == (("failed", 1, 3),)
    append_events(directory, [RunStarted(run="second", pid=2, nodes=(), resumed=True)])
    load_run(project.index, directory)
    assert query(project.index, sql).rows == (("unfinished", 2, None),)


def test_fingerprints_of_a_run_come_from_events_where_the_plan_has_none(project: Project) -> None:
    write_run(project, "late", {node: f"fp-{node}" for node, _, _ in NODES})
    plan = write_plan(project, "late", {})
    load_run(project.index, plan)
    rows = query(project.index, "SELECT node, fingerprint FROM run_nodes WHERE run = 'late'").rows
    assert dict(rows) == {node: f"fp-{node}" for node, _, _ in NODES}


def test_a_run_without_a_plan_is_refused(project: Project) -> None:
    (project.runs / "starting").mkdir()
    with pytest.raises(IncompleteError, match=r"plan\.json"):
        load_run(project.index, project.runs / "starting")


def test_torn_and_foreign_decision_lines_are_left_out_and_named(project: Project) -> None:
    path = project.decisions / "sign_off.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "d2", "at": "2026')
    (project.decisions / "copy.jsonl").write_bytes(path.read_bytes())
    loaded = load_decisions(project.index, project.decisions)
    assert isinstance(loaded, Loaded) and loaded.rows == 1
    assert [problem.split(": ")[0] for problem in loaded.problems] == [
        f"{project.decisions / 'copy.jsonl'}:2",
        f"{path}:2",
    ]


def test_hostile_text_is_stored_as_it_is(indexed: Project) -> None:
    rows = query(
        indexed.index,
        "SELECT DISTINCT prompt FROM outputs o JOIN samples s USING (fingerprint, position)"
        " WHERE s.doc_id = 3 AND s.suite = 'capitals'",
    ).rows
    assert rows == ((HOSTILE,),)


def test_five_megabytes_of_text_are_stored(project: Project) -> None:
    row = ScoreRow(
        arm="a",
        suite="s",
        task="t",
        metric="acc",
        doc_hash="0",
        doc_id=0,
        value=1.0,
        group="' \" ;",
        output="ü" * 5_000_000,
    )
    directory, _ = commit_artifact(project, "score:a", {}, {"samples.jsonl": [row]})
    assert isinstance(load_artifact(project.index, directory), Loaded)
    sql = "SELECT length(output), group_name FROM outputs JOIN samples USING (fingerprint, position)"
    assert query(project.index, sql).rows == ((5_000_000, "' \" ;"),)


def test_lone_surrogates_are_replaced(project: Project) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE said (number INTEGER, text VARCHAR)")
        sink = Sink(connection)
        sink.add("said", (1, "a\ud800b"))
        sink.flush()
        assert connection.execute("SELECT text FROM said").fetchall() == [("a\ufffdb",)]


def test_a_run_directory_whose_name_is_no_utf8_is_loaded(project: Project) -> None:
    (project.runs / RUN).rename(os.fsdecode(os.fsencode(project.runs) + b"/demo-\xff"))
    (directory,) = project.runs.iterdir()
    load_run(project.index, directory)
    load_run(project.index, directory)
    assert query(project.index, "SELECT run FROM runs").rows == (("demo-\ufffd",),)


@pytest.mark.parametrize("run", ["it's", 'say "hi"', "'; DROP TABLE runs; --", "a b\u202ec", "ünï"])
def test_run_names_with_quotes_and_sql_are_only_names(project: Project, run: str) -> None:
    directory = write_run(project, run, {node: "0" * 64 for node, _, _ in NODES})
    load_run(project.index, directory)
    load_run(project.index, directory)
    assert query(project.index, "SELECT run FROM runs").rows == ((run,),)


def test_a_project_path_with_quotes_works(tmp_path: Path) -> None:
    project = build_project(tmp_path / 'it\'s; a "path"')
    load_everything(project)
    rebuild(project)
    assert query(project.index, "SELECT count(*) FROM runs").rows == ((1,),)


def test_the_index_is_readable_by_its_owner_alone(indexed: Project) -> None:
    assert stat.S_IMODE(indexed.index.stat().st_mode) == 0o600
    rebuild(indexed)
    assert stat.S_IMODE(indexed.index.stat().st_mode) == 0o600


def test_a_part_changed_after_the_commit_is_refused(project: Project) -> None:
    directory = artifact(project, "train")
    with (directory / "curve.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(IncompleteError, match="the manifest says"):
        load_artifact(project.index, directory)


def test_artifacts_being_written_are_not_pending(project: Project) -> None:
    directory = artifact(project, "train")
    shutil.copytree(directory, directory.with_name(".abc.writing"))
    found = pending(project.index, project)
    assert isinstance(found, tuple) and len(found) == 8


def test_a_newer_artifact_is_refused(project: Project) -> None:
    directory = artifact(project, "gate")
    manifest = (directory / "manifest.json").read_text()
    (directory / "manifest.json").write_text(manifest.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(IncompleteError, match="newer version"):
        load_artifact(project.index, directory)


def test_what_earlier_loaders_left_is_caught_up_and_what_cannot_be_read_is_named(project: Project) -> None:
    (artifact(project, "train") / "curve.jsonl").write_text("{}\n")
    loaded = load_pending(project.index, project)
    assert isinstance(loaded, Loaded) and loaded.rows > 300
    assert ["curve.jsonl" in problem for problem in loaded.problems] == [True]
    assert pending(project.index, project) == (artifact(project, "train"),)
    assert query(project.index, "SELECT count(*) FROM artifacts").rows == ((7,),)


def test_ratings_are_rows_of_their_own_and_lines_that_are_none_are_named(project: Project) -> None:
    rating = HumanRating(
        suite="prompts",
        doc_hash="d" * 16,
        before="base@nf4",
        after="candidate",
        prompt="Capital of Peru?",
        before_output="Quito",
        after_output=HOSTILE,
        rater="ada",
        verdict="after",
        shown_first="before",
    )
    withdrawn = rating.model_copy(update={"verdict": "withdrawn"})
    path = project.decisions / "ratings.jsonl"
    path.write_text(f"{rating.model_dump_json()}\nno rating\n{withdrawn.model_dump_json()}\n", encoding="utf-8")
    loaded = load_decisions(project.index, project.decisions)
    assert isinstance(loaded, Loaded) and loaded.problems == (f"{path}:2: is no rating; it was left out",)
    rows = query(project.index, "SELECT contest, position, rater, verdict, after_output FROM ratings ORDER BY 2").rows
    contest = contest_id(rating.prompt, rating.before_output, rating.after_output)
    assert rows == ((contest, 1, "ada", "after", HOSTILE), (contest, 3, "ada", "withdrawn", HOSTILE))
    assert query(project.index, "SELECT count(*) FROM decisions").rows == ((1,),)
    load_decisions(project.index, project.decisions)
    rebuilt = rebuild(project)
    assert (rebuilt.rows["ratings"], rebuilt.decisions) == (2, 1)
