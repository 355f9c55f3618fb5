"""`workbench curate FILE` and `workbench restore` as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import Shown, workbench

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError, WorkbenchError
from workbench.core.paths import Project

ROWS = [
    *({"instruction": f"Name a number above {n}, please.", "output": f"It is {n + 1}."} for n in range(20)),
    {"instruction": "Name a number above 3, please.", "output": "It is 4."},
    {"instruction": "Say nothing at all.", "output": ""},
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [json.dumps(row) for row in ROWS]
    lines.insert(5, '{"instruction": "cut o')
    (tmp_path / "mine.jsonl").write_text("".join(line + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def curate(*arguments: str) -> Shown:
    """Words instead of tokens: learning a tokenizer takes seconds."""
    return workbench("curate", *arguments, "--quiet", "--set", "curate.count_tokens=false")


def kept(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_alone_gives_the_whole_page(project: Path) -> None:
    page = curate("mine.jsonl").out
    for words in (
        "mine: 23 rows of mine.jsonl, read as alpaca 22",
        "1 rows could not be read",
        "bad_json (1)",
        "mine.jsonl:6: not JSON",
        "22 rows in, 20 kept (90.9%)",
        "exact_duplicate  drop            1          1    4.5%",
        "why: same text as row 3",
        "why: the answer is empty",
        "2 rows, all the same text",
        "Length of the kept rows in words",
        "Balance of the kept rows",
        "none was searched for",
    ):
        assert words in page, f"{words!r} not in\n{page}"
    assert max(map(len, page.splitlines())) <= 110 or "artifacts" in max(page.splitlines(), key=len)


def test_json_has_all_of_it(project: Path) -> None:
    document = curate("mine.jsonl", "--json", "-o", "kept.jsonl").document
    assert document["schema_version"] == 1
    assert document["ingest"]["rows"] == 23 and document["ingest"]["files"] == ["mine.jsonl"]
    bad = document["quarantine"][0]
    assert (bad["reason"], bad["rows"], bad["examples"][0]["line"]) == ("bad_json", 1, 6)
    assert document["funnel"]["rows_out"] == 20 and document["funnel"]["lengths"]["unit"] == "words"
    assert {reason["reason"] for reason in document["funnel"]["reasons"]} >= {"exact_duplicate", "empty_output"}
    assert document["funnel"]["largest_clusters"][0]["rows"] == 2 and document["funnel"]["balance"]
    assert document["output"] == {"kept": {"file": "kept.jsonl", "rows": 20}}
    assert (Path(document["artifact"]) / "dropped.jsonl").is_file()


def test_outputs_hold_what_was_kept_and_what_was_dropped_with_reasons(project: Path) -> None:
    import pyarrow.parquet as pq

    written = curate("mine.jsonl", "-o", "out/kept.parquet", "--dropped", "out/dropped.jsonl").error
    assert "20 kept written to out/kept.parquet" in written
    rows = pq.read_table("out/kept.parquet").to_pylist()
    assert [row["messages"][0]["content"] for row in rows] == [row["instruction"] for row in ROWS[:20]]
    dropped = kept(project / "out" / "dropped.jsonl")
    first_reasons = [row["dropped"]["findings"][0]["reason"] for row in dropped]
    assert first_reasons == ["exact_duplicate", "empty_output"]
    assert dropped[0]["dropped"]["line"] == 22 and dropped[0]["messages"][1]["content"] == "It is 4."


def test_signatures_load_into_the_lsh_index_of_datasketch(project: Path) -> None:
    import pyarrow.parquet as pq
    from datasketch import LeanMinHash, MinHashLSH

    curate("mine.jsonl", "--export-lsh", "signatures.parquet")
    table = pq.read_table("signatures.parquet")
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert table.num_rows == 20
    index = MinHashLSH(num_perm=int(about["num_perm"]), params=(int(about["bands"]), int(about["rows"])))
    for row in table.to_pylist():
        sketch = LeanMinHash(seed=int(about["seed"]), hashvalues=row["signature"], scheme=about["scheme"])
        index.insert(row["id"], sketch)
        assert row["id"] in index.query(sketch)


def test_evaluation_data_in_a_file_is_searched_for(project: Path) -> None:
    question = "Which planet of the solar system has the shortest day of all the planets there are?"
    (project / "exam.jsonl").write_text(json.dumps({"question": question, "answer": "Jupiter"}) + "\n")
    with (project / "mine.jsonl").open("a") as stream:
        stream.write(json.dumps({"instruction": f"Quiz: {question}", "output": "Jupiter, I think."}) + "\n")
    document = curate("mine.jsonl", "--against", "exam.jsonl", "--json").document
    found = {reason["reason"]: reason for reason in document["funnel"]["reasons"]}
    assert found["contaminated"]["rows"] == 1 and document["suites"] == ["exam"]
    assert "exam" in found["contaminated"]["examples"][0]


def test_every_suite_of_the_project_is_searched_for_unless_one_is_named(project: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    (project / "evals").mkdir()
    for name in ("capitals", "arithmetic"):
        for suffix in (".yaml", ".jsonl"):
            shutil.copy(repository / "evals" / f"{name}{suffix}", project / "evals")
    assert curate("mine.jsonl", "--json").document["suites"] == ["arithmetic", "capitals"]
    assert curate("mine.jsonl", "--no-suites", "--json").document["suites"] == []
    assert curate("mine.jsonl", "--suite", "capitals", "--json").document["suites"] == ["capitals"]


def test_suites_and_cards_are_looked_for_where_the_project_keeps_them(project: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    (project / "workbench.yaml").write_text("suites_dir: checks\ndatasets_dir: cards\n")
    for directory in ("checks", "cards"):
        (project / directory).mkdir()
    for suffix in (".yaml", ".jsonl"):
        shutil.copy(repository / "evals" / f"capitals{suffix}", project / "checks")
    (project / "exam.jsonl").write_text(json.dumps(ROWS[3]) + "\n")
    (project / "cards" / "final.yaml").write_text("name: final\nsource: {kind: file, path: exam.jsonl}\n")
    document = curate("mine.jsonl", "--against", "final", "--json").document
    assert document["suites"] == ["capitals", "final"]


def test_the_project_file_says_how_its_data_is_cleaned(project: Path) -> None:
    (project / "workbench.yaml").write_text("curate: {exact_duplicates: false, near_duplicates: {enabled: false}}\n")
    reasons = {reason["reason"] for reason in curate("mine.jsonl", "--json").document["funnel"]["reasons"]}
    assert not reasons & {"exact_duplicate", "near_duplicate"}


def test_a_saved_index_keeps_what_is_new_and_the_same_command_comes_from_the_cache(project: Path) -> None:
    first = curate("mine.jsonl", "--index", "known", "--json").document
    again = curate("mine.jsonl", "--index", "known", "--json").document
    assert again["funnel"] == first["funnel"] and again["artifact"] == first["artifact"]
    new = {"instruction": "What is the opposite of a reef knot, if there is one?", "output": "Nobody knows that."}
    (project / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*ROWS[:10], new]))
    more = curate("more.jsonl", "--index", "known", "--json", "-o", "new.jsonl").document
    assert more["funnel"]["rows_out"] == 1
    assert kept(project / "new.jsonl")[0]["messages"][0]["content"] == new["instruction"]
    assert "in the saved index" in more["funnel"]["reasons"][0]["examples"][0]


@pytest.fixture
def days(project: Path) -> Path:
    """Two files: what Monday has, Tuesday has too."""
    rows = [
        {"instruction": f"Say {word} {times} times.", "output": f"{word} " * times}
        for word, times in (("owl", 4), ("elk", 20), ("new", 5))
    ]
    for name, some in (("monday", rows[:2]), ("tuesday", rows)):
        (project / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return project


STRICT = ("--set", "curate.max_words=15")


def kept_of(project: Path, name: str, *settings: str) -> list[str]:
    """The words that are kept of a day's file, which joins the index."""
    shared = ("--index", "known", "--no-suites", "--set", "curate.actions={too_long: drop}", "-o", "kept.jsonl")
    curate(f"{name}.jsonl", *shared, *settings)
    return [row["messages"][1]["content"].split()[0] for row in kept(project / "kept.jsonl")]


