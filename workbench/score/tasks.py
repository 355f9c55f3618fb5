"""Suites as tasks of lm-evaluation-harness, checked first: there a wrong metric name fails only after the run.

    Suite(kind="lm_eval", primary_metric="acc", task={})
    -> {"task": NAME, "output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "choices",
        "doc_to_target": "answer", "metric_list": [{"metric": "acc", "aggregation": "mean", ...}], ...}

What would run code, need the network or give no number per document is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.suites import Suite
from workbench.score.generation_task import generation_task
from workbench.score.metrics.chosen import Chosen, choose, unknown_metric
from workbench.score.metrics.regex_match import compiled
from workbench.score.metrics.registry import METRICS
from workbench.score.standard import check_standard, is_standard
from workbench.score.suggestions import did_you_mean

DOCUMENT_METRICS: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"),
    "generate_until": ("exact_match",),
    "loglikelihood": ("acc",),
}
"""Metrics of lm-eval with one number per document, by output type: what a paired comparison can use. Generated answers
can also be measured by those of `workbench/score/metrics`; `exact_match` stays lm-eval's."""
_OWN_METRICS = tuple(name for name in METRICS if name not in DOCUMENT_METRICS["generate_until"])
_NO_METRIC = {"metric": "bypass", "aggregation": "bypass", "higher_is_better": True}
"""What lm-eval is asked for where all metrics are the workbench's own."""

_KEYS = (
    "output_type", "doc_to_text", "doc_to_choice", "doc_to_target", "description", "target_delimiter",
    "fewshot_delimiter", "fewshot_config", "num_fewshot", "metric_list", "generation_kwargs", "filter_list",
    "gen_prefix",
)  # fmt: skip
_CODE_KEYS = (
    "process_docs", "process_results", "custom_dataset", "doc_to_image", "doc_to_audio", "unsafe_code", "use_prompt",
)  # fmt: skip
_DATASET_KEYS = (
    "dataset_path", "dataset_name", "dataset_kwargs", "training_split", "validation_split", "test_split",
    "fewshot_split", "task", "tag", "task_alias", "metadata",
)  # fmt: skip
_FEWSHOT_KEYS = (
    "sampler", "samples", "doc_to_text", "doc_to_choice", "doc_to_target", "fewshot_delimiter", "target_delimiter",
)  # fmt: skip
_METRIC_KEYS = (
    "metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation", "ignore_numbers",
    "regexes_to_ignore",
)  # fmt: skip
_FILTERS = ("regex", "multi_choice_regex", "remove_whitespace", "lowercase", "uppercase", "map", "take_first")
_CHOICE_TEMPLATE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
}
KIND_METRICS = {
    "perplexity": ("nll", "bits_per_byte"),
    "kl": ("kl",),
    "safety": ("pass",),
    "judge": ("win_rate",),
    "regression": ("acc", "acc_norm"),
}
"""The primary metrics of each kind that is not a task of lm-eval."""


def check_suite(suite: Suite) -> None:
    """UsageError if the suite cannot be scored as written: unknown metric or task key, code, wrong kind of metric."""
    if suite.kind in KIND_METRICS and suite.primary_metric not in (known := KIND_METRICS[suite.kind]):
        raise unknown_metric(suite, suite.primary_metric, known)
    if suite.kind == "generation":
        generation_task(suite)
    elif suite.kind == "lm_eval" and is_standard(suite):
        check_standard(suite)
    elif suite.kind in ("lm_eval", "regression"):
        task_settings(suite)
    elif suite.task:
        raise UsageError(f"`task` means nothing for kind {suite.kind!r}", where=_where(suite), next_step="remove it")


def task_settings(suite: Suite) -> dict[str, Any]:
    """The suite's task as lm-eval takes it, without documents; UsageError for what would fail or run code."""
    _check_keys(suite)
    settings = {**_CHOICE_TEMPLATE, **suite.task} if _is_choice(suite) else dict(suite.task)
    output_type = settings.get("output_type")
    if not isinstance(output_type, str) or output_type not in DOCUMENT_METRICS:
        raise UsageError(
            f"task.output_type {output_type!r} is not supported; known: {', '.join(DOCUMENT_METRICS)}",
            where=_where(suite),
            next_step="for perplexity use `kind: perplexity`",
        )
    if output_type != "multiple_choice":
        for key in ("doc_to_text", "doc_to_target"):
            if key not in settings:
                raise UsageError(f"task.{key} is missing", where=_where(suite))
    settings["metric_list"] = _metrics(suite, output_type, settings.get("metric_list"))
    settings["task"] = suite.name
    settings["test_split"] = "test"
    settings.setdefault("num_fewshot", 0)
    _check_filters(suite, settings.get("filter_list"))
    _check_fewshot(suite, settings)
    return settings


def metric_names(settings: dict[str, Any]) -> list[str]:
    """Metrics of a task that lm-eval computes, in order."""
    return [metric["metric"] for metric in settings["metric_list"] if metric != _NO_METRIC]


def own_metrics(suite: Suite) -> list[Chosen]:
    """Metrics of a task that the workbench computes of lm-eval's answers, in order; UsageError for bad settings."""
    listed = suite.task.get("metric_list", [{"metric": suite.primary_metric}])
    return choose(suite, [entry for entry in listed if entry["metric"] in _OWN_METRICS])


def filter_names(settings: dict[str, Any]) -> list[str]:
    """Filters of a task, in order; lm-eval calls the absent one `none`."""
    return [entry["name"] for entry in settings.get("filter_list") or [{"name": "none"}]]


