"""Standard suites: rows are fetched once or taken from files, kept with where they come from, and seen to fit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from score_surroundings import write_lines
from standard_rows import ARC, GSM8K, HELLASWAG, MATH, MMLU

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.suites import Suite
from workbench.core.yamlfile import load_model
from workbench.score.standard import leaves
from workbench.score.standard_new import Request, Source, standard_suite
from workbench.score.suite_check import provenance_findings
from workbench.score.tasks import check_suite


def test_a_suite_from_files_keeps_rows_examples_and_their_hashes(tmp_path: Path) -> None:
    evals = tmp_path / "evals"
    write_lines(tmp_path / "test.jsonl", GSM8K[:3])
    write_lines(tmp_path / "train.jsonl", GSM8K[3:])
    request = Request("gsm8k", limit=2, documents=tmp_path / "test.jsonl", examples=tmp_path / "train.jsonl")

    standard_suite("gsm8k", request, evals).write(evals)

    suite = load_model(evals / "gsm8k.yaml", Suite)
    check_suite(suite)
    assert suite.task == {
        "standard": "gsm8k",
        "num_fewshot": 5,
        "filter_list": [{"name": "strict-match"}, {"name": "flexible-extract"}],
    }
    assert suite.text_fields == ("question",), "what the prompt shows is what training data is searched for"
    assert [json.loads(line) for line in (evals / "gsm8k.jsonl").read_text().splitlines()] == GSM8K[:2]
    source = Source.model_validate_json((evals / "gsm8k.provenance.json").read_bytes())
    assert (source.documents, source.examples, source.origin) == (2, 7, "test.jsonl")
    assert source.documents_sha256 == file_sha256(evals / "gsm8k.jsonl")
    assert source.examples_sha256 == file_sha256(evals / "gsm8k.fewshot.jsonl")

    assert list(provenance_findings(suite, evals / "gsm8k.jsonl", None)) == []
    write_lines(evals / "gsm8k.jsonl", GSM8K[:1])
    [found] = provenance_findings(suite, evals / "gsm8k.jsonl", None)
    assert found.text == "gsm8k.jsonl is not the file that was fetched (2 documents)"


def test_a_folder_with_a_file_per_part_makes_one_suite_with_parts(tmp_path: Path) -> None:
    folder = tmp_path / "bbh"
    folder.mkdir()
    for part in ("navigate", "snarks"):
        rows = [{"input": f"{part} {n}: which of these is it?", "target": "(A)"} for n in range(4)]
        (folder / f"{part}.json").write_text(json.dumps({"examples": rows}), encoding="utf-8")

    made = standard_suite("bbh", Request("bbh_zeroshot", limit=3, documents=folder), tmp_path / "evals").new

    assert [row["subtask"] for row in made.rows] == ["bbh_zeroshot_navigate"] * 3 + ["bbh_zeroshot_snarks"] * 3
    assert made.suite.groups == "subtask" and made.suite.text_fields == ("input",)


def math_folder(tmp_path: Path, *stems: str) -> Path:
    """A folder with rows of parts of MATH, each saying which file it is from."""
    folder = tmp_path / "math"
    folder.mkdir()
    for stem in stems:
        rows = [{**row, "problem": f"{stem}: {row['problem']}"} for row in MATH[:1]]
        write_lines(folder / f"{stem}.jsonl", rows)
    return folder


@pytest.mark.parametrize(
    "stems",
    [
        ("algebra", "intermediate_algebra", "prealgebra"),
        ("hendrycks_math_algebra", "intermediate_algebra"),
        ("algebra",),
        ("intermediate_algebra",),
    ],
)
def test_a_part_whose_name_ends_like_anothers_gets_its_own_file(stems: tuple[str, ...], tmp_path: Path) -> None:
    folder = math_folder(tmp_path, *stems)

    made = standard_suite("math", Request("math", documents=folder, shots=0), tmp_path / "evals").new

    found = {row["subtask"].removeprefix("hendrycks_math_"): row["problem"].split(":")[0] for row in made.rows}
    assert found == {stem.removeprefix("hendrycks_math_"): stem for stem in stems}


def test_a_file_of_no_part_or_of_several_is_refused(tmp_path: Path) -> None:
    folder = math_folder(tmp_path, "algebra", "algebar")
    with pytest.raises(UsageError, match="math has no part 'algebar'; did you mean") as caught:
        standard_suite("math", Request("math", documents=folder, shots=0), tmp_path / "evals")
    assert caught.value.where == str(folder / "algebar.jsonl")
    (folder / "algebar.jsonl").rename(folder / "hendrycks_math_algebra.jsonl")
    with pytest.raises(UsageError, match=r"is for hendrycks_math_algebra, and so is algebra.jsonl"):
        standard_suite("math", Request("math", documents=folder, shots=0), tmp_path / "evals")


@pytest.mark.parametrize(
    ("task", "subset", "rows"),
    [
        (
            "mmlu",
            (),
            [{name: row[name] for name in row if name != "subtask"} for row in MMLU],
        ),  # the hub's own `subject`
        ("mmlu", (), MMLU),
        ("math", ("algebra",), MATH),  # one part asked for, and nothing that could say another
    ],
    ids=["subject", "subtask", "one-subset"],
)
def test_rows_of_one_file_know_their_part(task: str, subset: tuple[str, ...], rows: Any, tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", rows)
    request = Request(task, subset, documents=tmp_path / "rows.jsonl", shots=0)

    made = standard_suite("mine", request, tmp_path / "evals").new

    expected = [f"mmlu_{row['subject']}" if task == "mmlu" else "hendrycks_math_algebra" for row in rows]
    assert sorted(row["subtask"] for row in made.rows) == sorted(expected)


def test_a_row_of_an_unknown_part_is_named_not_left_out(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [MMLU[0], {**MMLU[1], "subtask": "mmlu_zoology"}])
    request = Request("mmlu", documents=tmp_path / "rows.jsonl", shots=0)

    with pytest.raises(UsageError, match="mmlu has no part 'mmlu_zoology'") as caught:
        standard_suite("mine", request, tmp_path / "evals")

    assert str(caught.value.where).endswith("rows.jsonl, row 2")


def test_examples_that_were_changed_are_told(tmp_path: Path) -> None:
    evals = tmp_path / "evals"
    write_lines(tmp_path / "test.jsonl", GSM8K[:3])
    write_lines(tmp_path / "train.jsonl", GSM8K[3:])
    request = Request("gsm8k", documents=tmp_path / "test.jsonl", examples=tmp_path / "train.jsonl")
    standard_suite("gsm8k", request, evals).write(evals)
    suite = load_model(evals / "gsm8k.yaml", Suite)

    write_lines(evals / "gsm8k.fewshot.jsonl", GSM8K[4:])

    [found] = provenance_findings(suite, evals / "gsm8k.jsonl", None)
    assert found.text == "gsm8k.fewshot.jsonl is not the file that was fetched (7 examples)"


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path: Path) -> None:
    rows = [{**row, "question": f"{row['question']}\u2028Say how many.\x85"} for row in GSM8K[:2]]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")

    made = standard_suite("mine", Request("gsm8k", documents=tmp_path / "rows.jsonl", shots=0), tmp_path / "evals")

    assert made.new.rows == rows


def test_a_subset_is_one_part_or_refused() -> None:
    assert [task.name for task in leaves("math", ["algebra"])] == ["hendrycks_math_algebra"]
    assert [task.name for task in leaves("mmlu", ["mmlu_anatomy", "virology"])] == ["mmlu_anatomy", "mmlu_virology"]
    assert [task.name for task in leaves("bbh", ["snarks"])] == ["bbh_cot_fewshot_snarks"]
    with pytest.raises(UsageError, match=r"'physics' could be several parts of mmlu: .*mmlu_college_physics"):
        leaves("mmlu", ["physics"])


def test_truthfulqas_answers_are_decided_by_a_share() -> None:
    [task] = leaves("truthfulqa_gen")
    assert task.metrics == ("bleu_acc", "rouge1_acc", "rouge2_acc", "rougeL_acc")


def hub(monkeypatch: pytest.MonkeyPatch, rows: dict[tuple[str | None, str], list[dict[str, Any]]]) -> list[Any]:
    """A hub with these rows by configuration and split; returns what is asked of it."""
    import datasets
    import huggingface_hub

    asked: list[Any] = []

    def dataset_info(self: object, path: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(sha="c0ffee", card_data={"license": "mit"})

    def load_dataset(path: str, name: str | None, *, split: str, revision: str) -> datasets.Dataset:
        asked.append((path, name, split, revision))
        return datasets.Dataset.from_list(rows[name, split])

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_rows_are_fetched_at_one_commit_and_its_licence_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [{name: value for name, value in row.items() if name != "subtask"} for row in MMLU]
    parts = {"virology": plain[:4], "anatomy": plain[4:]}
    asked = hub(monkeypatch, {(name, split): rows for name, rows in parts.items() for split in ("test", "dev")})

    request = Request("mmlu", subset=("anatomy", "mmlu_virology"), limit=3, shots=2)
    made = standard_suite("mmlu", request, tmp_path / "evals")

    assert asked == [
        ("cais/mmlu", part, split, "c0ffee") for part in ("anatomy", "virology") for split in ("test", "dev")
    ]
    assert (len(made.new.rows), len(made.new.examples)) == (6, 8), "the limit is per part, and not of examples"
    assert made.new.suite.licence == "mit" and made.source.revision == "c0ffee"
    assert made.new.suite.documents.fewshot == "mmlu.fewshot.jsonl"


def test_a_group_over_several_datasets_is_not_fetched_from_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub(monkeypatch, {})

    with pytest.raises(UsageError, match="2 datasets: EleutherAI/lambada_openai, cimec/lambada") as caught:
        standard_suite("l", Request("lambada"), tmp_path / "evals")

    assert caught.value.next_step == "make a suite of each: --task lambada_openai, --task lambada_standard"
    assert asked == []


def test_without_the_hub_one_message_says_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"Rowan/hellaswag cannot be fetched") as caught:
        standard_suite("h", Request("hellaswag"), tmp_path / "evals")

    assert "--documents FILE.jsonl" in str(caught.value.next_step)
    assert not (tmp_path / "evals").exists()


def test_text_that_training_data_is_searched_for_is_what_models_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(monkeypatch, {(None, "validation"): HELLASWAG, ("ARC-Challenge", "test"): ARC})

    assert standard_suite("h", Request("hellaswag"), tmp_path).new.suite.text_fields == ("ctx_a",)
    arc = standard_suite("a", Request("arc_challenge"), tmp_path).new.suite
    assert arc.text_fields == ("question",) and arc.primary_metric == "acc_norm"


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (Request("gsm8k", documents=Path("rows.jsonl")), UsageError, "asked after 5 examples"),
        (Request("gsm8k", documents=Path("nope.jsonl"), shots=0), UsageError, "file does not exist"),
        (Request("gsm8k", documents=Path("bad.jsonl"), shots=0), IncompleteError, "bad.jsonl:1: not JSON"),
        (Request("gsm8k", documents=Path("list.json"), shots=0), UsageError, "expected a list of JSON objects"),
        (Request("hellaswag", documents=Path("rows.jsonl")), IncompleteError, "not those of hellaswag"),
        (Request("mmlu", documents=Path("rows.jsonl")), UsageError, "row 1 does not say which part of mmlu it is"),
        (Request("mmlu", subset=("anatomie",)), UsageError, "did you mean 'mmlu_anatomy'"),
        (Request("gsm8k", documents=Path("rows.jsonl"), shots=0, metric="bleu"), UsageError, "unknown metric 'bleu'"),
    ],
)
def test_what_cannot_be_made_is_said(
    request_: Request, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "rows.jsonl", GSM8K)
    (tmp_path / "bad.jsonl").write_text("{broken\n", encoding="utf-8")
    (tmp_path / "list.json").write_text("[1, 2]", encoding="utf-8")

    with pytest.raises(error, match=message):
        standard_suite("x", request_, tmp_path / "evals")

    assert not (tmp_path / "evals").exists()


def test_a_library_that_a_task_needs_is_named(tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("langdetect") is not None:
        pytest.skip("langdetect is installed here")
    write_lines(tmp_path / "rows.jsonl", [{"key": 1, "prompt": "Say it.", "instruction_id_list": [], "kwargs": []}])
    with pytest.raises(PrerequisiteError, match="langdetect") as caught:
        standard_suite("x", Request("ifeval", documents=tmp_path / "rows.jsonl"), tmp_path / "evals")
    assert "lm-eval[ifeval]" in str(caught.value.next_step)
