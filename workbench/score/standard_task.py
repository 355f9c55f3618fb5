"""A standard task over documents that are at hand: lm-eval's own prompts, examples and metrics, without its hub.

    standard_task(leaves("gsm8k")[0], rows, examples, shots=5)
    -> lm-eval's task, whose `eval_docs` are the rows and whose examples are drawn from `examples`

Numbers are those of `lm_eval.simple_evaluate` on the same rows: the same class, YAML, functions and seed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from workbench.core.errors import IncompleteError, PrerequisiteError
from workbench.score.bounded_filters import bound
from workbench.score.standard import SUBTASK, StandardTask, install_command

FEWSHOT_SEED = 1234
"""lm-eval's own default, so that examples are those of its command line."""
Row = dict[str, Any]


def by_subtask(rows: Sequence[Row], tasks: Sequence[StandardTask]) -> dict[str, list[Row]]:
    """Rows of each task that has some, in order, without the field that says so; a single task has them all.

    IncompleteError for a row of an unknown part."""
    if len(tasks) == 1:
        return {tasks[0].name: [_without_part(row) for row in rows]}
    found: dict[str, list[Row]] = {task.name: [] for task in tasks}
    for number, row in enumerate(rows, start=1):
        if row.get(SUBTASK) not in found:
            raise IncompleteError(
                f"document {number}: `{SUBTASK}` is {row.get(SUBTASK)!r}, expected one of {len(found)} parts such as "
                f"{tasks[0].name}"
            )
        found[row[SUBTASK]].append(_without_part(row))
    return {name: own for name, own in found.items() if own}


def standard_task(task: StandardTask, rows: Sequence[Row], examples: Sequence[Row], shots: int) -> Any:
    """lm-eval's task over `rows`, asked after `shots` of the `examples`.

    PrerequisiteError if its code needs what is not installed, IncompleteError if a row does not fit its templates.
    """
    # 2 to 5 s: lm-eval imports datasets, torch and transformers
    import datasets
    from jinja2 import TemplateError
    from lm_eval.tasks import TaskManager

    def splits(**_: Any) -> dict[str, Any]:
        scored = datasets.Dataset.from_list(list(rows))
        drawn_from = {} if task.fewshot_split is None else {task.fewshot_split: examples}
        others = {
            name: datasets.Dataset.from_list(list(drawn_from.get(name) or rows[:1]))
            for key in ("training_split", "validation_split", "test_split", "fewshot_split")
            if (name := task.settings.get(key))
        }
        drawn = {name: datasets.Dataset.from_list(list(own or rows[:1])) for name, own in drawn_from.items()}
        return {**others, **drawn, task.split: scored}

    overrides = {"task": task.name, "custom_dataset": splits, "num_fewshot": shots}
    try:
        with quiet():
            manager = TaskManager(include_defaults=False, include_path=task.folder)
            # An inline group is lm-eval's way of giving a task of its index other settings.
            loaded = manager.load([{"group": "workbench", "task": [overrides]}])["tasks"][task.name]
            documents = list(loaded.eval_docs)
    except (ImportError, AssertionError) as error:  # some assert the version of a library
        raise PrerequisiteError(
            f"{task.name} needs a library that is not installed: {error}",
            where="standard",
            next_step=install_command(task),
        ) from None
    except (TemplateError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise IncompleteError(
            f"the documents are not those of {task.name}: {type(error).__name__}: {error}",
            next_step=f"give rows with the fields of {task.settings.get('dataset_path')}",
        ) from None
    if len(documents) != len(rows):
        raise IncompleteError(f"{task.name} keeps {len(documents)} of {len(rows)} documents, so they cannot be told")
    loaded.set_fewshot_seed(seed=FEWSHOT_SEED)
    bound(loaded)
    _check_documents(task, loaded, documents)
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars, and without lm-eval's remarks on each task that is given its rows; 2 s of imports."""
    import datasets

    bars, logger = datasets.are_progress_bars_disabled(), logging.getLogger("lm_eval")
    level = logger.level
    datasets.disable_progress_bars()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


def _check_documents(task: StandardTask, loaded: Any, documents: list[Row]) -> None:
    """IncompleteError for the first document that the task's templates cannot read."""
    from jinja2 import TemplateError

    for number, document in enumerate(documents, start=1):
        try:
            loaded.doc_to_text(document)
            loaded.doc_to_target(document)
            choices = loaded.doc_to_choice(document) if loaded.OUTPUT_TYPE == "multiple_choice" else None
        except (TemplateError, LookupError, TypeError, ValueError, SyntaxError, AttributeError) as error:
            raise IncompleteError(
                f"document {number} does not fit {task.name}: {type(error).__name__}: {error}",
                next_step=f"give rows with the fields of {task.settings.get('dataset_path')}",
            ) from None
        if choices is None:
            continue
        if not isinstance(choices, list) or len(choices) < 2:
            raise IncompleteError(f"document {number} does not fit {task.name}: it has no two choices")
        right = loaded.doc_to_text(document) if loaded.multiple_input else loaded.doc_to_target(document)
        if not all(_is_choice(one, choices) for one in (right if isinstance(right, list) else [right])):
            raise IncompleteError(
                f"document {number} does not fit {task.name}: its right choice {right!r} is none of {len(choices)}",
                next_step="lm-eval would count it as wrong for every model; mend it or take it out",
            )


def _is_choice(right: Any, choices: list[Any]) -> bool:
    return right in choices if isinstance(right, str) else isinstance(right, int) and 0 <= right < len(choices)


def _without_part(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != SUBTASK}
