"""A suite of a standard benchmark: its rows are fetched from the hub once, or taken from files, and kept with it.

    standard_suite("gsm8k", Request("gsm8k", limit=200), suites_dir)
    -> NewSuite(suite: task {standard: gsm8k, num_fewshot: 5}, rows: 200, examples: 7473)
       and Source(dataset="openai/gsm8k", revision="e53f048...", licence="mit", documents_sha256=...)

From then on nothing asks the hub: curation reads the rows as they are, and every run scores the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.parts import write_model
from workbench.core.suites import Suite
from workbench.core.wire import Wire
from workbench.core.yamlfile import validate
from workbench.score.standard import SUBTASK, StandardTask, check_libraries, check_standard, leaves, part_of
from workbench.score.standard_task import Row, by_subtask, quiet, standard_task
from workbench.score.suite_new import NewSuite, detectable_margin, refuse_existing
from workbench.score.suite_rows import rows_of

_PREFERRED = ("acc_norm", "f1", "bleu_acc")
"""Metrics that decide where a task has them, as in the tables that are published."""
_LOOKED_AT = 20
_LEAST_CHARS = 20
"""A field this long that stands in the prompt is text that training data could contain."""
_LOOKUP_TIMEOUT_S = 20
_ENDINGS = (".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    task: str
    subset: tuple[str, ...] = ()
    limit: int | None = None
    """Rows per part, from the start, as lm-eval counts them."""
    shots: int | None = None
    documents: Path | None = None
    """Rows from a file, or from a folder with a file per part, in place of the hub."""
    examples: Path | None = None
    """The same for what examples are drawn from."""
    role: str = "general"
    metric: str | None = None


class Source(Wire):
    """Where a standard suite's rows come from; stands beside them as NAME.provenance.json."""

    standard: str
    tasks: tuple[str, ...]
    """lm-eval's tasks that the rows belong to."""
    lm_eval: str
    """Version whose prompts and metrics were checked against the rows."""
    origin: str
    """`hub`, or the name of the file."""
    datasets: tuple[str, ...]
    """Dataset, configuration and split on the hub."""
    revision: str | None
    """Commit of the dataset; None where files were given."""
    licence: str
    documents: int
    examples: int
    documents_sha256: str = ""
    examples_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class StandardSuite:
    """A standard suite that is ready to be written."""

    new: NewSuite
    source: Source

    def write(self, suites_dir: Path) -> None:
        """Writes rows, examples, where they come from, and the YAML."""
        suite = self.new.suite
        assert suite.documents.file is not None, "standard suites keep their documents in a file"
        self.new.write(suites_dir)
        rows = suites_dir / suite.documents.file
        examples = None if suite.documents.fewshot is None else file_sha256(suites_dir / suite.documents.fewshot)
        hashes = {"documents_sha256": file_sha256(rows), "examples_sha256": examples}
        write_model(rows.with_suffix(".provenance.json"), self.source.model_copy(update=hashes))


@dataclass(frozen=True, slots=True)
class _Fetched:
    rows: list[Row]
    examples: list[Row]
    revision: str | None = None
    licence: str = "unknown"


