"""Tasks of lm-evaluation-harness, through its Python API, one row per document, metric and filter.

    {"question": "The keys to the cabinet", "choices": ["are", "is"], "answer": 0}
    -> ScoreRow(metric="acc", value=1.0, target="are", ...,
                output='{"choice":0,"texts":["are","is"],"logprobs":[-2.1,-2.6]}')

Documents reach lm-eval as a list, not through its dataset loader: no cache on disk, no schema that one odd document
breaks. A document that does not fit the task's templates becomes a row with an error and the others are scored.
"""

from __future__ import annotations

import json
import math
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.outputs import ChoiceOutput
from workbench.core.records import ScoreRow
from workbench.core.suites import Suite, SuiteDocument
from workbench.score.bounded_filters import bound
from workbench.score.dialogue import dialogue_problem, stand_in, template_problems
from workbench.score.harness import harness_model
from workbench.score.metrics.chosen import measure
from workbench.score.metrics.metric import Answered, Reading
from workbench.score.scoring import Job, Scored, score_row
from workbench.score.standard_task import FEWSHOT_SEED
from workbench.score.tasks import filter_names, metric_names, own_metrics, task_settings

_INVALID = "[invalid]"


def score(job: Job) -> Scored:
    """Scores every document of the job's suite; UsageError if its task fits none of them."""
    settings = task_settings(job.suite)
    readable, problems = readable_documents(job.suite, settings, job.documents)
    untellable = template_problems(job.suite, readable, job.loaded.tokenizer, job.system_prompt)
    readable = [document for document in readable if document.doc_id not in untellable]
    problems |= untellable
    rows = [
        row
        for document in job.documents
        if document.doc_id in problems
        for row in _failed_rows(job, settings, document, problems[document.doc_id])
    ]
    if not readable:
        raise UsageError(
            f"no document fits the task: {next(iter(problems.values()))}",
            where=f"suite {job.suite.name}",
            next_step="compare the templates under `task` with the fields of the documents",
        )
    asked = [stand_in(job.suite, document.fields) for document in readable]
    samples, cut_contexts = _evaluate(job, settings, asked)
    cut: set[int] = set()
    own, corpus = _own_readings(job, settings, readable, samples)
    for number, sample in enumerate(samples):
        document = readable[sample["doc_id"]]
        rows += _rows(job, settings, document, sample, own[number])
        if sample["arguments"][0][0] in cut_contexts:
            cut.add(document.doc_id)
    order = {name: position for position, name in enumerate(filter_names(settings))}
    rows.sort(key=lambda row: (order[row.filter], row.doc_id))
    return Scored(rows=rows, truncated=len(cut), corpus=corpus)


def _evaluate(
    job: Job, settings: dict[str, Any], fields: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], set[str]]:
    """lm-eval's samples in its order, and the contexts it cut.

    `evaluate` is what `simple_evaluate` calls; the latter adds half a second of reading the environment per suite.
    """
    from lm_eval.evaluator import evaluate

    model = harness_model(job)
    if _generates(settings):
        check_room(job, settings, model.max_length, model.max_gen_toks)
    loaded = load_task(settings, fields)
    results = evaluate(
        lm=model,
        task_dict=loaded,
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=job.suite.chat,
        fewshot_as_multiturn=job.suite.chat,
    )
    assert results is not None, "lm-eval gives results in the first process"
    return results["samples"][job.suite.name], model.cut_contexts


def check_room(job: Job, settings: dict[str, Any], max_length: int, default_tokens: int) -> None:
    """UsageError if the answers a task asks for leave no room for its prompts."""
    tokens = (settings.get("generation_kwargs") or {}).get("max_gen_toks", default_tokens)
    if tokens >= max_length:
        raise UsageError(
            f"answers of {tokens} tokens leave no room for a prompt within model.max_length {max_length}",
            where=f"suite {job.suite.name}",
            next_step="lower task.generation_kwargs.max_gen_toks or raise model.max_length",
        )


