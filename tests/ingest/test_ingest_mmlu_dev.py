from __future__ import annotations

import json
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from ingest_makers import RunStage

from workbench.core.cards import Card
from workbench.core.errors import IncompleteError, PrerequisiteError
from workbench.core.stage import Done
from workbench.ingest.builders import mmlu_dev

CARD = Card.model_validate({"name": "mmlu-dev", "source": {"kind": "builder", "builder": "mmlu-dev"}})


def test_questions_choices_and_answers_are_those_of_the_shipped_tasks(run_stage: RunStage) -> None:
    run = run_stage(CARD)
    rows = [json.loads(line) for line in (run.out / "choice.jsonl").read_text().splitlines()]
    rationales = [json.loads(line) for line in (run.out / "heldout.jsonl").read_text().splitlines()]

    assert len(rows) == len(rationales) == 281
    assert len({row["group"] for row in rows}) == 57
    assert all(len(row["choices"]) == 4 and 0 <= row["answer"] < 4 for row in rows)
    assert (run.out / "records.jsonl").read_bytes() == b""
    assert isinstance(run.outcome, Done) and run.outcome.summary["records"] == 0
    # The task files hold the same questions a second time, as YAML.
    tasks = Path(str(metadata.distribution("lm-eval").locate_file("lm_eval/tasks/mmlu/flan_cot_fewshot")))
    samples = yaml.safe_load((tasks / "mmlu_astronomy.yaml").read_text())["fewshot_config"]["samples"]
    read = {row["question"]: row for row in rows if row["group"] == "astronomy"}
    reasons = {row["cluster"]: row["text"] for row in rationales}
    for sample in samples:
        question, _, letters = sample["question"].strip().rpartition("\n")
        row = read[question]
        assert letters == " ".join(
            f"({letter}) {choice}" for letter, choice in zip("ABCD", row["choices"], strict=True)
        )
        assert sample["target"].endswith(f"The answer is ({'ABCD'[row['answer']]}).")
        assert " ".join(reasons[row["cluster"]].split()) in " ".join(sample["target"].split())


def test_answers_are_not_all_in_one_place(run_stage: RunStage) -> None:
    rows = [json.loads(line) for line in (run_stage(CARD).out / "choice.jsonl").read_text().splitlines()]

    assert min(Counter(row["answer"] for row in rows).values()) > 40


def test_without_lm_eval_the_error_says_what_to_install(run_stage: RunStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmlu_dev, "_DISTRIBUTION", "no-such-distribution-anywhere")
    with pytest.raises(PrerequisiteError, match="pip install lm-eval"):
        run_stage(CARD)
    monkeypatch.undo()
    monkeypatch.setattr(mmlu_dev, "_FILE", "lm_eval/tasks/no_such_file.json")
    with pytest.raises(PrerequisiteError, match="has no file"):
        run_stage(CARD)


def test_a_file_without_questions_is_empty_data(
    tmp_path: Path, run_stage: RunStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts.json").write_text('{"anatomy": "no question here"}')
    monkeypatch.setattr(mmlu_dev, "_path", lambda: tmp_path / "prompts.json")

    with pytest.raises(IncompleteError, match="made nothing"):
        run_stage(CARD)