def standard_suite(name: str, request: Request, suites_dir: Path) -> StandardSuite:
    """The suite, with rows that lm-eval's task was seen to take.

    UsageError for what there is not, PrerequisiteError where the hub or a library is missing, IncompleteError for rows
    that are not the task's.
    """
    refuse_existing(name, suites_dir)
    tasks = leaves(request.task, request.subset)
    check_libraries(tasks)
    shots = _shots(tasks, request)
    drawn = shots > 0 and tasks[0].fewshot_split is not None
    if request.documents is None:
        fetched = _from_hub(tasks, request, drawn=drawn)
    else:
        fetched = _from_files(tasks, request, drawn=drawn)
    group = leaves(request.task)
    rows = by_subtask(fetched.rows, group)
    examples = by_subtask(fetched.examples, group) if fetched.examples else {}
    present = [task for task in group if task.name in rows]
    texts = [_text_fields(task, rows[task.name], examples.get(task.name, []), shots) for task in present]
    notes = [f"{request.task}: {len(fetched.rows)} documents, {shots} examples before each question"]
    metric = request.metric or _metric(tasks[0])
    task_settings: dict[str, Any] = {"standard": request.task, "num_fewshot": shots}
    if tasks[0].filters != ("none",):
        task_settings["filter_list"] = [{"name": one} for one in tasks[0].filters]
        notes.append(f"answers are read by {', '.join(tasks[0].filters)}; the first decides")
    values: dict[str, Any] = {
        "name": name,
        "description": f"lm-eval's {request.task}, {_origin(request)}.",
        "licence": fetched.licence,
        "kind": "lm_eval",
        "role": request.role,
        "documents": {"file": f"{name}.jsonl"} | ({"fewshot": f"{name}.fewshot.jsonl"} if drawn else {}),
        "primary_metric": metric,
        "task": task_settings,
        "text_fields": list(dict.fromkeys(field for fields in texts for field in fields)),
        "margin": detectable_margin("lm_eval", metric, len(fetched.rows), notes),
    }
    if len(group) > 1:
        values["groups"] = SUBTASK
    suite = validate(values, Suite, file=str(suites_dir / f"{name}.yaml"))
    check_standard(suite)
    source = Source(
        standard=request.task,
        tasks=tuple(task.name for task in present),
        lm_eval=metadata.version("lm-eval"),
        origin="hub" if request.documents is None else request.documents.name,
        datasets=tuple(dict.fromkeys(_dataset(task) for task in present)),
        revision=fetched.revision,
        licence=fetched.licence,
        documents=len(fetched.rows),
        examples=len(fetched.examples),
    )
    return StandardSuite(NewSuite(suite, fetched.rows, notes, tuple(fetched.examples)), source)


def _shots(tasks: list[StandardTask], request: Request) -> int:
    return tasks[0].shots if request.shots is None else request.shots


def _metric(task: StandardTask) -> str:
    return next((metric for metric in _PREFERRED if metric in task.metrics), task.metrics[0])


def _origin(request: Request) -> str:
    return "from the hub" if request.documents is None else f"rows from {request.documents.name}"


def _dataset(task: StandardTask) -> str:
    name = task.settings.get("dataset_name")
    return f"{task.settings['dataset_path']}{'/' + str(name) if name else ''} {task.split}"


def _text_fields(task: StandardTask, rows: list[Row], examples: list[Row], shots: int) -> list[str]:
    """Fields of the rows that the task shows to a model; the rows were read by the task, or that is an error.

    What stands in most prompts, whole; where templates change everything, every long text."""
    loaded = standard_task(task, rows, examples, shots)
    with quiet():
        first = list(zip(rows, loaded.eval_docs, strict=True))[:_LOOKED_AT]
    shown = [
        " ".join([str(loaded.doc_to_text(made)), *map(str, loaded.doc_to_choice(made) if _is_choice(loaded) else ())])
        for _, made in first
    ]
    long = [
        field
        for field in rows[0]
        if sum(isinstance(row.get(field), str) and len(row[field]) >= _LEAST_CHARS for row, _ in first) * 2 > len(first)
    ]
    whole = [
        field
        for field in long
        if sum(str(row[field]).strip() in text for (row, _), text in zip(first, shown, strict=True)) * 2 > len(first)
    ]
    texts = [field for field in rows[0] if isinstance(rows[0][field], str)]
    return whole or long or texts


def _is_choice(loaded: Any) -> bool:
    return bool(loaded.OUTPUT_TYPE == "multiple_choice")


def _from_files(tasks: list[StandardTask], request: Request, *, drawn: bool) -> _Fetched:
    assert request.documents is not None
    rows = list(_rows_of(request.documents, tasks, request.limit, request.task))
    if not rows:
        raise IncompleteError(f"no rows of {request.task}", where=str(request.documents))
    if not drawn:
        return _Fetched(rows, [])
    if request.examples is None:
        raise UsageError(
            f"{request.task} is asked after {_shots(tasks, request)} examples, which have to come from somewhere",
            where="--fewshot-documents",
            next_step=f"give the {tasks[0].fewshot_split} rows as --fewshot-documents FILE.jsonl, or --fewshot 0",
        )
    return _Fetched(rows, list(_rows_of(request.examples, tasks, None, request.task)))