def _is_choice(suite: Suite) -> bool:
    return bool(suite.task.get("output_type", "multiple_choice") == "multiple_choice")


def _check_keys(suite: Suite) -> None:
    for key in suite.task:
        if key in _CODE_KEYS:
            raise UsageError(f"task.{key} would run code, which suites cannot do", where=_where(suite))
        if key in _DATASET_KEYS:
            raise UsageError(
                f"task.{key} is set by the program",
                where=_where(suite),
                next_step="name the documents under `documents`",
            )
        if key not in _KEYS:
            raise UsageError(f"task.{key}: unknown key{did_you_mean(key, _KEYS)}", where=_where(suite))
    for place, text in _texts(suite.task, "task"):
        if text.lstrip().startswith("!function"):
            raise UsageError(
                f"{place} names a function, which suites cannot run",
                where=_where(suite),
                next_step="write it as a template, or prepare the documents beforehand",
            )


def _metrics(suite: Suite, output_type: str, given: Any) -> list[dict[str, Any]]:
    known = DOCUMENT_METRICS[output_type] + (_OWN_METRICS if output_type == "generate_until" else ())
    if given is None:
        names = ("acc", "acc_norm") if suite.kind == "lm_eval" and output_type == "multiple_choice" else ()
        given = [{"metric": name} for name in dict.fromkeys((suite.primary_metric, *names))]
    if not isinstance(given, list) or not all(isinstance(entry, dict) and "metric" in entry for entry in given):
        raise UsageError("task.metric_list must be a list of mappings with `metric`", where=_where(suite))
    metrics = []
    for entry in given:
        if entry["metric"] not in known:
            raise unknown_metric(suite, entry["metric"], known)
        if entry["metric"] not in DOCUMENT_METRICS[output_type]:
            continue
        for key in entry:
            if key not in _METRIC_KEYS:
                raise UsageError(
                    f"task.metric_list: unknown key {key!r}{did_you_mean(key, _METRIC_KEYS)}", where=_where(suite)
                )
        ignored = entry.get("regexes_to_ignore") or []
        if not isinstance(ignored, list) or None in ignored:
            raise UsageError("task.metric_list: regexes_to_ignore must be a list of patterns", where=_where(suite))
        for pattern in ignored:
            _check_pattern(suite, f"task.metric_list {entry['metric']}: regexes_to_ignore", pattern)
        metrics.append({**entry, "aggregation": "mean", "higher_is_better": True})
    if suite.primary_metric not in (asked := [entry["metric"] for entry in given]):
        raise unknown_metric(suite, suite.primary_metric, asked)
    if len(metrics) < len(given):
        own_metrics(suite)
    return metrics or [_NO_METRIC]


def _check_filters(suite: Suite, filters: Any) -> None:
    """Filters must be known to lm-eval, run no code and end in one answer per document."""
    if filters is None:
        return
    for entry in filters if isinstance(filters, list) else [filters]:
        steps = entry.get("filter") if isinstance(entry, dict) else None
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("name"), str)
            or not isinstance(steps, list)
            or not steps
        ):
            raise UsageError(
                "task.filter_list must be a list of mappings with `name` and `filter`", where=_where(suite)
            )
        functions = [step.get("function") if isinstance(step, dict) else None for step in steps]
        for function in functions:
            if function not in _FILTERS:
                raise UsageError(
                    f"task.filter_list {entry['name']}: unknown filter {function!r}; known: {', '.join(_FILTERS)}",
                    where=_where(suite),
                )
        for step in steps:
            _check_pattern(suite, f"task.filter_list {entry['name']}: regex_pattern", step.get("regex_pattern"))
            if step.get("regexes_to_ignore"):
                raise UsageError(
                    f"task.filter_list {entry['name']}: regexes_to_ignore of a filter cannot be limited in time",
                    where=_where(suite),
                    next_step="write it into regex_pattern, or beside exact_match in task.metric_list",
                )
        if functions[-1] != "take_first":
            raise UsageError(
                f"task.filter_list {entry['name']}: the last filter must be take_first: one answer per document",
                where=_where(suite),
            )


def _check_pattern(suite: Suite, place: str, pattern: Any) -> None:
    """A pattern must be one for lm-eval, which compiles it, and for the bounded search in its place."""
    if pattern is None:
        return
    if not isinstance(pattern, str):
        raise UsageError(f"{place} {pattern!r} is no text", where=_where(suite))
    try:
        compiled(pattern)
        re.compile(pattern)
    except (ValueError, re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{place}: {error}", where=_where(suite)) from None


def _check_fewshot(suite: Suite, settings: dict[str, Any]) -> None:
    fewshot = settings.get("fewshot_config")
    if fewshot is not None:
        if not isinstance(fewshot, dict):
            raise UsageError("task.fewshot_config must be a mapping", where=_where(suite))
        for key in fewshot:
            if key not in _FEWSHOT_KEYS:
                raise UsageError(
                    f"task.fewshot_config: unknown key {key!r}{did_you_mean(key, _FEWSHOT_KEYS)}", where=_where(suite)
                )
    shots = settings["num_fewshot"]
    if shots and not (fewshot or {}).get("samples"):
        raise UsageError(
            f"task.num_fewshot is {shots}, but there are no examples",
            where=_where(suite),
            next_step="write them under task.fewshot_config.samples: documents as examples would give answers away",
        )


def _where(suite: Suite) -> str:
    return f"suite {suite.name}"


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text inside a task, with its key path."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _texts(inner, f"{place}[{position}]")
