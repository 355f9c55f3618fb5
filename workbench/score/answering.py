"""Greedy answers to the documents' prompts, as the safety and judge suites need them.

    answer(job)  ->  [Answer(text="abs returns ...", tokens=31, finish_reason="stop", error=None), ...]

A document that cannot be asked gets an answer with the reason instead of a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.records import Message
from workbench.core.suites import SuiteDocument
from workbench.score.scoring import GENERATION_BATCH_FACTOR, Job, text_field


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one document, or why it could not be asked."""

    text: str
    tokens: int
    finish_reason: Literal["stop", "length", "error"]
    error: str | None = None


def answer(job: Job, earlier: Mapping[int, Sequence[Message]] | None = None) -> list[Answer]:
    """One answer per document, in order, of at most `suite.max_new_tokens` tokens; `earlier` holds what was said before
    the prompt, by `doc_id`."""
    from workbench.models.generate import generate

    prompts: list[list[int]] = []
    problems: dict[int, str] = {}
    room = job.loaded.config.max_length - job.suite.max_new_tokens
    for document in job.documents:
        ids = _prompt_ids(job, document, (earlier or {}).get(document.doc_id, ()))
        if not ids:
            problems[document.doc_id] = "document has no `prompt`"
        elif len(ids) > room:
            problems[document.doc_id] = (
                f"prompt of {len(ids)} tokens leaves no room for {job.suite.max_new_tokens} more"
            )
        else:
            prompts.append(ids)
    batch_size = job.batch_size * GENERATION_BATCH_FACTOR
    texts = iter(
        generate(
            job.loaded,
            prompts,
            job.suite.max_new_tokens,
            batch_size,
            on_batch=lambda done: job.on_batch(done, len(prompts)),
            memo=job.memo,
        )
        if prompts
        else []
    )
    answers = []
    for document in job.documents:
        if problem := problems.get(document.doc_id):
            answers.append(Answer("", 0, "error", problem))
        else:
            given = next(texts)
            job.on_generated(given.tokens)
            answers.append(Answer(given.text, given.tokens, given.finish_reason))
    return answers


def _prompt_ids(job: Job, document: SuiteDocument, earlier: Sequence[Message]) -> list[int]:
    from workbench.models.chat import prompt_ids, start_ids, text_ids

    prompt = text_field(document.fields, "prompt")
    if prompt is None:
        return []
    if job.suite.chat:
        messages = [*earlier, Message(role="user", content=prompt)]
        return prompt_ids(job.loaded.tokenizer, messages, job.system_prompt)
    return start_ids(job.loaded.tokenizer) + text_ids(job.loaded.tokenizer, prompt)
