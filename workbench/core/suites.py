"""Suites: what an arm is scored on. The documents can be read without lm-eval, because curation needs them too.

name: capitals
kind: lm_eval
role: general
documents: {file: capitals.jsonl}          # beside the YAML file
primary_metric: acc
task: {output_type: multiple_choice, doc_to_text: "{{question}}", doc_to_choice: choices, doc_to_target: answer}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.core.cards import Name
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import canonical_json, file_sha256, fingerprint, short_id
from workbench.core.paths import inside
from workbench.core.stage import Artifact
from workbench.core.wire import Wire

SuiteKind = Literal["lm_eval", "perplexity", "judge", "regression", "generation", "safety", "kl"]

LOWER_IS_BETTER = frozenset(
    {"nll", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "kl"}
)
"""Metrics of which less is better; of every other one more is."""


class Documents(Wire):
    """Where the documents of a suite are: a file of the project, or a part made by a dataset's builder or hold-out."""

    file: str | None = None
    """JSON Lines file, relative to the suites directory."""
    dataset: Name | None = None
    """Name of a dataset card."""
    part: str | None = None
    """Part of the dataset's artifact: `heldout.jsonl`, `choice.jsonl`, `prompts.jsonl`."""
    fewshot: str | None = Field(default=None, pattern=r"^[^/\\]+$")
    """JSON Lines file beside `file`: what a standard task draws its examples from."""

    @model_validator(mode="after")
    def _one_place(self) -> Documents:
        if (self.file is None) == (self.dataset is None):
            raise ValueError("give either `file`, or `dataset` and `part`")
        if (self.dataset is None) != (self.part is None):
            raise ValueError("`dataset` and `part` belong together")
        if self.fewshot is not None and self.file is None:
            raise ValueError("`fewshot` stands beside `file`")
        return self


class Suite(Wire):
    """One suite."""

    name: Name
    """Name of the suite; the file is called NAME.yaml."""
    description: str = ""
    """What the suite measures, for people."""
    licence: str = "unknown"
    """SPDX identifier of the documents, where there is one."""
    kind: SuiteKind
    """`lm_eval`: a task of lm-evaluation-harness. `perplexity`: nats per token of `text`, after `prompt` if given.
    `judge`: answers to `prompt`, compared pairwise by the judge. `regression`: choices the base gets right, frozen.
    `safety`: answers to `prompt`, where `expect` says `refuse` or `comply`. `generation`: answers to `prompt`, measured
    against `answer` or whatever the metric reads. `kl`: divergence from the base on `text`, in nats per token."""
    role: Literal["target", "general", "safety", "anchor"]
    """`target`: what the fine-tune is for. `general`, `safety`: what it must not break. `anchor`: fixed reference."""
    documents: Documents
    """Where the documents are."""
    primary_metric: str
    """The metric that decides: `acc`, `acc_norm`, `exact_match`, `nll`, `bits_per_byte`, `kl`, `win_rate`, `pass`, or
    one of docs/metrics.md for generated answers."""
    task: dict[str, Any] = {}
    """For `lm_eval` and `regression`: task keys of lm-eval without dataset keys. Omitted: multiple choice over
    `question`, `choices`, `answer`. For `generation`: `metric_list`, `until`, `answer_pattern`."""
    groups: str | None = None
    """Document field that holds the category."""
    cluster: str | None = None
    """Document field that ties dependent documents together."""
    text_fields: tuple[str, ...] = ("text", "question", "prompt", "turns")
    """Document fields searched for in the training data by decontamination."""
    gated: bool = True
    """Whether the run fails if this suite regresses."""
    margin: float = Field(default=0.05, ge=0)
    """Largest loss that does not matter, in the metric's unit (share of documents, or nats per token)."""
    allowed_failures: int | None = Field(default=None, ge=0)
    """`regression` only: items that may fail beyond the A/A arm's flips. Items with `must_pass: true` never may."""
    tags: tuple[str, ...] = ()
    """Free labels, for people."""
    owners: tuple[str, ...] = ()
    """Who is asked when the suite regresses; named in the verdict."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many documents, from the start."""
    max_new_tokens: int = Field(default=48, ge=1)
    """Length limit of generated answers (`judge`, `safety`, `generation`)."""
    chat: bool = False
    """Whether prompts go through the chat template."""

    @property
    def counts_tokens(self) -> bool:
        """Whether the score is a mean over tokens, in nats: it means the same only where text is cut the same way."""
        return self.kind in ("perplexity", "kl") and self.primary_metric != "bits_per_byte"


