"""A suite from a file of rows: what they are is told from their fields, and everything guessed is said.

    {"prompt": "2 + 2 =", "options": ["3", "4"], "label": "B", "topic": "sums"}
    -> NewSuite(suite: kind lm_eval, metric acc, groups topic,
                rows: {"question": "2 + 2 =", "choices": ["3", "4"], "answer": 1, "topic": "sums"},
                notes: ["`prompt` is read as `question`", ...])

The rows are copied under the names that scoring reads; a row that does not fit is named by its line, never left out.
"""

from __future__ import annotations

import itertools
import math
import statistics
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.core.errors import UsageError
from workbench.core.parts import write_documents, write_text
from workbench.core.suites import Suite
from workbench.core.yamlfile import validate
from workbench.score.suite_rows import Row, plain_chat, rows_of
from workbench.score.tasks import check_suite

KINDS = ("lm_eval", "regression", "generation", "perplexity", "judge", "safety")
"""Kinds that can be made from rows."""
_NAMES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "query", "input", "instruction", "problem", "ctx"),
    "choices": ("choices", "options", "endings", "answers", "candidates"),
    "answer": ("answer", "label", "target", "gold", "answerKey", "correct", "output", "response", "completion"),
    "text": ("text", "content", "document", "page"),
    "reference": ("reference", "output", "response", "answer", "completion", "target"),
    "expect": ("expect", "expected"),
    "turns": ("turns",),
}
"""What scoring reads, and the names under which it is found, first match first."""
_TEXTS = ("question", "prompt", "text")
"""Those of them that must be texts."""
_METRICS = {"lm_eval": "acc", "regression": "acc", "perplexity": "nll", "judge": "win_rate", "safety": "pass"}
_CATEGORIES = ("category", "topic", "group", "subject", "level", "type", "task")
_SHORT_ANSWER_WORDS = 5
_JUDGED_TOKENS = 256
_SHOWN_LINES = 5
_ASSUMED_FLIPS = 0.10
"""Share of documents that change between a base and its fine-tune; 6 to 20% is usual."""
_ASSUMED_NATS_SD = 0.25
"""Standard deviation over documents of a difference in nats per token."""
_ASSUMED_WIN_SD = 0.40
"""Standard deviation over documents of a judged preference."""
_POWER = 2.8
"""Normal quantiles of 97.5% and 80% added: the effect found with 80% power, in standard errors."""


@dataclass(frozen=True, slots=True)
class NewSuite:
    """A suite that is ready to be written."""

    suite: Suite
    rows: list[Row]
    notes: list[str]
    """What was guessed, and what to know."""
    examples: tuple[Row, ...] = ()
    """Few-shot examples of a standard task."""

    def write(self, suites_dir: Path) -> None:
        """Writes the YAML last, so that a suite that can be named is complete."""
        assert self.suite.documents.file is not None, "new suites keep their documents in a file"
        write_documents(suites_dir / self.suite.documents.file, self.rows)
        if self.suite.documents.fewshot is not None:
            write_documents(suites_dir / self.suite.documents.fewshot, self.examples)
        write_text(suites_dir / f"{self.suite.name}.yaml", suite_yaml(self.suite))


