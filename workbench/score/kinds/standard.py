"""A standard benchmark of lm-eval by name, one row per document, metric and filter.

    suite gsm8k, task {standard: gsm8k, num_fewshot: 5}
    -> ScoreRow(metric="exact_match", filter="strict-match", value=1.0, output="... #### 18", parsed=True)

The values are lm-eval's own, from the task's code in the installed package; documents are the suite's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.core.records import ScoreRow
from workbench.core.suites import SuiteDocument
from workbench.score.harness import harness_model
from workbench.score.kinds.lm_eval import check_room, invalid_answers, likelihoods, was_read
from workbench.score.scoring import Job, Scored, score_row
from workbench.score.standard import SUBTASK, StandardTask, chosen_filters, leaves, shots
from workbench.score.standard_task import by_subtask, standard_task


def score(job: Job) -> Scored:
    """Scores every document; IncompleteError or PrerequisiteError as `standard_task` raises them."""
    from lm_eval.evaluator import evaluate

    tasks = {task.name: task for task in leaves(job.suite.task["standard"])}
    groups = _grouped(job.documents, list(tasks))
    examples = by_subtask(job.examples, list(tasks.values())) if job.examples else {}
    rows = by_subtask([document.fields for document in job.documents], list(tasks.values()))
    loaded = {
        name: standard_task(tasks[name], own, examples.get(name, []), shots(job.suite, tasks[name]))
        for name, own in rows.items()
    }
    model = harness_model(job)
    for name in loaded:
        if tasks[name].settings["output_type"] == "generate_until":
            check_room(job, tasks[name].settings, model.max_length, model.max_gen_toks)
    results = evaluate(
        lm=model,
        task_dict={"tasks": loaded},
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=job.suite.chat,
        fewshot_as_multiturn=job.suite.chat,
    )
    assert results is not None, "lm-eval gives results in the first process"
    scored: list[ScoreRow] = []
    cut: set[int] = set()
    for name, task in loaded.items():
        for sample in results["samples"][name]:
            document = groups[name][sample["doc_id"]]
            scored += _rows(job, tasks[name], task, document, sample)
            if sample["arguments"][0][0] in model.cut_contexts:
                cut.add(document.doc_id)
    filters = {name: place for place, name in enumerate(dict.fromkeys(row.filter for row in scored))}
    scored.sort(key=lambda row: (filters[row.filter], row.doc_id))
    return Scored(rows=scored, truncated=len(cut))


def _grouped(documents: list[SuiteDocument], names: list[str]) -> Mapping[str, list[SuiteDocument]]:
    """Documents of each task, in the order in which lm-eval numbers them."""
    if len(names) == 1:
        return {names[0]: documents}
    return {name: [document for document in documents if document.fields.get(SUBTASK) == name] for name in names}


def _rows(
    job: Job, task: StandardTask, loaded: Any, document: SuiteDocument, sample: dict[str, Any]
) -> Iterator[ScoreRow]:
    """One row per metric of one of lm-eval's samples, if its filter is among the suite's."""
    if sample["filter"] not in chosen_filters(job.suite, task):
        return
    error: str | None = None
    target = sample["target"]
    if task.settings["output_type"] == "generate_until":
        output = str(sample["resps"][0][0])
        parsed = was_read(sample["filtered_resps"][0], invalid_answers(task.settings))
    else:
        choices = loaded.doc_to_choice(sample["doc"]) if loaded.OUTPUT_TYPE == "multiple_choice" else []
        output, error = likelihoods(sample, [str(choice) for choice in choices])
        parsed = True
        target = sample["arguments"][target][1] if isinstance(target, int) else target
    for metric in task.metrics:
        yield score_row(
            job,
            document,
            metric=metric,
            value=None if error else float(sample[metric]),
            filter=sample["filter"],
            parsed=parsed,
            prompt=str(sample["arguments"][0][0]),
            target=str(target).strip(),
            output=output,
            error=error,
        )
