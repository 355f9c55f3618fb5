"""The stage scores a standard suite with its few-shot file, and a change of that file is another node."""

from __future__ import annotations

from score_surroundings import Runner, suite_of, write_lines
from standard_rows import MMLU

from workbench.core.parts import read_rows
from workbench.core.records import ScoreRow
from workbench.core.stage import Done
from workbench.core.suites import Documents
from workbench.score.stage import STAGE


def test_examples_come_from_the_file_beside_the_documents(runner: Runner) -> None:
    documents = Documents(file="bio.jsonl", fewshot="bio.fewshot.jsonl")
    task = {"standard": "mmlu", "num_fewshot": 1}
    suite = suite_of(name="bio", documents=documents, task=task, groups="subtask")
    write_lines(runner.project / "evals" / "bio.jsonl", MMLU)
    examples = runner.project / "evals" / "bio.fewshot.jsonl"
    write_lines(examples, [{**row, "question": "Which one is shown first?"} for row in MMLU])
    node = runner.node(suite)
    before = STAGE.external(node, runner.project)
    ctx = runner.context()

    assert isinstance(STAGE.run(node, {}, ctx), Done)

    rows = list(read_rows(ctx.out_dir / "samples.jsonl", ScoreRow))
    assert [(row.doc_id, row.group) for row in rows] == [(n, row["subtask"]) for n, row in enumerate(MMLU)]
    assert all(row.value is not None and "Which one is shown first?" in row.prompt for row in rows)
    assert all("about anatomy" in row.prompt for row in rows[4:]), "each part is asked with its own description"
    write_lines(examples, MMLU)
    after = STAGE.external(node, runner.project)
    assert {name for name in after if after[name] != before[name]} == {"suite:bio:fewshot"}