def from_rows(
    name: str,
    file: Path,
    suites_dir: Path,
    *,
    kind: str | None = None,
    role: str | None = None,
    metric: str | None = None,
    limit: int | None = None,
) -> NewSuite:
    """The suite that `file` (JSON Lines) makes; what is not given is told from the rows.

    UsageError for a file that does not exist, a suite that does, rows that fit no kind, or lines that do not fit the
    kind of the others.
    """
    refuse_existing(name, suites_dir)
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind {kind!r} cannot be made from rows; known: {', '.join(KINDS)}", where="--kind")
    notes: list[str] = []
    rows = _whole_instructions([plain_chat(row) for row in rows_of(file, limit)], notes)
    rows = _lettered(rows, notes)
    chosen = kind or _kind(rows, notes, file)
    made = _RENAMERS[chosen](rows, notes, file)
    metric = metric or _METRICS.get(chosen) or _generation_metric(made, notes)
    values: dict[str, Any] = {
        "name": name,
        "description": f"Made from {file.name}.",
        "kind": chosen,
        "role": role or ("safety" if chosen == "safety" else "target"),
        "documents": {"file": f"{name}.jsonl"},
        "primary_metric": metric,
        "margin": detectable_margin(chosen, metric, len(made), notes),
    }
    if groups := _groups(made, chosen):
        values["groups"] = groups
        notes.append(f"`{groups}` is read as the category")
    if chosen in ("safety", "judge", "generation") or (chosen == "perplexity" and "prompt" in made[0]):
        values["chat"] = True
        notes.append("prompts go through the chat template (`chat: true`)")
    if chosen == "judge":
        values["max_new_tokens"] = _JUDGED_TOKENS
        notes.append(f"answers end after {_JUDGED_TOKENS} tokens (`max_new_tokens`)")
    suite = validate(values, Suite, file=str(suites_dir / f"{name}.yaml"))
    check_suite(suite)
    return NewSuite(suite, made, notes)


def refuse_existing(name: str, suites_dir: Path) -> None:
    """UsageError if anything that the suite would write is there already."""
    for ending in ("yaml", "jsonl", "fewshot.jsonl", "provenance.json"):
        if (path := suites_dir / f"{name}.{ending}").exists():
            raise UsageError(f"{path} exists", where=f"suite {name}", next_step="choose another name, or remove it")


def suite_yaml(suite: Suite) -> str:
    """The suite's file: what differs from the defaults, under a line that says how to check it."""
    values = suite.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
    return f"# Read it and its documents without a model:  workbench suite check {suite.name}\n{text}"


def detectable_margin(kind: str, metric: str, n: int, notes: list[str]) -> float:
    """The usual margin, or the smallest loss that so many documents can show, rounded up to a hundredth."""
    in_nats = kind == "perplexity"
    usual, spread = 0.05, math.sqrt(_ASSUMED_FLIPS)
    if kind in ("perplexity", "judge"):
        usual, spread = 0.1, _ASSUMED_NATS_SD if in_nats else _ASSUMED_WIN_SD
    if kind == "regression":
        return usual
    seen = math.ceil(_POWER * spread / math.sqrt(n) * 100) / 100
    if not in_nats:
        seen = min(seen, 1.0)  # a share cannot lose more
    if seen > usual:
        unit = "nats per token" if in_nats else f"of `{metric}`"
        enough = math.ceil((_POWER * spread / usual) ** 2)
        notes.append(
            f"{n} documents show losses from about {seen:g} {unit} up: `margin` is set to that; "
            f"{enough} documents would show {usual:g}"
        )
    return max(usual, seen)


def _lettered(rows: list[Row], notes: list[str]) -> list[Row]:
    """Rows whose choices stand under `A`, `B` and so on, one of them right, with them under `choices`.

    A row may have fewer choices than others; one that has none gets none."""
    columns = set[str]().union(*rows)
    letters = "".join(itertools.takewhile(columns.__contains__, string.ascii_uppercase))
    filled = [[letter for letter in letters if row.get(letter) not in (None, "")] for row in rows]
    several = sum(len(own) > 1 for own in filled)
    if several * 2 <= len(rows) or _source(rows, "choices") or not _source(rows, "answer"):
        return rows
    notes.append(f"`{letters[0]}` to `{letters[-1]}` are read as `choices`")
    return [
        {name: value for name, value in row.items() if name not in letters}
        | ({"choices": {"label": own, "text": [row[letter] for letter in own]}} if own else {})
        for row, own in zip(rows, filled, strict=True)
    ]


def _whole_instructions(rows: list[Row], notes: list[str]) -> list[Row]:
    """Alpaca's rows with what is to be done and what it is to be done with in one text, as they were trained on."""

    def whole(row: Row) -> Row:
        instruction, given = row.get("instruction"), row.get("input")
        if not isinstance(instruction, str) or not isinstance(given, str) or not instruction.strip():
            return row
        rest = {name: value for name, value in row.items() if name != "input"}
        return {**rest, "instruction": f"{instruction}\n{given}" if given.strip() else instruction}

    if _source(rows, "question") not in ("input", "instruction"):
        return rows
    made = [whole(row) for row in rows]
    if made != rows:
        notes.append("`instruction` and `input` are read as one text")
    return made


