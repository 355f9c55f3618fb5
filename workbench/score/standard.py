"""The standard benchmarks by name: what lm-evaluation-harness ships about them, read without importing it.

    leaves("mmlu", ("anatomy",))  ->  [StandardTask(name="mmlu_anatomy", settings={"dataset_path": "cais/mmlu", ...})]

    kind: lm_eval
    documents: {file: gsm8k.jsonl, fewshot: gsm8k.fewshot.jsonl}
    primary_metric: exact_match
    task: {standard: gsm8k, num_fewshot: 5, filter_list: [{name: strict-match}]}

Prompts, few-shot examples, answer extraction and metrics are those of the installed package, functions included; a
suite can name a task and choose among its filters, nothing more. Documents of a task that has parts carry the part's
name under `subtask`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from workbench.core.errors import PrerequisiteError, UsageError
from workbench.core.suites import Suite
from workbench.score.suggestions import did_you_mean

FOLDERS = (
    "arc", "bbh", "commonsense_qa", "drop", "gsm8k", "hellaswag", "hendrycks_math", "ifeval", "lambada",
    "minerva_math", "mmlu/default", "openbookqa", "piqa", "sciq", "truthfulqa", "winogrande",
)  # fmt: skip
"""Folders of lm-eval's tasks that are offered: the others are many, and most need what is not installed."""
ALIASES = {"math": "hendrycks_math", "arc": "arc_challenge", "truthfulqa": "truthfulqa_mc1"}
"""Short names of benchmarks that lm-eval has under another one."""
SUBTASK = "subtask"
"""Document field with the name of the part that a document belongs to."""
_KEYS = ("standard", "num_fewshot", "filter_list")
_DEFAULT_METRICS = {
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
    "loglikelihood": ("acc",),
}
_UNSCALED = ("_max", "_diff")
"""Endings of TruthfulQA's metrics that are no shares: similarities up to 100, and differences of two."""
_GROUP_ENTRY = "group"
_EXTRAS = {"ifeval": "ifeval", "minerva_math": "math"}
"""What lm-eval calls the libraries that the tasks of a folder need."""
_MODULES = {"ifeval": ("langdetect", "immutabledict", "nltk"), "minerva_math": ("sympy", "math_verify", "antlr4")}


@dataclass(frozen=True, slots=True)
class StandardTask:
    """One task that lm-eval ships, without parts of its own."""

    name: str
    folder: Path
    settings: dict[str, Any]
    """Its YAML with what it includes; functions as text."""

    @property
    def split(self) -> str:
        """The part of the dataset that is scored: its test rows, or where they have no answers, its validation rows."""
        return str(self.settings.get("test_split") or self.settings["validation_split"])

    @property
    def fewshot_split(self) -> str | None:
        """The part of the dataset that examples are drawn from; None if the task brings its own."""
        config = self.settings.get("fewshot_config") or {}
        if config.get("samples"):
            return None
        order = ("fewshot_split", "training_split", "validation_split", "test_split")
        named = config.get("split") or next((self.settings[key] for key in order if self.settings.get(key)), None)
        return None if named is None else str(named)

    @property
    def shots(self) -> int:
        """Examples before a question unless the suite says otherwise."""
        return int(self.settings.get("num_fewshot") or 0)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics with one number per document: those that lm-eval averages."""
        listed = self.settings.get("metric_list")
        if listed is None:
            return _DEFAULT_METRICS[self.settings["output_type"]]
        averaged = [entry["metric"] for entry in listed if entry.get("aggregation", "mean") == "mean"]
        return tuple(metric for metric in averaged if not metric.endswith(_UNSCALED))

    @property
    def filters(self) -> tuple[str, ...]:
        """Ways of reading an answer; lm-eval calls the absent one `none`."""
        return tuple(entry["name"] for entry in self.settings.get("filter_list") or [{"name": "none"}])


def is_standard(suite: Suite) -> bool:
    """Whether the suite's task is one that lm-eval ships."""
    return "standard" in suite.task


