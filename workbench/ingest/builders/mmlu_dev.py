"""`mmlu-dev`: the development questions of MMLU and their worked solutions, from the installed lm-eval distribution.

    Q: Find the characteristic of the ring 2Z.
    (A) 0 (B) 3 (C) 12 (D) 30
    A: Let's think step by step. A characteristic of a ring R is n if ... The answer is (A).

    choice.jsonl    {"question": "Find the characteristic ...", "choices": ["0", "3", "12", "30"], "answer": 0,
                     "group": "abstract_algebra", "cluster": "..."}
    heldout.jsonl   {"text": "A characteristic of a ring R is n if ...", "group": "abstract_algebra", "cluster": "..."}

It serves suites alone: there is nothing to train on.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench.core.cards import Card
from workbench.core.errors import PrerequisiteError
from workbench.core.fingerprints import file_sha256, short_id
from workbench.core.stage import Context
from workbench.core.wire import storable
from workbench.ingest.builders.built import Builder, Built, whole_numbers

_DISTRIBUTION = "lm-eval"
_FILE = "lm_eval/tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"
_NEXT_QUESTION = re.compile(r"\n\s*\nQ: ")
_ITEM = re.compile(
    r"(?P<question>.+?)\n"
    r"\(A\) ?(?P<a>.*?) ?\(B\) ?(?P<b>.*?) ?\(C\) ?(?P<c>.*?) ?\(D\) ?(?P<d>.*?)\s*\n"
    r"A: Let's think step by step\.\s*(?P<why>.*?)\s*The answer is \((?P<answer>[A-D])\)\.?\s*",
    re.DOTALL,
)


def build(card: Card, seed: int, ctx: Context) -> Built:
    """Questions and rationales in the order of the file. Raises PrerequisiteError if lm-eval is not installed."""
    options = getattr(card.source, "options", {})
    whole_numbers(card, options, {})
    choice: list[dict[str, Any]] = []
    rationales: list[dict[str, Any]] = []
    unreadable = 0
    for subject, text in sorted(_prompts().items()):
        for item in _NEXT_QUESTION.split(text)[1:]:
            match = _ITEM.fullmatch(item)
            if match is None or "(E)" in match["d"]:
                unreadable += 1
                continue
            question = storable(match["question"].strip())
            tied = {"group": subject, "cluster": short_id(question)}
            choices = [storable(match[letter].strip()) for letter in "abcd"]
            choice.append({"question": question, "choices": choices, "answer": "ABCD".index(match["answer"]), **tied})
            rationales.append({"text": storable(match["why"].strip()), **tied})
    if unreadable:
        ctx.info(f"{unreadable} development questions do not have four choices and were left out")
    summary: dict[str, float | int | str] = {"subjects": len({row["group"] for row in choice}), "left_out": unreadable}
    return Built([], {"choice.jsonl": choice, "heldout.jsonl": [row for row in rationales if row["text"]]}, summary)


def external() -> dict[str, str]:
    """SHA-256 of the file with the questions."""
    return {_FILE: file_sha256(_path())}


def _path() -> Path:
    try:
        path = Path(str(metadata.distribution(_DISTRIBUTION).locate_file(_FILE)))
    except metadata.PackageNotFoundError:
        raise PrerequisiteError(
            "distribution lm-eval is not installed", where="builder mmlu-dev", next_step="pip install lm-eval"
        ) from None
    if not path.is_file():
        version = metadata.version(_DISTRIBUTION)
        raise PrerequisiteError(
            f"lm-eval {version} has no file {_FILE}",
            where="builder mmlu-dev",
            next_step="install a version that ships the MMLU development questions, such as 0.4.13",
        )
    return path


def _prompts() -> dict[str, str]:
    path = _path()
    try:
        prompts = json.loads(path.read_bytes())
    except ValueError as error:
        raise PrerequisiteError(f"is not JSON: {error}", where=str(path), next_step="reinstall lm-eval") from None
    return {str(subject): str(text) for subject, text in prompts.items()}


BUILDER = Builder(build, external)