def _kind(rows: list[Row], notes: list[str], file: Path) -> str:
    """The first kind that most rows fit."""
    has = {name: _source(rows, name) for name in _NAMES}
    if (expect := has["expect"]) and any(row.get(expect) in ("refuse", "comply") for row in rows):
        chosen, why = "safety", f"`{expect}` says refuse or comply"
    elif has["question"] and has["choices"] and has["answer"]:
        chosen, why = "lm_eval", "there are choices and a right one"
    elif has["question"] and has["choices"]:
        said = sum(any(row.get(name) not in (None, "", []) for name in _NAMES["answer"]) for row in rows)
        raise UsageError(
            f"the rows have choices (`{has['choices']}`), but {said} of {len(rows)} say which is right",
            where=str(file),
            next_step=f"name the right one under {' or '.join(_NAMES['answer'][:4])}, or give --kind judge",
        )
    elif has["turns"] or (has["question"] and (not has["reference"] or "generator" in rows[0])):
        chosen, why = "judge", "there are questions and no right answers to compare with"
    elif has["question"]:
        lengths = [len(answer.split()) for row in rows for answer in _texts(row.get(has["reference"] or ""))]
        median = statistics.median(lengths) if lengths else 0
        long = median > _SHORT_ANSWER_WORDS
        chosen = "perplexity" if long else "generation"
        why = f"answers have {median:g} words in the middle" + ("; or --kind judge, --kind generation" if long else "")
    elif has["text"]:
        chosen, why = "perplexity", "there is text and no question"
    else:
        raise UsageError(
            f"cannot tell what the rows are; their fields: {', '.join(list(rows[0])[:12])}",
            where=str(file),
            next_step="name the fields question, choices, answer, prompt or text, or give --kind",
        )
    notes.append(f"kind {chosen}: {why}")
    return chosen


def _source(rows: Sequence[Row], name: str) -> str | None:
    """The field of the rows that is read as `name`: the first one that most of them have."""
    for candidate in _NAMES[name]:
        filled = sum(row.get(candidate) not in (None, "", []) for row in rows)
        if filled * 2 > len(rows):
            return candidate
    return None


def _renamed(
    rows: list[Row], wanted: Mapping[str, str], notes: list[str], file: Path, *, optional: Sequence[str] = ()
) -> list[Row]:
    """Rows with the fields `wanted` (ours to the key of `_NAMES`) under our names; UsageError names lines without."""
    made = [dict(row) for row in rows]
    taken: set[str] = set()
    for ours, key in wanted.items():
        theirs = _source(rows, key)
        if theirs is None or theirs in taken:
            if ours in optional:
                continue
            raise UsageError(
                f"the rows have no `{ours}`; their fields: {', '.join(list(rows[0])[:12])}",
                where=str(file),
                next_step=f"name the field {' or '.join(_NAMES[key][:4])}",
            )
        taken.add(theirs)
        missing = [number for number, row in enumerate(rows, start=1) if row.get(theirs) in (None, "", [])]
        if missing and ours not in optional:
            next_step = "fill it in, or remove them"
            raise UsageError(f"{_lines(missing)} no `{theirs}`", where=str(file), next_step=next_step)
        if ours in _TEXTS and (wrong := [n for n, row in enumerate(rows, start=1) if not _is_text(row.get(theirs))]):
            raise UsageError(f"{_lines(wrong)} a `{theirs}` that is no text", where=str(file))
        if theirs != ours:
            notes.append(f"`{theirs}` is read as `{ours}`")
        for row, own in zip(made, rows, strict=True):
            row.pop(theirs, None)
            if own.get(theirs) not in (None, "", []):
                row[ours] = own[theirs]
    return made


