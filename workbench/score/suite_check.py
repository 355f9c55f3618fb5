"""What can be seen wrong with a suite before a model is loaded.

    findings(suite, documents, examples)
    -> [Finding("error", "3 documents (2, 7, 9) have no `expect`"),
        Finding("warning", "the right answer stands in place 1 in 94% of 120 documents: ...")]

An error is a suite that cannot be scored or judged; a warning is one whose numbers would mislead.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.parts import read_model
from workbench.core.suites import Suite, SuiteDocument, fewshot_path
from workbench.core.wire import Wire
from workbench.score.standard import is_standard, leaves, shots

CEILING = 0.95
"""A base above this has nothing to gain; the gate's default."""
_ONE_PLACE = 0.9
_ONE_PLACE_LEAST = 10
_SHOWN = 5
_FEW = 0.02
"""Share of documents that may ask what an earlier one asked without a word about it."""
_Z = 1.96
_REQUIRED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "perplexity": (("text",),),
    "kl": (("text",),),
    "judge": (("prompt", "turns"),),
    "safety": (("prompt",), ("expect",)),
    "generation": (("prompt",),),
}
"""Fields that documents of a kind need; of each group one is enough. Those of tasks are in their templates."""


class Finding(Wire):
    """One thing to know about a suite."""

    level: Literal["error", "warning"]
    text: str


def findings(
    suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]], *, quick: bool = False
) -> list[Finding]:
    """Everything that documents and few-shot examples show. Tasks are read by lm-eval, which `quick` leaves out."""
    found = [*_missing(suite, documents), *_labels(suite, documents)]
    if not quick:
        found += _unfit(suite, documents, examples)
    found += _duplicates(suite, documents)
    found += _one_sided(suite, documents)
    found += _twice_right(suite, documents)
    found += _toothless(suite, documents)
    found += _overlap(suite, documents, examples)
    return found


def chance_of(documents: Sequence[SuiteDocument]) -> float | None:
    """Accuracy of guessing: mean of one over the number of choices; None unless every document has `choices`."""
    counts = [len(choices) for one in documents if isinstance(choices := one.fields.get("choices"), list) and choices]
    return sum(1 / count for count in counts) / len(counts) if counts and len(counts) == len(documents) else None


def level_findings(value: float, n: int, chance: float | None) -> Iterator[Finding]:
    """Whether an accuracy that a base had on `n` documents leaves room; the interval is Wald's, for a rough look."""
    reach = _Z * math.sqrt(max(value * (1 - value), 0.0) / n)
    if chance is not None and value - reach <= chance <= value + reach:
        yield _warning(f"the base scored {value:.1%}, guessing gives {chance:.1%}: at the floor, not informative")
    elif value - reach > CEILING:
        yield _warning(f"the base scored {value:.1%}, above {CEILING:.0%}: at the ceiling, nothing to gain")


def provenance_findings(suite: Suite, documents_path: Path, base_fingerprint: str | None) -> Iterator[Finding]:
    """Whether documents are still those that were frozen or fetched, and frozen from this base.

    `base_fingerprint` is None where the base's weights are not at hand."""
    path = documents_path.with_suffix(".provenance.json")
    if not path.is_file():
        return
    if suite.kind == "regression":
        from workbench.score.freeze import Provenance

        note = read_model(path, Provenance)
        if note.items_sha256 is not None and note.items_sha256 != file_sha256(documents_path):
            yield _warning(f"{documents_path.name} was changed since it was frozen; freeze it again")
        if base_fingerprint is not None and note.model_fingerprint != base_fingerprint:
            yield _warning(f"frozen from {note.model}, which is not the base of this project; freeze it again")
    elif is_standard(suite):
        from workbench.score.standard_new import Source

        source = read_model(path, Source)
        if source.documents_sha256 != file_sha256(documents_path):
            yield _warning(f"{documents_path.name} is not the file that was fetched ({source.documents} documents)")
        examples = fewshot_path(documents_path, suite)
        if examples is not None and source.examples_sha256 != file_sha256(examples):
            yield _warning(f"{examples.name} is not the file that was fetched ({source.examples} examples)")


def _warning(text: str) -> Finding:
    return Finding(level="warning", text=text)