def leaves(name: str, subset: Sequence[str] = ()) -> list[StandardTask]:
    """The tasks behind a name, in lm-eval's order: one, or the parts of a group, `subset` of them if given.

    A part may be named without the group's name. UsageError lists the names there are; PrerequisiteError without
    lm-eval.
    """
    index = _index()
    wanted = ALIASES.get(name, name)
    if wanted not in index:
        hint = did_you_mean(name, [*index, *ALIASES]) or f"; known: {', '.join(_top_names(index))}"
        raise UsageError(f"no standard task {name!r}{hint}", where="standard")
    found = [_task(leaf, index) for leaf in dict.fromkeys(_expanded(wanted, index))]
    chosen = found if not subset else [part_of(part, name, found, "--subset") for part in dict.fromkeys(subset)]
    for task in chosen:
        _refuse_unfit(task)
    return chosen


def part_of(part: str, group: str, found: Sequence[StandardTask], where: str) -> StandardTask:
    """The one task of the group's that `part` names, with the group's name before it or without.

    `algebra` of `math` is `hendrycks_math_algebra`, not `hendrycks_math_intermediate_algebra`. UsageError if none is
    called so, or several are."""
    exact = [task for task in found if task.name in (part, f"{ALIASES.get(group, group)}_{part}")]
    meant = exact or [task for task in found if task.name.endswith(f"_{part}")]
    if len(meant) == 1:
        return meant[0]
    names = [task.name for task in meant or found]
    if meant:
        raise UsageError(f"{part!r} could be several parts of {group}: {', '.join(names)}", where=where)
    hint = did_you_mean(part, names, cutoff=0.4) or f"; parts: {', '.join(names)}"
    raise UsageError(f"{group} has no part {part!r}{hint}", where=where)


def check_libraries(tasks: Sequence[StandardTask]) -> None:
    """PrerequisiteError with the install command if the code of a task needs what is not installed."""
    for task in tasks:
        missing = [name for name in _MODULES.get(task.folder.name, ()) if importlib.util.find_spec(name) is None]
        if missing:
            raise PrerequisiteError(
                f"{task.name} needs libraries that are not installed: {', '.join(missing)}",
                where="standard",
                next_step=install_command(task),
            )
        if task.folder.name == "ifeval" and not _splits_sentences():
            raise PrerequisiteError(
                f"{task.name} counts sentences with nltk's punkt_tab, which is not here",
                where="standard",
                next_step="python -m nltk.downloader punkt_tab",
            )


def _splits_sentences() -> bool:
    # 1 s: nltk
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        return False
    return True


def install_command(task: StandardTask) -> str:
    """How the libraries of a task's code are installed."""
    return f"pip install 'lm-eval[{_EXTRAS.get(task.folder.name, 'tasks')}]'"


def shots(suite: Suite, task: StandardTask) -> int:
    """Examples before each question of the suite."""
    return int(suite.task.get("num_fewshot", task.shots))


def chosen_filters(suite: Suite, task: StandardTask) -> list[str]:
    """Filters whose rows are kept; the first decides."""
    listed = suite.task.get("filter_list")
    return list(task.filters) if listed is None else [entry["name"] for entry in listed]


def check_standard(suite: Suite) -> None:
    """UsageError if the suite cannot be scored: unknown task, key, filter or metric, or examples it does not have;
    PrerequisiteError if its task needs what is not installed."""
    where = f"suite {suite.name}"
    for key in suite.task:
        if key not in _KEYS:
            raise UsageError(
                f"task.{key}: a standard task is lm-eval's own; only {', '.join(_KEYS)} can be set", where=where
            )
    if not isinstance(suite.task["standard"], str):
        raise UsageError("task.standard must be the name of a task", where=where)
    wanted = suite.task.get("num_fewshot", 0)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        raise UsageError(f"task.num_fewshot must be a whole number, got {wanted!r}", where=where)
    tasks = leaves(suite.task["standard"])
    for task in tasks:
        if suite.primary_metric not in task.metrics:
            raise UsageError(
                f"unknown metric {suite.primary_metric!r} for {task.name}; known: {', '.join(task.metrics)}",
                where=where,
            )
        _check_filters(suite, task, where)
        _check_shots(suite, task, where)
    check_libraries(tasks)


def _check_filters(suite: Suite, task: StandardTask, where: str) -> None:
    listed = suite.task.get("filter_list")
    if listed is None:
        return
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) and "name" in one for one in listed):
        raise UsageError("task.filter_list must be a list of mappings with `name`", where=where)
    for entry in listed:
        if entry["name"] not in task.filters or set(entry) != {"name"}:
            raise UsageError(
                f"task.filter_list: {task.name} has no filter {entry['name']!r}; known: {', '.join(task.filters)}",
                where=where,
                next_step="a standard task's filters are chosen by name",
            )


