"""The lm_eval kind against stock lm-eval on the same documents, and what it does with documents that do not fit."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from score_surroundings import CHOICES, documents_of, suite_of, values, write_lines

from workbench.core.errors import UsageError
from workbench.core.fingerprints import short_id
from workbench.models.loading import LoadedModel
from workbench.score.kinds import lm_eval, regression
from workbench.score.scoring import Job
from workbench.score.tasks import check_suite

LONG_AND_SHORT = [
    *CHOICES,
    {"question": "word " * 80, "choices": ["is longer than the model", "is longer than all"], "answer": 1},
    {"question": "", "choices": ["He runs every day.", "He run every day."], "answer": 0},
    {"question": "Count one, two,", "choices": ["three", "three, four", "three, four, five"], "answer": 2},
]
GENERATION = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "ignore_case": True}],
    "filter_list": [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "is (\\d+)"}, {"function": "take_first"}]},
        {"name": "whole", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
    ],
}


def stock(
    tiny: LoadedModel, documents: list[dict[str, Any]], directory: Path, batch_size: int, **task: Any
) -> list[dict[str, Any]]:
    """Samples of lm-eval's own entry point, its own dataset loader and its own model class."""
    import lm_eval as harness
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    path = directory / "stock.jsonl"
    write_lines(path, documents)
    config = {
        "task": "stock",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(directory / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        **task,
    }
    model = HFLM(
        pretrained=tiny.model, tokenizer=tiny.tokenizer, batch_size=batch_size, softmax_dtype="float32", max_length=64
    )
    results = harness.simple_evaluate(
        model=model, tasks=[config], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0
    )
    samples: list[dict[str, Any]] = results["samples"]["stock"]
    return samples


@pytest.mark.parametrize(("head_apart", "batch_size"), [(True, 1), (True, 16), (False, 3)])
def test_choice_rows_equal_stock_lm_eval(
    tiny: LoadedModel,
    job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    head_apart: bool,
    batch_size: int,
) -> None:
    monkeypatch.setattr("workbench.models.heads.separable", lambda model: head_apart)
    metrics = [{"metric": name} for name in ("acc", "acc_norm", "acc_bytes")]
    rows = lm_eval.score(job(LONG_AND_SHORT, batch_size=batch_size, task={"metric_list": metrics})).rows

    expected = stock(tiny, LONG_AND_SHORT, tmp_path, batch_size, metric_list=metrics)

    for metric in ("acc", "acc_norm", "acc_bytes"):
        assert values(rows, metric) == [sample[metric] for sample in expected]
    assert set(values(rows, "acc")) == {0.0, 1.0}, "a test of five equal values would prove little"
    outputs = [json.loads(row.output)["logprobs"] for row in rows if row.metric == "acc"]
    wanted = [[loglikelihood for loglikelihood, _ in sample["filtered_resps"]] for sample in expected]
    if head_apart:
        wanted = [pytest.approx(logprobs, abs=1e-5) for logprobs in wanted]
    assert outputs == wanted
    assert [json.loads(row.output)["texts"] for row in rows if row.metric == "acc"] == [
        document["choices"] for document in LONG_AND_SHORT
    ]


def test_a_continuation_scored_alone_equals_stock_lm_eval(
    tiny: LoadedModel, job: Callable[..., Job], tmp_path: Path
) -> None:
    task = {"output_type": "loglikelihood", "doc_to_text": "{{question}}", "doc_to_target": "{{choices[answer]}}"}
    rows = lm_eval.score(job(CHOICES, task=task)).rows

    expected = stock(tiny, CHOICES, tmp_path, 4, doc_to_choice=None, metric_list=[{"metric": "acc"}], **task)

    assert [row.value for row in rows] == [float(sample["acc"]) for sample in expected]
    outputs = [json.loads(row.output) for row in rows]
    resps = [sample["filtered_resps"][0] for sample in expected]
    assert [output["logprob"] for output in outputs] == pytest.approx([value for value, _ in resps], abs=1e-5)
    assert [output["greedy"] for output in outputs] == [greedy for _, greedy in resps]
    assert [row.target.strip() for row in rows] == [document["choices"][document["answer"]] for document in CHOICES]


def test_mutual_information_equals_stock_lm_eval_and_shows_the_choices_once(
    tiny: LoadedModel, job: Callable[..., Job], tmp_path: Path
) -> None:
    metrics = [{"metric": "acc_mutual_info"}, {"metric": "acc"}]
    rows = lm_eval.score(job(CHOICES, primary_metric="acc_mutual_info", task={"metric_list": metrics})).rows

    expected = stock(tiny, CHOICES, tmp_path, 4, metric_list=metrics)

    for metric in ("acc_mutual_info", "acc"):
        assert values(rows, metric) == [float(sample[metric]) for sample in expected]
    outputs = [json.loads(row.output) for row in rows if row.metric == "acc"]
    assert [output["texts"] for output in outputs] == [document["choices"] for document in CHOICES]
    assert [
        float(output["choice"] == document["answer"]) for output, document in zip(outputs, CHOICES, strict=True)
    ] == (values(rows, "acc"))


@pytest.mark.parametrize("task", [{}, GENERATION], ids=["choices", "answers"])
def test_progress_counts_what_is_scored_and_not_the_check(
    tiny: LoadedModel, job: Callable[..., Job], task: dict[str, Any]
) -> None:
    settings = {"task": task, "primary_metric": "exact_match"} if task else {}
    heard: list[tuple[int, int]] = []
    unchecked = replace(tiny, model=copy.deepcopy(tiny.model))
    given = replace(job(CHOICES, batch_size=8, **settings), loaded=unchecked)

    lm_eval.score(replace(given, on_batch=lambda done, total: heard.append((done, total))))

    everything = len(CHOICES) if task else sum(len(document["choices"]) for document in CHOICES)
    assert heard == [(everything, everything)], "one batch holds all of it"


def test_generation_rows_equal_stock_lm_eval_under_every_filter(
    tiny: LoadedModel, job: Callable[..., Job], tmp_path: Path
) -> None:
    given = {"primary_metric": "exact_match", "task": GENERATION}
    rows = lm_eval.score(job(CHOICES[:4], batch_size=1, **given)).rows

    expected = stock(tiny, CHOICES[:4], tmp_path, 4, doc_to_choice=None, **GENERATION)

    assert [(row.filter, row.value, row.output) for row in rows] == [
        (sample["filter"], sample["exact_match"], sample["resps"][0][0]) for sample in expected
    ]
    assert len(rows) == 8


def test_an_answer_that_no_filter_finds_is_counted_as_unparsed(job: Callable[..., Job]) -> None:
    rows = lm_eval.score(job(CHOICES, primary_metric="exact_match", task=GENERATION)).rows

    assert [row.parsed for row in rows if row.filter == "strict"] == [False] * 5
    assert [row.parsed for row in rows if row.filter == "whole"] == [True] * 5
    assert values(rows, "exact_match", "strict") == [0.0] * 5
    assert all(row.output for row in rows), "the raw answer is kept"


def test_equal_documents_are_told_apart_by_occurrence(job: Callable[..., Job]) -> None:
    rows = [row for row in lm_eval.score(job(CHOICES)).rows if row.metric == "acc"]

    assert documents_of(rows) == [
        (short_id(CHOICES[0]), 0),
        (short_id(CHOICES[1]), 0),
        (short_id(CHOICES[2]), 0),
        (short_id(CHOICES[3]), 0),
        (short_id(CHOICES[2]), 1),
    ]


def test_groups_and_clusters_come_from_the_documents_fields(job: Callable[..., Job]) -> None:
    rows = [row for row in lm_eval.score(job(CHOICES, groups="kind", cluster="question")).rows if row.metric == "acc"]

    assert [row.group for row in rows] == ["a", "b", "a", "b", "a"]
    assert [row.cluster for row in rows] == [document["question"] for document in CHOICES]
    assert [row.target for row in rows] == ["are here", "four", "green", "white", "green"]


@pytest.mark.parametrize("position", [0, 2])
@pytest.mark.parametrize(
    "broken",
    [
        {"question": "no choices", "answer": 0},
        {"question": "text instead of a list", "choices": 7, "answer": 0},
        {"question": "right choice out of range", "choices": ["a", "b"], "answer": 2},
        {"question": "negative", "choices": ["a", "b"], "answer": -1},
        {"question": "an empty choice", "choices": ["a", ""], "answer": 0},
        {"question": None, "choices": ["a", "b"], "answer": 0, "odd": {"shape": [1]}},
        {"choices": ["a", "b"], "answer": 0},
    ],
)
def test_a_document_that_does_not_fit_is_a_row_with_an_error(
    job: Callable[..., Job], broken: dict[str, Any], position: int
) -> None:
    documents = [*CHOICES[:position], broken, *CHOICES[position:]]

    rows = [row for row in lm_eval.score(job(documents)).rows if row.metric == "acc"]

    assert len(rows) == 6
    failed = [row for row in rows if row.error]
    assert [(row.doc_id, row.value) for row in failed] == [(position, None)]
    without = [row for row in lm_eval.score(job(CHOICES)).rows if row.metric == "acc"]
    assert [row.value for row in rows if not row.error] == [row.value for row in without]


def test_a_choice_longer_than_the_model_is_a_row_with_an_error(job: Callable[..., Job]) -> None:
    long = {"question": "Say", "choices": ["yes", "no " * 100], "answer": 0}

    rows = [row for row in lm_eval.score(job([*CHOICES, long])).rows if row.metric == "acc"]

    assert [row.error is not None for row in rows] == [False] * 5 + [True]
    assert rows[-1].value is None
    assert rows[-1].error is not None and "not a finite number" in rows[-1].error


def test_a_prompt_that_is_cut_is_counted(job: Callable[..., Job]) -> None:
    long = {"question": "word " * 100, "choices": ["yes", "no"], "answer": 0}

    scored = lm_eval.score(job([*CHOICES, long]))

    assert scored.truncated == 1
    assert all(row.error is None for row in scored.rows)


def test_a_task_that_fits_no_document_is_a_usage_error(job: Callable[..., Job]) -> None:
    task = {"doc_to_text": "{{questoin}}"}

    with pytest.raises(UsageError, match=r"no document fits the task.*questoin"):
        lm_eval.score(job(CHOICES, task=task))


def test_few_shot_examples_stand_in_the_prompt(job: Callable[..., Job]) -> None:
    samples = [{"question": "Coal is", "choices": ["black", "pink"], "answer": 0}]
    task = {"num_fewshot": 1, "fewshot_config": {"sampler": "first_n", "samples": samples}}

    rows = lm_eval.score(job(CHOICES, task=task)).rows

    assert rows[0].prompt == "Coal is black\n\nThe keys to the cabinet"


def test_a_chat_suite_goes_through_the_template_without_its_own_system_prompt(job: Callable[..., Job]) -> None:
    plain = lm_eval.score(job(CHOICES, chat=True))
    with_system = lm_eval.score(replace(job(CHOICES, chat=True), system_prompt="Be brief."))

    assert plain.rows[0].prompt == "<|im_start|>user\nThe keys to the cabinet<|im_end|>\n<|im_start|>assistant\n"
    assert with_system.rows[0].prompt.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_regression_rows_are_those_of_the_choice_task(job: Callable[..., Job]) -> None:
    frozen = regression.score(job(CHOICES, kind="regression")).rows

    assert [row.value for row in frozen] == values(lm_eval.score(job(CHOICES)).rows, "acc")
    assert {row.metric for row in frozen} == {"acc"}


def test_progress_reaches_the_number_of_rows(job: Callable[..., Job]) -> None:
    heard: list[tuple[int, int]] = []

    long = [{**document, "question": f"word {document['question']} " * 30} for document in CHOICES]
    lm_eval.score(replace(job(long, batch_size=1), on_batch=lambda done, total: heard.append((done, total))))

    assert heard[-1][0] <= heard[-1][1] == 11
    assert len(heard) >= 2


def test_scoring_opens_no_connection(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"connection to {address!r}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)

    assert lm_eval.score(job(CHOICES)).rows


def regex(pattern: object) -> list[dict[str, Any]]:
    """A list of one filter that searches with the pattern."""
    steps = [{"function": "regex", "regex_pattern": pattern}, {"function": "take_first"}]
    return [{"name": "x", "filter": steps}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary_metric": "accc"}, r"unknown metric 'accc'.*did you mean 'acc'\?.*known: acc, acc_norm"),
        ({"task": {"metric_list": [{"metric": "rouge1"}]}}, "unknown metric 'rouge1'"),
        ({"task": {"metric_list": [{"metric": "acc_norm"}]}}, "unknown metric 'acc'.*known: acc_norm"),
        (
            {"task": {**GENERATION, "metric_list": [{"metric": "ter"}]}, "primary_metric": "ter"},
            "unknown metric 'ter'",
        ),
        ({"kind": "perplexity", "primary_metric": "acc"}, "unknown metric 'acc'.*known: nll"),
        ({"kind": "safety", "primary_metric": "acc"}, "known: pass"),
        ({"kind": "perplexity", "primary_metric": "nll", "task": {"doc_to_text": "x"}}, "means nothing"),
        ({"task": {"process_results": "!function code.f"}}, "would run code"),
        ({"task": {"doc_to_text": "!function code.f"}}, "names a function"),
        ({"task": {"filter_list": [{"name": "x", "filter": [{"function": "custom"}]}]}}, "unknown filter 'custom'"),
        ({"task": {"filter_list": [{"name": "x", "filter": [{"function": "lowercase"}]}]}}, "take_first"),
        ({"task": {"filter_list": regex("(")}}, "filter_list x: regex_pattern: .*missing"),
        ({"task": {"filter_list": regex(3)}}, "filter_list x: regex_pattern 3 is no text"),
        ({"task": {"filter_list": regex("a" * 2001)}}, "filter_list x: .*longer than 2000"),
        # One that the bounded search takes and lm-eval does not.
        ({"task": {"filter_list": regex(r"(?|(a)|(b))")}}, "filter_list x: regex_pattern"),
        ({"task": {"output_type": ["generate_until"]}}, "not supported"),
        ({"task": {"dataset_path": "gsm8k"}}, "is set by the program"),
        ({"task": {"doc_to_txt": "x"}}, "unknown key; did you mean 'doc_to_text'"),
        ({"task": {"num_fewshot": 5}}, "no examples"),
        ({"task": {"output_type": "loglikelihood_rolling"}}, "not supported"),
        ({"task": {"output_type": "generate_until"}, "primary_metric": "exact_match"}, "doc_to_text is missing"),
        ({"task": {"metric_list": [{"metric": "acc", "hf_evaluate": True}]}}, "unknown key 'hf_evaluate'"),
    ],
)
def test_a_suite_that_cannot_work_is_refused_before_anything_runs(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_suite(suite_of(**settings))
    assert caught.value.where == "suite tests"


def test_an_answer_length_that_leaves_no_room_is_refused(job: Callable[..., Job]) -> None:
    task = {**GENERATION, "generation_kwargs": {"until": ["\n"], "max_gen_toks": 64}}

    with pytest.raises(UsageError, match="leave no room"):
        lm_eval.score(job(CHOICES, primary_metric="exact_match", task=task))