def _missing(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    for group in _REQUIRED.get(suite.kind, ()):
        without = [one for one in documents if not any(one.fields.get(name) for name in group)]
        if without:
            level: Literal["error", "warning"] = "error" if len(without) == len(documents) else "warning"
            yield Finding(level=level, text=f"{_places(without)} no `{'` or `'.join(group)}`")


def _labels(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    for key, name in (("groups", suite.groups), ("cluster", suite.cluster)):
        without = [one for one in documents if name is not None and one.fields.get(name) is None]
        if without:
            yield _warning(f"{_places(without)} no `{name}`, the field of `{key}`")


def _unfit(suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Documents that a task's templates or metrics cannot read; 3 to 5 s for lm-eval's import, where it has a task."""
    if suite.kind == "generation":
        from workbench.score.generation_task import document_problem, generation_task

        asked = generation_task(suite)
        faults = {one.doc_id: fault for one in documents if (fault := document_problem(asked, one.fields))}
        yield from _cannot_be_scored(documents, faults)
        return
    if suite.kind not in ("lm_eval", "regression"):
        return
    if is_standard(suite):
        yield from _unfit_standard(suite, documents, examples)
        return
    from workbench.score.kinds.lm_eval import readable_documents
    from workbench.score.tasks import own_metrics, task_settings

    settings = task_settings(suite)
    _, problems = readable_documents(suite, settings, list(documents))
    if settings["output_type"] == "generate_until":
        for chosen in own_metrics(suite):
            for one in documents:
                if fault := chosen.metric.problem(one.fields, chosen.settings):
                    problems.setdefault(one.doc_id, fault)
    yield from _cannot_be_scored(documents, problems)


def _cannot_be_scored(documents: Sequence[SuiteDocument], problems: Mapping[int, str]) -> Iterator[Finding]:
    """Findings of documents with a problem, by `doc_id`."""
    by_problem: defaultdict[str, list[SuiteDocument]] = defaultdict(list)
    for one in documents:
        if one.doc_id in problems:
            by_problem[problems[one.doc_id]].append(one)
    level: Literal["error", "warning"] = "error" if len(problems) == len(documents) else "warning"
    for problem, concerned in list(by_problem.items())[:_SHOWN]:
        yield Finding(level=level, text=f"{_places(concerned, verb=('cannot', 'cannot'))} be scored: {problem}")


def _unfit_standard(
    suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]]
) -> Iterator[Finding]:
    from workbench.score.standard_task import by_subtask, standard_task

    tasks = leaves(suite.task["standard"])
    try:
        drawn = by_subtask(examples, tasks) if examples else {}
        rows = by_subtask([one.fields for one in documents], tasks)
        for task in tasks:
            if task.name in rows:
                standard_task(task, rows[task.name], drawn.get(task.name, []), shots(suite, task))
    except (UsageError, IncompleteError) as error:
        yield Finding(level="error", text=error.problem)


def _duplicates(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    again = [one for one in documents if one.occurrence > 0]
    if again:
        yield _warning(f"{_places(again)} an equal one before: a document that counts twice narrows intervals wrongly")
    seen: dict[str, SuiteDocument] = {}
    alike = []
    for one in documents:
        key = _asked(suite, one.fields)
        if key and one.occurrence == 0 and seen.setdefault(key, one) is not one:
            alike.append(one)
    # The same words with other choices are common in made items: worth a word only where nothing ties them.
    if len(alike) > _FEW * len(documents) and suite.cluster is None and suite.kind != "regression":
        yield _warning(f"{_places(alike)} the text of an earlier one: name a field as `cluster` that ties them")


def _one_sided(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    """Answers that are almost all the same: a model that always says it would score well."""
    if len(documents) < _ONE_PLACE_LEAST:
        return
    if suite.kind == "safety":
        sides = Counter(one.fields.get("expect") for one in documents)
        for side in ("refuse", "comply"):
            if not sides[side]:
                yield _warning(f"no document expects `{side}`: a model that always does the other would pass")
        return
    if suite.kind not in ("lm_eval", "generation") or is_standard(suite):
        return
    places = Counter(str(place) for one in documents if (place := _place(one.fields)) is not None)
    answer, count = places.most_common(1)[0] if places else ("", 0)
    if count > _ONE_PLACE * len(documents):
        what = "the right answer stands in place" if "choices" in documents[0].fields else "the right answer is"
        yield _warning(f"{what} {answer[:40]} in {count / len(documents):.0%} of {len(documents)} documents")


def _twice_right(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    """Items whose right choice stands there again: one of the two is counted as wrong."""
    if suite.kind not in ("lm_eval", "regression") or is_standard(suite):
        return
    again = []
    for one in documents:
        choices, place = one.fields.get("choices"), _place(one.fields)
        if isinstance(choices, list) and isinstance(place, int) and 0 < place <= len(choices):
            again += [one] if choices.count(choices[place - 1]) > 1 else []
    if again:
        yield _warning(f"{_places(again)} the right choice among the wrong ones, too")


def _toothless(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterator[Finding]:
    must_pass = any(one.fields.get("must_pass") is True for one in documents)
    if suite.kind == "regression" and (suite.allowed_failures or 0) >= len(documents) and not must_pass:
        yield _warning(f"allowed_failures is {suite.allowed_failures}, of {len(documents)} documents: it cannot fail")


def _place(fields: Mapping[str, Any]) -> Any:
    answer, choices = fields.get("answer"), fields.get("choices")
    if not isinstance(choices, list):
        return answer
    if answer in choices:
        return choices.index(answer) + 1
    return answer + 1 if isinstance(answer, int) else answer


def _overlap(suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Few-shot examples that are asked as questions, too: the answer would stand in the prompt."""
    given = list(examples)
    config = suite.task.get("fewshot_config")
    if isinstance(config, dict) and isinstance(config.get("samples"), list):
        given += [sample for sample in config["samples"] if isinstance(sample, dict)]
    shown = {key for fields in given if (key := _asked(suite, fields))}
    both = [one for one in documents if _asked(suite, one.fields) in shown]
    if both:
        yield _warning(f"{_places(both)} the text of a few-shot example: take one of the two out")


def _asked(suite: Suite, fields: Mapping[str, Any]) -> str:
    """What a document asks, its spacing aside; empty if none of the suite's text fields is a text."""
    texts = [fields.get(name) for name in suite.text_fields]
    return " | ".join(" ".join(text.split()) for text in texts if isinstance(text, str))


def _places(documents: Sequence[SuiteDocument], verb: tuple[str, str] = ("has", "have")) -> str:
    shown = ", ".join(str(one.doc_id + 1) for one in documents[:_SHOWN]) + (" ..." if len(documents) > _SHOWN else "")
    return f"document {shown} {verb[0]}" if len(documents) == 1 else f"{len(documents)} documents ({shown}) {verb[1]}"
