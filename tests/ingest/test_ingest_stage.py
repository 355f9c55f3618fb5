from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ingest_makers import RunStage, card_of

from workbench.core.cards import Card
from workbench.core.errors import ConfigErrors, IncompleteError, UsageError
from workbench.core.nodes import IngestNode
from workbench.core.parts import read_rows
from workbench.core.records import Quarantined, Record
from workbench.core.stage import Cancelled, Done
from workbench.core.yamlfile import load_model
from workbench.ingest.stage import STAGE


def write_rows_of(path: Path, count: int) -> None:
    rows = [
        {"instruction": f"What is number {number} of the list?", "output": f"It is {number}."}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"instruction": "cut\n')


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_parts_hold_every_row_once(tmp_path: Path, run_stage: RunStage) -> None:
    write_rows_of(tmp_path / "rows.jsonl", 40)
    run = run_stage(card_of("rows.jsonl"))

    assert isinstance(run.outcome, Done)
    train = list(read_rows(run.out / "records.jsonl", Record))
    (bad,) = read_rows(run.out / "quarantine.jsonl", Quarantined)
    heldout, prompts = rows_of(run.out / "heldout.jsonl"), rows_of(run.out / "prompts.jsonl")
    assert sorted([*(record.answer() for record in train), *(row["text"] for row in heldout)]) == sorted(
        f"It is {number}." for number in range(40)
    )
    assert [(row["prompt"], row["reference"]) for row in prompts] == [(row["prompt"], row["text"]) for row in heldout]
    assert (bad.line, bad.reason) == (41, "bad_json")
    assert run.outcome.summary | {"rows": 41, "records": 36, "quarantined": 1, "heldout": 4} == run.outcome.summary
    assert run.outcome.summary["format"] == "alpaca"
    assert any("1 of 41 rows went to quarantine" in warning for warning in run.warnings)


def test_the_same_card_and_seed_give_the_same_bytes_and_another_seed_another_split(
    tmp_path: Path, run_stage: RunStage
) -> None:
    write_rows_of(tmp_path / "rows.jsonl", 60)
    card = card_of("rows.jsonl")
    first, again, other = run_stage(card), run_stage(card), run_stage(card, seed=1)

    for part in ("records.jsonl", "quarantine.jsonl", "heldout.jsonl", "prompts.jsonl"):
        assert (first.out / part).read_bytes() == (again.out / part).read_bytes()
    assert (first.out / "heldout.jsonl").read_bytes() != (other.out / "heldout.jsonl").read_bytes()


def test_documents_give_no_prompts_and_a_card_without_holdout_no_heldout_part(
    tmp_path: Path, run_stage: RunStage
) -> None:
    (tmp_path / "notes.txt").write_text("\n\n".join(f"Paragraph {number} of these notes." for number in range(20)))
    with_holdout = run_stage(card_of("notes.txt"))
    without = run_stage(card_of("notes.txt", heldout_fraction=0))

    names = [sorted(path.name for path in run.out.iterdir()) for run in (with_holdout, without)]
    assert names == [["heldout.jsonl", "quarantine.jsonl", "records.jsonl"], ["quarantine.jsonl", "records.jsonl"]]


def test_data_of_which_nothing_can_be_held_out_says_so(tmp_path: Path, run_stage: RunStage) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "always the same"}\n' * 10)

    with pytest.raises(IncompleteError, match=r"nothing can be held out: 10 records form 1 clusters"):
        run_stage(card_of("rows.jsonl"))


def test_cancelling_stops_a_long_file_and_a_short_one(tmp_path: Path, run_stage: RunStage) -> None:
    for count in (3000, 10):
        write_rows_of(tmp_path / "rows.jsonl", count)
        run = run_stage(card_of("rows.jsonl"), cancelled=True)
        assert run.outcome == Cancelled()
        assert not list(run.out.iterdir())


def test_external_names_every_file_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "data" / name).write_text(name)
    node = IngestNode(card=card_of("data"), seed=0)
    before = STAGE.external(node, tmp_path)
    (tmp_path / "data" / "b.jsonl").write_text("changed")
    after = STAGE.external(node, tmp_path)

    assert before.keys() == {"data/a.jsonl", "data/b.jsonl"}
    assert (
        before["data/a.jsonl"] == "8d6a6f2da8cffa60896c7bef4041abc38892be977ca31c3cb70f7548a8a5a81d"
    )  # printf a.jsonl | sha256sum
    assert before["data/a.jsonl"] == after["data/a.jsonl"] and before["data/b.jsonl"] != after["data/b.jsonl"]


def test_external_of_a_missing_file_is_a_usage_error_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        STAGE.external(IngestNode(card=card_of("absent.jsonl"), seed=0), tmp_path)


def test_unknown_builder_options_are_usage_errors(run_stage: RunStage) -> None:
    for builder, options in (
        ("python-docs", {"choise_items": 3}),
        ("mmlu-dev", {"limit": 3}),
        ("python-docs", {"prompts": 0}),
    ):
        source = {"kind": "builder", "builder": builder, "options": options}
        with pytest.raises(UsageError, match=r"source\.options"):
            run_stage(Card.model_validate({"name": "built", "source": source}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: &a [x]\nb: &b [*a, *a]\nname: x\n", "aliases"),
        ("name: x\nname: y\n", "appears twice"),
        ("name: x\nsource: {kind: file, path: x}\nfromat: alpaca\n", "did you mean 'format'"),
        ("name: x\nsource: {kind: file, path: x}\nformat: alpacca\n", "alpacca"),
    ],
)
def test_hostile_and_misspelled_cards_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "card.yaml").write_text(text)

    with pytest.raises(ConfigErrors, match=message):
        load_model(tmp_path / "card.yaml", Card)


def test_the_stage_is_imported_and_asked_for_its_files_without_heavy_libraries(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    program = f"""
import sys
from pathlib import Path
from workbench.core.cards import Card
from workbench.core.nodes import IngestNode
from workbench.ingest.stage import STAGE
sources = [
    {{"kind": "file", "path": "rows.jsonl"}},
    {{"kind": "hub", "id": "someone/something"}},
    {{"kind": "builder", "builder": "python-docs"}},
    {{"kind": "builder", "builder": "mmlu-dev"}},
]
for source in sources:
    card = Card.model_validate({{"name": "x", "source": source}})
    assert STAGE.external(IngestNode(card=card, seed=0), Path({str(tmp_path)!r}))
heavy = {{"torch", "transformers", "datasets", "pandas", "pyarrow", "lm_eval", "datasketch", "scipy", "numpy", "numba"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