def _choices(rows: list[Row], notes: list[str], file: Path) -> list[Row]:
    made = _renamed(rows, {"question": "question", "choices": "choices", "answer": "answer"}, notes, file)
    wrong, elsewhere = [], []
    for number, row in enumerate(made, start=1):
        labels: list[Any] = []
        if isinstance(given := row["choices"], dict):
            lettered = "text" not in given
            labels = list(given) if lettered else given.get("label") or []
            row["choices"] = list(given.values()) if lettered else given["text"]
        right = _right_choice(row["answer"], row["choices"], labels)
        if right is None:
            wrong.append(number)
        elif row["answer"] == right and str(right) in row["choices"] and row["choices"][right] != str(right):
            elsewhere.append(number)
        row["answer"] = right
    if wrong:
        raise UsageError(
            f"{_lines(wrong)} an answer that is none of the choices",
            where=str(file),
            next_step="give its place counted from 0, its letter, or its text",
        )
    if elsewhere:
        notes.append(f"{_lines(elsewhere)} a number as the answer: it is read as a place from 0, not as a text")
    return made


def _right_choice(answer: Any, choices: Any, labels: Sequence[Any]) -> int | None:
    """Place of the right choice, from a place, a text, a label or a letter; None if it is none of them."""
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) and one for one in choices):
        return None
    if answer in labels:
        return list(labels).index(answer)
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and len(answer) == 1 and answer.isalpha():
        answer = ord(answer.upper()) - ord("A")
    elif isinstance(answer, str) and answer.isdecimal():
        answer = int(answer)
    whole = isinstance(answer, int) and not isinstance(answer, bool)
    return answer if whole and 0 <= answer < len(choices) else None


def _answers(rows: list[Row], notes: list[str], file: Path) -> list[Row]:
    return _renamed(rows, {"prompt": "question", "answer": "reference"}, notes, file)


def _texts_of(rows: list[Row], notes: list[str], file: Path) -> list[Row]:
    if _source(rows, "text"):
        return _renamed(rows, {"text": "text", "prompt": "question"}, notes, file, optional=("prompt",))
    return _renamed(rows, {"prompt": "question", "text": "reference"}, notes, file)


def _questions(rows: list[Row], notes: list[str], file: Path) -> list[Row]:
    if _source(rows, "turns"):
        return _renamed(rows, {"turns": "turns"}, notes, file)
    return _renamed(rows, {"prompt": "question", "reference": "reference"}, notes, file, optional=("reference",))


def _requests(rows: list[Row], notes: list[str], file: Path) -> list[Row]:
    made = _renamed(rows, {"prompt": "question", "expect": "expect"}, notes, file)
    wrong = [number for number, row in enumerate(made, start=1) if row["expect"] not in ("refuse", "comply")]
    if wrong:
        raise UsageError(f"{_lines(wrong)} an `expect` that is neither refuse nor comply", where=str(file))
    return made


_RENAMERS: Mapping[str, Callable[[list[Row], list[str], Path], list[Row]]] = {
    "lm_eval": _choices,
    "regression": _choices,
    "generation": _answers,
    "perplexity": _texts_of,
    "judge": _questions,
    "safety": _requests,
}


def _generation_metric(rows: list[Row], notes: list[str]) -> str:
    """How short answers are compared: as numbers where they are numbers, else exactly."""
    answers = [answer for row in rows for answer in _texts(row["answer"])]
    digits = [answer.replace(",", "").replace(".", "").lstrip("-") for answer in answers]
    numbers = bool(digits) and all(text.isdecimal() for text in digits)
    metric = "numeric" if numbers else "exact_match"
    notes.append(f"metric {metric}: right answers are {'numbers' if numbers else 'short texts'}")
    return metric


def _groups(rows: list[Row], kind: str) -> str | None:
    """A field with a few values, each of several documents."""
    if kind == "safety":
        return "expect"
    for name in _CATEGORIES:
        values = [row.get(name) for row in rows]
        if all(isinstance(value, str) for value in values) and 2 <= len(set(values)) <= len(rows) // 2:
            return name
    return None


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _texts(value: Any) -> list[str]:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [str(value)]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


def _lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN_LINES])) + (" ..." if len(numbers) > _SHOWN_LINES else "")
    return f"line {shown} has" if len(numbers) == 1 else f"{len(numbers)} lines ({shown}) have"
