"""Standard benchmarks give lm-eval's own numbers on the documents of the suite; what they need is said beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from score_surroundings import suite_of, write_lines
from standard_rows import ARC, BBH, DROP, GSM8K, HELLASWAG, LAMBADA, MATH, MMLU, TRUTHFULQA, WINOGRANDE, Row

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.records import ScoreRow
from workbench.core.suites import Documents, Suite, fewshot_path, read_documents, read_examples, settings_hash
from workbench.models.loading import LoadedModel
from workbench.score.kinds.registry import KINDS
from workbench.score.scoring import Job
from workbench.score.standard import SUBTASK, check_standard, leaves
from workbench.score.standard_task import standard_task
from workbench.score.tasks import check_suite

SHARED = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"


def standard_suite(name: str, metric: str, *, fewshot: bool = False, **task: Any) -> Suite:
    documents = Documents(file="tests.jsonl", fewshot="tests.fewshot.jsonl" if fewshot else None)
    return suite_of(primary_metric=metric, documents=documents, task={"standard": name, **task})


def our_rows(
    loaded: LoadedModel, suite: Suite, rows: Sequence[Row], examples: Sequence[Row], directory: Path
) -> list[ScoreRow]:
    """Scored as the stage does it, from files."""
    path = directory / "tests.jsonl"
    write_lines(path, rows)
    if suite.documents.fewshot:
        write_lines(directory / suite.documents.fewshot, examples)
    check_suite(suite)
    documents, drawn_from = read_documents(path, suite), read_examples(path, suite)
    job = Job("base", suite, documents, loaded, 3, None, lambda done, total: None, examples=drawn_from)
    return KINDS["lm_eval"](job).rows


def stock_samples(
    loaded: LoadedModel,
    name: str,
    rows: Sequence[Row],
    examples: Sequence[Row],
    shots: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, list[dict[str, Any]]]:
    """What `lm_eval.simple_evaluate` gives when its dataset loader gives the same rows."""
    import datasets
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tasks = leaves(name)

    def load_dataset(path: str, name: str | None = None, **_: Any) -> datasets.DatasetDict:
        task = next(task for task in tasks if task.settings.get("dataset_name") == name)

        def own(given: Sequence[Row]) -> datasets.Dataset:
            of_part = [row for row in given if row.get(SUBTASK, task.name) == task.name]
            return datasets.Dataset.from_list([{k: v for k, v in row.items() if k != SUBTASK} for row in of_part])

        return datasets.DatasetDict(
            {"train": own(examples or rows), "validation": own(rows), "dev": own(examples or rows), "test": own(rows)}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    model = HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=3,
        softmax_dtype="float32",
        max_length=loaded.config.max_length,
    )
    named = sorted({row.get(SUBTASK, tasks[0].name) for row in rows})
    results = lm_eval.simple_evaluate(
        model=model,
        tasks=named,
        num_fewshot=shots,
        task_manager=TaskManager(include_defaults=False, include_path=[str(task.folder) for task in tasks[:1]]),
        bootstrap_iters=0,
    )
    samples: dict[str, list[dict[str, Any]]] = results["samples"]
    return samples


CHOICES = [
    ("arc_challenge", "acc_norm", ARC, [], 0),
    ("arc_easy", "acc", ARC, ARC[::-1], 2),
    ("hellaswag", "acc_norm", HELLASWAG, [], 0),
    ("hellaswag", "acc", HELLASWAG, HELLASWAG[2:], 1),
    ("winogrande", "acc", WINOGRANDE, [], 0),
    ("truthfulqa_mc1", "acc", TRUTHFULQA, [], None),
    ("truthfulqa_mc2", "acc", TRUTHFULQA, [], None),
    ("lambada_openai", "acc", LAMBADA, [], 0),
    ("mmlu", "acc", MMLU, [], 0),
    ("mmlu", "acc", MMLU, [{**row, "question": row["question"] + "?"} for row in MMLU], 2),
]
GENERATED = [
    ("gsm8k", "exact_match", GSM8K[:4], GSM8K[4:], 1),
    ("drop", "f1", DROP, [], 0),
    ("hendrycks_math_algebra", "exact_match", MATH, [], 0),
    ("bbh_zeroshot_boolean_expressions", "exact_match", BBH, [], None),
]


@pytest.fixture(scope="module")
def roomy(tiny: LoadedModel) -> LoadedModel:
    """The tiny model with room for few-shot prompts and lm-eval's own length of answers."""
    from dataclasses import replace

    return replace(tiny, config=tiny.config.model_copy(update={"max_length": 640}))


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's own limit of an answer is 256 tokens; 16 show as much."""
    from lm_eval.models.huggingface import HFLM

    monkeypatch.setattr(HFLM, "max_gen_toks", property(lambda _: 16))