def test_the_same_file_curated_in_another_way_renews_its_part_of_the_index(days: Path) -> None:
    assert kept_of(days, "monday", *STRICT) == ["owl"]
    assert kept_of(days, "monday") == ["owl", "elk"]
    assert kept_of(days, "tuesday") == ["new"], "what a looser filter keeps is known"
    assert kept_of(days, "monday", *STRICT) == ["owl"]
    assert kept_of(days, "tuesday") == ["elk", "new"], "what a stricter filter drops is not known any more"


def test_a_run_that_ends_before_the_index_is_renewed_is_completed_by_the_next(
    days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_of(days, "monday", *STRICT) == ["owl"]
    with monkeypatch.context() as dying:
        dying.setattr("workbench.loop.run.extend_index", lambda *_: None)
        assert kept_of(days, "monday") == ["owl", "elk"]
    assert kept_of(days, "monday") == ["owl", "elk"]
    assert kept_of(days, "tuesday") == ["new"]


def test_an_entry_of_llama_factory_is_read_by_its_name(project: Path) -> None:
    entry = {"file_name": "mine.jsonl", "columns": {"prompt": "instruction", "response": "output"}}
    (project / "dataset_info.json").write_text(json.dumps({"numbers": entry}))
    document = curate("dataset_info.json", "--entry", "numbers", "--json").document
    assert document["ingest"]["records"] == 22


def link_to(target: Path, name: str, *, hard: bool) -> str:
    path = target.with_name(name)
    path.hardlink_to(target) if hard else path.symlink_to(target)
    return name


@pytest.mark.parametrize(
    "arguments",
    [
        ["mine.jsonl", "-o", "mine.jsonl"],
        ["mine.jsonl", "-o", "./folder/../mine.jsonl"],
        ["mine.jsonl", "-o", "soft.jsonl"],
        ["mine.jsonl", "-o", "hard.jsonl"],
        ["soft.jsonl", "--dropped", "mine.jsonl"],
        ["mine.jsonl", "--dropped", "mine.jsonl"],
        ["folder", "-o", "folder/part.jsonl"],
        ["fold*/*.jsonl", "--dropped", "folder/part.jsonl"],
        ["mine.jsonl", "--against", "exam.jsonl", "-o", "exam.jsonl"],
        ["mine.jsonl", "--against", "exam.jsonl", "--dropped", "exam.jsonl"],
        ["dataset_info.json", "--entry", "numbers", "-o", "mine.jsonl"],
        ["mine.jsonl", "--suite", "capitals", "-o", "evals/capitals.jsonl"],
        ["table.parquet", "--export-lsh", "table.parquet"],
        ["table.parquet", "--export-lsh", "hard.parquet"],
        ["mine.jsonl", "--index", "mine.jsonl"],
        ["folder", "--index", "folder"],
        ["mine.jsonl", "--index", "known", "-o", "known/rows.jsonl"],
    ],
)
def test_no_output_may_be_a_file_that_is_read(project: Path, arguments: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    repository = Path(__file__).resolve().parents[2]
    for folder in ("folder", "evals"):
        (project / folder).mkdir()
    for suffix in (".yaml", ".jsonl"):
        shutil.copy(repository / "evals" / f"capitals{suffix}", project / "evals")
    for name in ("folder/part.jsonl", "exam.jsonl"):
        (project / name).write_text(json.dumps(ROWS[0]) + "\n")
    columns = {"prompt": "instruction", "response": "output"}
    entry = {"file_name": "mine.jsonl", "columns": columns}
    (project / "dataset_info.json").write_text(json.dumps({"numbers": entry}))
    pq.write_table(pa.Table.from_pylist(ROWS), project / "table.parquet")
    link_to(project / "mine.jsonl", "soft.jsonl", hard=False)
    link_to(project / "mine.jsonl", "hard.jsonl", hard=True)
    link_to(project / "table.parquet", "hard.parquet", hard=True)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"is read, so|in the saved index|a directory, this is a file|no saved index"):
        curate(*arguments)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_columns_that_were_not_read_are_said_everywhere(project: Path) -> None:
    (project / "more.jsonl").write_text("".join(json.dumps({**row, "hint": "think", "id": 1}) + "\n" for row in ROWS))
    assert curate("more.jsonl", "--json").document["ingest"]["unread_columns"] == "hint (22 rows)"
    assert "were not read: hint (22 rows)" in curate("more.jsonl").out
    dry = curate("more.jsonl", "--dry-run", "--json").document
    assert dry["first_rows"]["unread_columns"] == {"hint": 22}


def test_bad_answers_in_a_label_of_ones_and_zeros_stay_marked(project: Path) -> None:
    rows = [{"prompt": f"Say number {n} aloud.", "completion": f"{n}, aloud.", "label": n % 2} for n in range(20)]
    (project / "kto.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = curate("kto.jsonl", "--json", "-o", "kept.jsonl").document
    assert document["ingest"]["judgments"] == "good 10, bad 10"
    assert {row["label"] for row in kept(project / "kept.jsonl")} == {True, False}


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(project: Path) -> None:
    before = sorted(path.name for path in project.rglob("*"))
    document = workbench("curate", "mine.jsonl", "--dry-run", "--json", "--max-length", "300").document
    assert document["first_rows"] == {"rows": 23, "shapes": {"alpaca": 22}, "quarantined": {"bad_json": 1}}
    assert document["files"][0]["file"] == "mine.jsonl" and "empty_output" in document["filters"]
    assert document["max_length"] == 300 and [node["cached"] for node in document["nodes"]] == [False, False]
    shown = workbench("curate", "mine.jsonl", "--dry-run").out
    assert "alpaca 22; for quarantine: bad_json 1" in shown
    assert sorted(path.name for path in project.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["nothing.jsonl"], UsageError, "no such file"),
        ([""], UsageError, "no such file"),
        (["hub:"], UsageError, "names no hub dataset"),
        (["mine.jsonl", "-o", "kept.csv"], UsageError, "cannot write .csv"),
        (["mine.jsonl", "--dropped", "x.parquet"], UsageError, "cannot write .parquet"),
        (["mine.jsonl", "-o", "x.jsonl", "--dropped", "x.jsonl"], UsageError, "same name"),
        (["mine.jsonl", "--suite", "nope"], UsageError, "no suite named"),
        (["mine.jsonl", "--against", "nope"], UsageError, "no dataset card named"),
        (["mine.jsonl", "--against", "no/such.jsonl"], UsageError, "no such file"),
        (["mine.jsonl", "--format", "alpacca"], UsageError, "alpacca"),
        (["mine.jsonl", "--model", "pypi:no-such-model"], PrerequisiteError, "no-such-model"),
        (["mine.jsonl", "--set", "curate.actions={refusl: drop}"], UsageError, "did you mean 'refusal'"),
        (["mine.jsonl", "--set", "curate.fliters=[]"], UsageError, "did you mean 'filters'"),
        (["mine.jsonl", "--entry", "x"], WorkbenchError, "mine.jsonl"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    project: Path, arguments: list[str], error: type[WorkbenchError], words: str
) -> None:
    with pytest.raises(error, match=words):
        workbench("curate", *arguments)
    assert not (project / ".workbench" / "runs").exists()


def test_an_index_of_other_settings_is_refused_before_any_work(project: Path) -> None:
    curate("mine.jsonl", "--index", "known")
    with pytest.raises(UsageError, match="other settings"):
        curate("mine.jsonl", "--index", "known", "--set", "curate.near_duplicates.ngram=3")


def test_without_a_chosen_limit_long_rows_are_flagged_and_with_one_dropped(project: Path) -> None:
    from workbench.cli.commands.curate import _config

    def actions(model: str | None = None, max_length: int | None = None, *settings: str) -> dict[str, str]:
        return dict(_config(Project(project), [], [], model, max_length, None, list(settings)).curate.actions)

    assert actions() == {"too_long": "flag", "no_trainable_tokens": "flag"}
    assert actions(max_length=256) == actions("some/model") == actions(None, None, "train.max_length=256") == {}


def test_a_dropped_record_comes_back_and_goes_again(project: Path) -> None:
    curate("mine.jsonl", "--dropped", "dropped.jsonl")
    empty = next(row["dropped"]["id"] for row in kept(project / "dropped.jsonl") if not row["messages"][1]["content"])
    with pytest.raises(UsageError, match="a reason is needed"):
        workbench("restore", empty)
    with pytest.raises(UsageError, match="no dropped record has the id '0000'"):
        workbench("restore", empty, "0000", "--reason", "why not")
    assert workbench("restore", "--list").out == ""

    made = workbench("restore", empty, "--reason", "silence is right here", "--who", "Ada", "--json").document
    decision = made["decisions"][0]
    assert (decision["kind"], decision["verdict"], decision["target"]) == ("restore", "restore", empty)
    funnel = curate("mine.jsonl", "--json").document["funnel"]
    assert (funnel["rows_out"], funnel["restored"]) == (21, 1)
    assert "silence is right here" in workbench("restore", "--list").out

    workbench("restore", "--withdraw", empty)
    assert workbench("restore", "--list").out == ""
    funnel = curate("mine.jsonl", "--json").document["funnel"]
    assert (funnel["rows_out"], funnel["restored"]) == (20, 0)
    with pytest.raises(UsageError, match="not restored"):
        workbench("restore", "--withdraw", empty)


def test_restore_wants_one_thing_at_a_time(project: Path) -> None:
    for arguments in ([], ["0000", "--list"], ["0000", "--withdraw", "0000"]):
        with pytest.raises(UsageError, match="give ids to restore"):
            workbench("restore", *arguments)


def test_nothing_left_ends_in_three(project: Path) -> None:
    (project / "empty.jsonl").write_text(json.dumps({"instruction": "Say nothing.", "output": ""}) + "\n")
    shown = curate("empty.jsonl", "--json")
    assert shown.code == IncompleteError.exit_code and "nothing is left of 1 records" in shown.error
    assert shown.document["error"]["exit_code"] == 3


@pytest.mark.parametrize("options", [[], ["--index", "known"]])
def test_nothing_left_leaves_the_evidence(project: Path, options: list[str]) -> None:
    (project / "empty.jsonl").write_text(json.dumps({"instruction": "Say nothing.", "output": ""}) + "\n")
    outputs = ("-o", "kept.jsonl", "--dropped", "dropped.jsonl", "--export-lsh", "signatures.parquet")
    for _ in range(2):  # the second time from the cache
        shown = curate("empty.jsonl", *outputs, *options)
        assert shown.code == 3 and "1 rows in, 0 kept" in shown.out and "empty_output" in shown.out
        assert [row["dropped"]["findings"][0]["reason"] for row in kept(project / "dropped.jsonl")] == ["empty_output"]
        assert kept(project / "kept.jsonl") == []
        (project / "dropped.jsonl").unlink()
    document = curate("empty.jsonl", "--json", *options).document
    assert (document["funnel"]["rows_in"], document["funnel"]["rows_out"], document["error"]["exit_code"]) == (1, 0, 3)


def test_rows_that_an_index_holds_are_all_dropped_and_written(project: Path) -> None:
    curate("mine.jsonl", "--index", "known")
    shutil.copy(project / "mine.jsonl", project / "again.jsonl")
    assert curate("again.jsonl", "--index", "known", "--dropped", "dropped.jsonl").code == 3
    assert len(kept(project / "dropped.jsonl")) == 22


def test_a_stopped_curation_says_the_command_that_continues_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.cli.starting._StopRequested.__call__", lambda _: True)
    monkeypatch.setattr("sys.argv", ["workbench", "curate", "mine.jsonl", "-q"])
    shown = curate("mine.jsonl")
    assert "resume" not in shown.error
    assert "the same command again goes on where it was: workbench curate mine.jsonl -q" in shown.error


def test_a_file_name_that_is_not_utf8_is_refused_with_what_to_do(project: Path) -> None:
    name = os.fsdecode(b"\xff.jsonl")
    shutil.copy(project / "mine.jsonl", project / name)
    for arguments in ([name], *(["mine.jsonl", option, name] for option in ("-o", "--against", "--index"))):
        with pytest.raises(UsageError, match=r"not UTF-8.*\n.*rename"):
            curate(*arguments)
    assert not (project / ".workbench" / "runs").exists()
    (project / "mine.jsonl").unlink()
    assert curate(".", "--json").document["ingest"]["records"] == 22