def _rows_of(path: Path, tasks: Sequence[StandardTask], limit: int | None, group: str) -> Iterator[Row]:
    """Rows of a file; of a folder, those of the files that are called like parts of the task, marked with the part."""
    if path.is_dir():
        files = _files_of(path, group)
        for task in tasks:
            if task.name in files:
                yield from ({**row, SUBTASK: task.name} for row in rows_of(files[task.name], limit))
        return
    if len(leaves(group)) == 1:
        yield from rows_of(path, limit)
        return
    rows = _marked(path, tasks, group)
    for task in tasks:
        yield from [row for row in rows if row[SUBTASK] == task.name][:limit]


def _marked(path: Path, tasks: Sequence[StandardTask], group: str) -> list[Row]:
    """Rows of a file with the part that each belongs to: as `subtask` says, or MMLU's `subject`, or the one part asked
    for; UsageError where nothing says it."""
    parts: dict[str, str] = {}
    marked = []
    for number, row in enumerate(rows_of(path), start=1):
        said = row.get(SUBTASK) or row.get("subject") or (tasks[0].name if len(tasks) == 1 else None)
        if not isinstance(said, str):
            raise UsageError(
                f"row {number} does not say which part of {group} it is",
                where=str(path),
                next_step=f"name it under `{SUBTASK}`, give a folder with a file per part, or a single --subset",
            )
        if said not in parts:
            parts[said] = part_of(said, group, leaves(group), f"{path}, row {number}").name
        marked.append({**row, SUBTASK: parts[said]})
    return marked


def _files_of(folder: Path, group: str) -> dict[str, Path]:
    """The folder's file of each part, by its task; UsageError for a file of no part, or a second one of a part."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix not in _ENDINGS:
            continue
        name = part_of(file.stem, group, leaves(group), str(file)).name
        if name in found:
            raise UsageError(f"is for {name}, and so is {found[name].name}", where=str(file), next_step="keep one")
        found[name] = file
    return found


def _from_hub(tasks: list[StandardTask], request: Request, *, drawn: bool) -> _Fetched:
    """Rows of every part at one commit of the dataset; PrerequisiteError, with the way around it, without the hub."""
    # 3 s: the hub's client and datasets
    import datasets
    from httpx2 import HTTPError as TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    path, *others = dict.fromkeys(task.settings["dataset_path"] for task in tasks)
    if others:
        raise UsageError(
            f"{request.task} is rows of {len(others) + 1} datasets: {', '.join([path, *others])}",
            where="--task",
            next_step=f"make a suite of each: --task {', --task '.join(task.name for task in tasks)}",
        )
    try:
        info = HfApi().dataset_info(path, timeout=_LOOKUP_TIMEOUT_S)
        rows: list[Row] = []
        examples: list[Row] = []
        for task in tasks:
            part = {SUBTASK: task.name} if len(leaves(request.task)) > 1 else {}
            wanted = [(task.split, request.limit, rows)]
            if drawn and task.fewshot_split is not None:
                wanted.append((task.fewshot_split, None, examples))
            for split, limit, into in wanted:
                name = task.settings.get("dataset_name")
                found = datasets.load_dataset(path, name, split=split, revision=info.sha)
                taken = found if limit is None else found.select(range(min(limit, len(found))))
                into += [{**row, **part} for row in taken]
    except (HfHubHTTPError, HFValidationError, TransportError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise PrerequisiteError(
            f"dataset {path} cannot be fetched from the hub ({reason})",
            where=f"--task {request.task}",
            next_step=f"connect to the hub, or give its {tasks[0].split} rows as --documents FILE.jsonl",
        ) from None
    licence = info.card_data.get("license") if info.card_data else None
    return _Fetched(rows, examples, info.sha, licence if isinstance(licence, str) else "unknown")