@pytest.mark.usefixtures("short_answers")
@pytest.mark.parametrize(
    ("name", "metric", "rows", "examples", "shots"),
    CHOICES + GENERATED,
    ids=[f"{case[0]}-{case[1]}-{case[4]}" for case in CHOICES + GENERATED],
)
def test_rows_score_as_in_simple_evaluate(
    name: str,
    metric: str,
    rows: list[Row],
    examples: list[Row],
    shots: int | None,
    roomy: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = {} if shots is None else {"num_fewshot": shots}
    suite = standard_suite(name, metric, fewshot=bool(examples), **task)

    ours = our_rows(roomy, suite, rows, examples, tmp_path)
    stock = stock_samples(roomy, name, rows, examples, shots, monkeypatch)

    agree(ours, stock, rows, leaves(name)[0].metrics)


def agree(
    ours: list[ScoreRow], stock: dict[str, list[dict[str, Any]]], rows: list[Row], metrics: Sequence[str]
) -> None:
    """Every value, prompt and output of ours is stock's for the same document, and none is missing."""
    single = len(stock) == 1
    expected = 0
    for name, samples in stock.items():
        places = [place for place, row in enumerate(rows) if single or row[SUBTASK] == name]
        for sample in samples:
            for metric in metrics:
                [row] = [
                    row
                    for row in ours
                    if (row.doc_id, row.filter, row.metric) == (places[sample["doc_id"]], sample["filter"], metric)
                ]
                expected += 1
                assert row.value == pytest.approx(float(sample[metric]), abs=1e-5)
                assert row.prompt == sample["arguments"][0][0]
                if row.output.startswith('{"choice"'):
                    logprobs = [float(resp[0]) for resp in sample["filtered_resps"]]
                    assert json.loads(row.output)["logprobs"] == pytest.approx(logprobs, abs=1e-4)
                elif row.output.startswith('{"logprob"'):
                    [(logprob, greedy)] = sample["filtered_resps"]
                    assert json.loads(row.output) == {"logprob": pytest.approx(logprob, abs=1e-4), "greedy": greedy}
                else:
                    assert row.output == sample["resps"][0][0]
    assert len(ours) == expected > 0


@pytest.mark.usefixtures("short_answers")
def test_the_filter_that_a_suite_names_is_the_only_one_kept(roomy: LoadedModel, tmp_path: Path) -> None:
    suite = standard_suite("gsm8k", "exact_match", num_fewshot=0, filter_list=[{"name": "flexible-extract"}])

    rows = our_rows(roomy, suite, GSM8K[:1], [], tmp_path)

    assert [row.filter for row in rows] == ["flexible-extract"]


def test_documents_of_another_benchmark_are_refused(roomy: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match=r"document 1 does not fit gsm8k|not those of gsm8k"):
        our_rows(roomy, standard_suite("gsm8k", "exact_match", num_fewshot=0), ARC, [], tmp_path)
    with pytest.raises(IncompleteError, match="`subtask` is 'mmlu_zoology'"):
        our_rows(roomy, standard_suite("mmlu", "acc"), [{**MMLU[0], SUBTASK: "mmlu_zoology"}], [], tmp_path)


@pytest.mark.parametrize(
    ("name", "row"),
    [("mmlu_anatomy", MMLU[0]), ("hellaswag", HELLASWAG[0])],
    ids=["mmlu", "hellaswag"],
)
@pytest.mark.parametrize("place", ["4", "-1"])
def test_a_right_choice_that_is_not_there_is_refused_where_lm_eval_counts_it_as_wrong(
    name: str, row: Row, place: str
) -> None:
    wrong = {**row, "answer": int(place)} if "answer" in row else {**row, "label": place}

    with pytest.raises(IncompleteError, match=r"document 2 does not fit .* none of 4"):
        standard_task(leaves(name)[0], [row, wrong], [], 0)


@pytest.mark.parametrize(
    ("name", "metric", "task", "message"),
    [
        ("gsm8", "exact_match", {}, "did you mean 'gsm8k'"),
        ("gsm8k", "acc", {"num_fewshot": 0}, "unknown metric 'acc' for gsm8k; known: exact_match"),
        ("gsm8k", "exact_match", {}, "asked after 5 examples, but documents.fewshot names none"),
        ("gsm8k", "exact_match", {"num_fewshot": 0, "filter_list": [{"name": "loose"}]}, "no filter 'loose'"),
        ("gsm8k", "exact_match", {"num_fewshot": -1}, "whole number"),
        ("gsm8k", "exact_match", {"num_fewshot": 0, "doc_to_text": "{{question}}"}, "only standard, num_fewshot"),
        ("gsm8k", "exact_match", {"process_docs": "!function os.system"}, "only standard, num_fewshot"),
        ("truthfulqa_mc1", "acc", {"num_fewshot": 2}, "asked without examples"),
        ("ifeval", "inst_level_strict_acc", {}, "known: prompt_level_strict_acc, prompt_level_loose_acc"),
        ("gsm8k_cot_self_consistency", "exact_match", {}, "samples several answers"),
    ],
)
def test_what_a_standard_task_cannot_do_is_said_before_a_model_is_loaded(
    name: str, metric: str, task: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_standard(standard_suite(name, metric, **task))


def test_a_library_that_is_missing_is_said_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    ifeval, minerva = (
        standard_suite(name, metric, num_fewshot=0)
        for name, metric in (("ifeval", "prompt_level_strict_acc"), ("minerva_math_algebra", "exact_match"))
    )
    modules = "workbench.score.standard._MODULES"

    monkeypatch.setattr(modules, {"ifeval": ("json", "not_installed"), "minerva_math": ("nor_this",)})
    for suite, name, extra in ((ifeval, "not_installed", "ifeval"), (minerva, "nor_this", "math")):
        with pytest.raises(PrerequisiteError, match=f"libraries that are not installed: {name}") as caught:
            check_standard(suite)
        assert caught.value.next_step == f"pip install 'lm-eval[{extra}]'"
    monkeypatch.setattr(modules, {})
    monkeypatch.setattr("nltk.data.path", [])
    with pytest.raises(PrerequisiteError, match="punkt_tab"):
        check_standard(ifeval)


def test_every_offered_family_is_found_without_importing_lm_eval() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from workbench.score.standard import leaves; "
        "print([len(leaves(n)) for n in ('mmlu','bbh','math','arc','hellaswag','gsm8k','drop','truthfulqa','ifeval',"
        "'winogrande')], 'lm_eval' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "[57, 27, 7, 1, 1, 1, 1, 1, 1, 1] False"


def test_examples_are_part_of_what_must_agree(tmp_path: Path) -> None:
    suite = standard_suite("gsm8k", "exact_match", fewshot=True)
    path = tmp_path / "tests.jsonl"
    write_lines(path, GSM8K[:2])
    write_lines(tmp_path / "tests.fewshot.jsonl", GSM8K[2:])
    before = settings_hash(suite, path)

    write_lines(tmp_path / "tests.fewshot.jsonl", GSM8K[3:])

    assert settings_hash(suite, path) != before
    (tmp_path / "tests.fewshot.jsonl").unlink()
    with pytest.raises(UsageError, match=r"few-shot file tests.fewshot.jsonl does not exist"):
        fewshot_path(path, suite)


@pytest.mark.usefixtures("short_answers")
@pytest.mark.skipif(not SHARED.is_dir(), reason="benchmark files are not here")
def test_published_gsm8k_questions_score_as_in_simple_evaluate(
    roomy: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(name: str, count: int) -> list[Row]:
        with (SHARED / name).open(encoding="utf-8") as stream:
            return [json.loads(next(stream)) for _ in range(count)]

    rows, examples = some("gsm8k_test.jsonl", 4), some("gsm8k_train.jsonl", 60)
    suite = standard_suite("gsm8k", "exact_match", fewshot=True, num_fewshot=2)
    ours = our_rows(roomy, suite, rows, examples, tmp_path)
    stock = stock_samples(roomy, "gsm8k", rows, examples, 2, monkeypatch)

    agree(ours, stock, rows, ["exact_match"])


def test_a_standard_tasks_patterns_are_bounded() -> None:
    import re

    task = standard_task(leaves("gsm8k")[0], GSM8K[:1], [], 0)

    steps = [make() for ensemble in task._filters for make in ensemble.filters]
    patterns = [step.regex for step in steps if hasattr(step, "regex")]
    assert len(patterns) == 2 and not any(isinstance(pattern, re.Pattern) for pattern in patterns)
