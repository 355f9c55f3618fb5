"""What scoring a suite takes: tokens from the tokenizer alone, seconds from what earlier runs took.

    tokens_of(suite, documents, [], tokenizer, system_prompt=None)  ->  Tokens(documents=200, read=4_180, generated=0)
    expected_seconds(Tokens(...), [timing of the same suite: .021 s a document], others)  ->  4.2

Tokens read count every choice with its prompt, as if nothing were shared; tokens generated are the most there can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.records import Message
from workbench.core.suites import Suite, SuiteDocument
from workbench.core.timing import SuiteTiming
from workbench.score.scoring import text_field
from workbench.score.standard import is_standard, leaves, shots

_COUNTED = 100
"""Documents that are tokenized, evenly spread; the others are taken to be like them."""
_DEFAULT_ANSWER = 256
"""lm-eval's own limit of an answer."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one arm has to compute on a suite."""

    documents: int
    read: int
    generated: int


def tokens_of(
    suite: Suite,
    documents: Sequence[SuiteDocument],
    examples: Sequence[dict[str, Any]],
    tokenizer: Any,
    *,
    system_prompt: str | None,
) -> Tokens:
    """Tokens of one arm; IncompleteError or PrerequisiteError where a standard task cannot be built."""
    step = max(1, len(documents) // _COUNTED)
    some = list(documents)[::step]
    read = generated = 0
    for prompt, continuations, answer in _requests(suite, some, examples, tokenizer, system_prompt):
        ids = len(tokenizer.encode(prompt, add_special_tokens=False))
        own = [len(tokenizer.encode(text, add_special_tokens=False)) for text in continuations]
        read += sum(ids + count for count in own) if own else ids
        generated += answer
    scale = len(documents) / len(some)
    return Tokens(len(documents), round(read * scale), round(generated * scale))


def expected_seconds(
    tokens: Tokens, same: Sequence[SuiteTiming], others: Iterable[tuple[Tokens, SuiteTiming]]
) -> float | None:
    """Seconds of one arm, from the middle of what this suite took, else from what others took per token.

    None if nothing like it was ever scored in the project."""
    if same:
        per_document = sorted(timing.seconds_per_document for timing in same)
        return per_document[len(per_document) // 2] * tokens.documents
    alike = [
        (known.generated or known.read, timing)
        for known, timing in others
        if bool(known.generated) == bool(tokens.generated) and timing.documents == known.documents
    ]
    counted, took = sum(count for count, _ in alike), sum(timing.seconds for _, timing in alike)
    return took / counted * (tokens.generated or tokens.read) if counted else None


Request = tuple[str, list[str], int]
"""Prompt, continuations that are scored after it, tokens that may be generated."""


def _requests(
    suite: Suite,
    documents: Sequence[SuiteDocument],
    examples: Sequence[dict[str, Any]],
    tokenizer: Any,
    system_prompt: str | None,
) -> Iterable[Request]:
    if suite.kind in ("lm_eval", "regression"):
        yield from _standard(suite, documents, examples) if is_standard(suite) else _task(suite, documents)
        return
    for one in documents:
        prompt = text_field(one.fields, "prompt") or ""
        turns = one.fields.get("turns")
        if isinstance(turns, list):
            prompt = "\n".join(map(str, turns))
        if prompt and suite.chat:
            prompt = _chat(tokenizer, prompt, system_prompt)
        if suite.kind in ("perplexity", "kl"):
            yield prompt, [text_field(one.fields, "text") or ""], 0
        else:
            yield prompt, [], suite.max_new_tokens * (len(turns) if isinstance(turns, list) else 1)


def _chat(tokenizer: Any, prompt: str, system_prompt: str | None) -> str:
    from workbench.models.chat import prompt_ids

    return str(tokenizer.decode(prompt_ids(tokenizer, [Message(role="user", content=prompt)], system_prompt)))


def _task(suite: Suite, documents: Sequence[SuiteDocument]) -> Iterable[Request]:
    from workbench.score.kinds.lm_eval import load_task, readable_documents
    from workbench.score.tasks import task_settings

    settings = task_settings(suite)
    readable, _ = readable_documents(suite, settings, list(documents))
    if readable:
        task = load_task(settings, [one.fields for one in readable])["tasks"][settings["task"]]
        yield from _asked(task, [one.fields for one in readable], settings["num_fewshot"])


def _standard(
    suite: Suite, documents: Sequence[SuiteDocument], examples: Sequence[dict[str, Any]]
) -> Iterable[Request]:
    from workbench.score.standard_task import by_subtask, standard_task

    tasks = leaves(suite.task["standard"])
    drawn = by_subtask(examples, tasks) if examples else {}
    rows = by_subtask([one.fields for one in documents], tasks)
    for task in tasks:
        if task.name in rows:
            count = shots(suite, task)
            loaded = standard_task(task, rows[task.name], drawn.get(task.name, []), count)
            yield from _asked(loaded, list(loaded.eval_docs), count)


def _asked(task: Any, rows: Sequence[dict[str, Any]], count: int) -> Iterable[Request]:
    """Requests of one of lm-eval's tasks, with its few-shot examples before them."""
    limit = (task.config.generation_kwargs or {}).get("max_gen_toks", _DEFAULT_ANSWER)
    for row in rows:
        prompt = str(task.fewshot_context(row, num_fewshot=count))
        if task.OUTPUT_TYPE == "multiple_choice":
            yield prompt, [f" {choice}" for choice in task.doc_to_choice(row)], 0
        elif task.OUTPUT_TYPE == "generate_until":
            yield prompt, [], int(limit)
        else:
            yield prompt, [str(task.doc_to_target(row))], 0