class _Documents(list[dict[str, Any]]):
    """A list with the one attribute lm-eval asks of a dataset."""

    @property
    def features(self) -> dict[str, None]:
        return {name: None for fields in self for name in fields}


def load_task(settings: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """lm-eval's task over the given documents, as `evaluate` takes it."""
    from lm_eval.tasks import TaskManager

    def documents(**_: Any) -> dict[str, _Documents]:
        return {"test": _Documents(fields)}

    loaded: dict[str, Any] = TaskManager(include_defaults=False).load([{**settings, "custom_dataset": documents}])
    loaded["tasks"][settings["task"]].set_fewshot_seed(seed=FEWSHOT_SEED)
    bound(loaded["tasks"][settings["task"]])
    return loaded


def readable_documents(
    suite: Suite, settings: dict[str, Any], documents: list[SuiteDocument]
) -> tuple[list[SuiteDocument], dict[int, str]]:
    """Documents that fit the task, and the problem of each other one by doc_id. The first that fits shapes the task."""
    from jinja2 import TemplateError

    readable: list[SuiteDocument] = []
    problems: dict[int, str] = {}
    task: Any = None
    for document in documents:
        try:
            if task is None:
                task = load_task(settings, [document.fields])["tasks"][settings["task"]]
            _check_document(task, document.fields)
            dialogue_problem(suite, document.fields)
        except (TemplateError, LookupError, TypeError, ValueError, SyntaxError, AttributeError) as error:
            problems[document.doc_id] = f"{type(error).__name__}: {error}"
            task = task if readable else None
        else:
            readable.append(document)
    return readable, problems


def _check_document(task: Any, fields: dict[str, Any]) -> None:
    """ValueError, or whatever the templates raise, if lm-eval could not score the document."""
    text, target = task.doc_to_text(fields), task.doc_to_target(fields)
    if text == "None" or target == "None":
        raise ValueError("a field that the templates use is null")
    if task.OUTPUT_TYPE != "multiple_choice":
        if not isinstance(text, str) or not text:
            raise ValueError(f"doc_to_text gives {text!r}, expected text")
        return
    choices = task.doc_to_choice(fields)
    if not isinstance(choices, list) or len(choices) < 2:
        raise ValueError(f"doc_to_choice gives {choices!r}, expected at least two choices")
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise ValueError("every choice must be a text that is not empty")
    gold = text if isinstance(text, int) else target
    if isinstance(gold, list) != bool(task.multiple_target):
        raise ValueError("some documents have one right choice and others a list of them")
    for right in gold if isinstance(gold, list) else [gold]:
        known = range(len(choices)) if isinstance(right, int) and not isinstance(right, bool) else choices
        if right not in known:
            raise ValueError(f"right choice {right!r} is none of the {len(choices)} choices")


def _own_readings(
    job: Job, settings: dict[str, Any], documents: list[SuiteDocument], samples: list[dict[str, Any]]
) -> tuple[list[dict[str, Reading]], dict[str, float]]:
    """What the workbench's own metrics say of each sample, by metric; and of the answers under the first filter."""
    readings: list[dict[str, Reading]] = [{} for _ in samples]
    corpus: dict[str, float] = {}
    if not _generates(settings):
        return readings, corpus
    unread = invalid_answers(settings)
    first, *others = filter_names(settings)
    for chosen in own_metrics(job.suite):
        for name in (first, *others):
            own = [number for number, sample in enumerate(samples) if sample["filter"] == name]
            measured = measure(
                chosen,
                [_answered(documents[samples[number]["doc_id"]], samples[number], unread) for number in own],
            )
            for number, reading in zip(own, measured.readings, strict=True):
                readings[number][chosen.metric.name] = reading
            if name == first:
                corpus |= measured.corpus
    return readings, corpus


def _generates(settings: dict[str, Any]) -> bool:
    return bool(settings["output_type"] == "generate_until")


def _answered(document: SuiteDocument, sample: dict[str, Any], unread: set[str]) -> Answered:
    answer, target = sample["filtered_resps"][0], sample["target"]
    right = tuple(map(str, target if isinstance(target, list) else [target]))
    return Answered(str(answer), right, document.fields, read=was_read(answer, unread))


def _rows(
    job: Job, settings: dict[str, Any], document: SuiteDocument, sample: dict[str, Any], own: dict[str, Reading]
) -> list[ScoreRow]:
    """One row per metric of one of lm-eval's samples (one document under one filter); `own` are the workbench's."""
    if _generates(settings):
        output, error = str(sample["resps"][0][0]), None
        parsed = was_read(sample["filtered_resps"][0], invalid_answers(settings))
    else:
        output, error = likelihoods(sample, unconditional="acc_mutual_info" in metric_names(settings))
        parsed = True
    context = str(sample["arguments"][0][0])
    names = metric_names(settings)
    readings = {name: Reading(None if error else float(sample[name]), parsed, error) for name in names} | own
    return [
        score_row(
            job,
            document,
            metric=metric,
            value=reading.value,
            filter=sample["filter"],
            parsed=reading.parsed,
            prompt=context,
            target=_target(job, settings, document, sample),
            output=output,
            error=reading.error,
        )
        for metric, reading in readings.items()
    ]


def likelihoods(
    sample: dict[str, Any], texts: list[str] | None = None, *, unconditional: bool = False
) -> tuple[str, str | None]:
    """A `ChoiceOutput` as JSON, or the log-likelihood of a single continuation; and an error if one is not a number.

    `texts` are those of the choices, where they are not what was scored. `unconditional`: every choice was scored once
    more after no context, for `acc_mutual_info`, which is not shown."""
    scores = [(float(loglikelihood), greedy) for loglikelihood, greedy in sample["filtered_resps"]]
    error = None if all(math.isfinite(value) for value, _ in scores) else "a log-likelihood is not a finite number"
    if len(scores) == 1:
        [(value, greedy)] = scores
        return json.dumps({"logprob": None if error else value, "greedy": bool(greedy)}), error
    own = scores[: len(scores) // 2] if unconditional else scores
    logprobs = [value if math.isfinite(value) else None for value, _ in own]
    finite = [value for value in logprobs if value is not None]
    output = ChoiceOutput(
        choice=logprobs.index(max(finite)) if len(finite) == len(own) else None,
        texts=tuple(texts or (str(text).strip() for _, text in sample["arguments"][: len(own)])),
        logprobs=tuple(logprobs),
    )
    return output.model_dump_json(), error


def invalid_answers(settings: dict[str, Any]) -> set[str]:
    """What filters put where they found no answer."""
    steps = [step for entry in settings.get("filter_list") or [] for step in entry["filter"]]
    return {_INVALID, *(step["fallback"] for step in steps if isinstance(step.get("fallback"), str))}


def was_read(answer: object, unread: set[str]) -> bool:
    """Whether the filters left an answer: neither an empty one, nor what they put where there is none."""
    return answer not in unread and bool(str(answer).strip())


def _target(job: Job, settings: dict[str, Any], document: SuiteDocument, sample: dict[str, Any]) -> str:
    """The right answer as text."""
    target = sample["target"]
    arguments = sample["arguments"]
    if settings["output_type"] == "multiple_choice" and isinstance(target, int) and target < len(arguments):
        return str(arguments[target][1]).strip()
    return str(target)


def _failed_rows(job: Job, settings: dict[str, Any], document: SuiteDocument, problem: str) -> list[ScoreRow]:
    """A document that cannot be scored keeps its rows under every filter and metric."""
    own = [chosen.metric.name for chosen in own_metrics(job.suite)] if _generates(settings) else []
    return [
        score_row(job, document, metric=metric, value=None, filter=name, error=problem)
        for name in filter_names(settings)
        for metric in (*metric_names(settings), *own)
    ]