class SuiteDocument(Wire):
    """One document with its identity."""

    doc_id: int
    doc_hash: str
    occurrence: int
    fields: dict[str, Any]


def suite_path(suites_dir: Path, suite: Suite, datasets: Mapping[str, Artifact]) -> Path:
    """The file with the suite's documents; `datasets` maps dataset names to their ingest artifacts."""
    if suite.documents.file is not None:
        path = inside(suites_dir, suite.documents.file, where=f"suite {suite.name}: documents.file")
        if not path.is_file():
            raise UsageError(f"documents file {suite.documents.file} does not exist", where=f"suite {suite.name}")
        return path
    assert suite.documents.dataset is not None and suite.documents.part is not None
    artifact = datasets[suite.documents.dataset]
    path = artifact.part(suite.documents.part)
    if not path.is_file():
        raise IncompleteError(
            f"dataset {suite.documents.dataset!r} has no part {suite.documents.part!r}", where=f"suite {suite.name}"
        )
    return path


def fewshot_path(documents_path: Path, suite: Suite) -> Path | None:
    """The file with the suite's few-shot examples, beside its documents; UsageError if it is missing."""
    if suite.documents.fewshot is None:
        return None
    path = inside(documents_path.parent, suite.documents.fewshot, where=f"suite {suite.name}: documents.fewshot")
    if not path.is_file():
        raise UsageError(f"few-shot file {suite.documents.fewshot} does not exist", where=f"suite {suite.name}")
    return path


def read_examples(documents_path: Path, suite: Suite) -> list[dict[str, Any]]:
    """The suite's few-shot examples in file order; none without such a file. Raises as `read_documents`."""
    path = fewshot_path(documents_path, suite)
    if path is None:
        return []
    whole = suite.model_copy(update={"limit": None})
    return [document.fields for document in read_documents(path, whole)]


def read_documents(path: Path, suite: Suite) -> list[SuiteDocument]:
    """The suite's documents in file order, at most `suite.limit`.

    IncompleteError if there is none, or as `read_objects`."""
    seen: Counter[str] = Counter()
    documents: list[SuiteDocument] = []
    for fields in read_objects(path, suite.limit):
        doc_hash = short_id(fields)
        documents.append(
            SuiteDocument(doc_id=len(documents), doc_hash=doc_hash, occurrence=seen[doc_hash], fields=fields)
        )
        seen[doc_hash] += 1
    if not documents:
        raise IncompleteError("suite has no documents", where=f"suite {suite.name} ({path})")
    return documents


def read_objects(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` objects of a JSON Lines file, blank lines and a byte order mark aside.

    IncompleteError names a line that is not one: no UTF-8, no JSON, no object, or with a value that JSON has not."""
    objects: list[dict[str, Any]] = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if limit is not None and len(objects) == limit:
                break
            if line.strip():
                objects.append(_object(line, f"{path}:{number}"))
    return objects


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
        # Refuses what Python reads and nothing can write or tokenize: NaN, infinity, half a surrogate pair.
        canonical_json(value).encode("utf-8")
    except json.JSONDecodeError as error:
        raise IncompleteError(f"not JSON: {error.msg}", where=where) from None
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise IncompleteError(f"not UTF-8: {error.reason}", where=where) from None
    except (ValueError, RecursionError) as error:
        raise IncompleteError(f"not JSON: {error}", where=where) from None
    if not isinstance(value, dict):
        raise IncompleteError("expected a JSON object", where=where)
    return value


def settings_hash(suite: Suite, documents_path: Path) -> str:
    """What must agree for two arms to be compared on a suite: its settings and the bytes of its documents."""
    policy = {"description", "licence", "gated", "margin", "allowed_failures", "tags", "owners"}
    settings = suite.model_dump(mode="json", exclude=policy)
    if (examples := fewshot_path(documents_path, suite)) is None:
        # Suites without such a file keep the hash they had before there were any.
        del settings["documents"]["fewshot"]
        return fingerprint([settings, file_sha256(documents_path)])
    return fingerprint([settings, file_sha256(documents_path), file_sha256(examples)])