def _check_shots(suite: Suite, task: StandardTask, where: str) -> None:
    wanted = shots(suite, task)
    if task.settings.get("num_fewshot") == 0 and wanted:
        raise UsageError(f"{task.name} is asked without examples; task.num_fewshot must be 0", where=where)
    if wanted and task.fewshot_split is not None and suite.documents.fewshot is None:
        raise UsageError(
            f"{task.name} is asked after {wanted} examples, but documents.fewshot names none",
            where=where,
            next_step=f"workbench suite new {suite.name} --task {task.name} --fewshot-documents FILE.jsonl",
        )


def _refuse_unfit(task: StandardTask) -> None:
    """What cannot be scored document by document, or would run generated code."""
    settings = task.settings
    problem = None
    if settings.get("output_type") not in _DEFAULT_METRICS:
        problem = f"is of type {settings.get('output_type')!r}"
    elif settings.get("unsafe_code"):
        problem = "runs code that a model wrote"
    elif (settings.get("repeats") or 1) > 1:
        problem = "samples several answers to each question"
    elif not task.metrics:
        problem = "has no metric with one number per document"
    if problem is not None:
        raise UsageError(f"{task.name} {problem}, which suites cannot score", where="standard")


@cache
def _root() -> Path:
    """lm-eval's folder of tasks, found without importing the package."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise PrerequisiteError("lm-eval is not installed", next_step="pip install lm-eval")
    return Path(spec.origin).parent / "tasks"


@cache
def _index() -> dict[str, Path | list[str]]:
    """Name to the YAML file of a task or group, or to the tasks that carry it as a tag; 0.2 s."""
    index: dict[str, Path | list[str]] = {}
    tags: dict[str, list[str]] = {}
    for folder in FOLDERS:
        for path in sorted((_root() / folder).rglob("*.yaml")):
            own = _load(path, include=False)
            name = own.get(_GROUP_ENTRY, own.get("task"))
            if not isinstance(name, str):
                continue
            index[name] = path
            marked = own.get("tag") or []
            for tag in [marked] if isinstance(marked, str) else marked:
                tags.setdefault(tag, []).append(name)
    return {**tags, **index}


def _top_names(index: dict[str, Path | list[str]]) -> list[str]:
    """Names to suggest: groups, and tasks that belong to none."""
    files = [name for name, entry in index.items() if isinstance(entry, Path)]
    parts = {leaf for name in files for leaf in _expanded(name, index) if leaf != name}
    return [name for name in files if name not in parts]


def _members(name: str, entry: Path | list[str]) -> list[str]:
    if isinstance(entry, list):
        return [member for member in entry if member != name]
    own = _load(entry, include=False)
    return [str(member) for member in own["task"]] if _GROUP_ENTRY in own else []


def _expanded(name: str, index: dict[str, Path | list[str]]) -> Iterator[str]:
    entry = index[name]
    if isinstance(entry, Path) and _GROUP_ENTRY not in _load(entry, include=False):
        yield name
        return
    for member in _members(name, entry):
        yield from _expanded(member, index)


def _task(name: str, index: dict[str, Path | list[str]]) -> StandardTask:
    path = index[name]
    assert isinstance(path, Path), "tags are expanded"
    return StandardTask(name, path.parent, _load(path, include=True))


def _load(path: Path, *, include: bool) -> dict[str, Any]:
    """One of lm-eval's YAML files; what it includes comes first, its own keys win. Functions stay text."""
    # The package's own files; the loader makes plain values, and text of the one tag they use.
    own: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    if not include or "include" not in own:
        return own
    named = own.pop("include")
    merged: dict[str, Any] = {}
    for one in [named] if isinstance(named, str) else named:
        merged |= _load(path.parent / one, include=True)
    return merged | own


class _Loader(yaml.SafeLoader):
    """YAML of plain values and `!function`."""


def _function(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    """A function of lm-eval by its name; it is not loaded here."""
    return f"!function {loader.construct_scalar(node)}"


_Loader.add_constructor("!function", _function)
