"""How well the model predicts a text: nats per token of `text`, after `prompt` where there is one.

    {"text": "Return the absolute value of a number.", "prompt": "What does abs do?"}
    -> ScoreRow(metric="nll", value=2.91, weight=8.0, target="Return the ...", output='{"nll": 23.28, "tokens": 8}')

The suite's value is the mean over tokens (`weight`), so its exponential is the perplexity. Without a prompt the text
follows the beginning-of-text token, as in lm-eval. A text too long for the model is cut at its end and counted.
"""

from __future__ import annotations

import json
import math

from workbench.core.records import Message, ScoreRow
from workbench.core.suites import SuiteDocument
from workbench.score.scoring import Job, Scored, score_row, text_field

METRIC = "nll"


def score(job: Job) -> Scored:
    """One row per document; one without `text`, or whose prompt leaves no room for it, is a row with an error."""
    from workbench.models.likelihood import continuation_nll

    pairs: list[tuple[list[int], list[int]]] = []
    problems: dict[int, str] = {}
    cut = 0
    for document in job.documents:
        prompt, text = _token_ids(job, document)
        room = job.loaded.config.max_length - len(prompt)
        if not text:
            problems[document.doc_id] = "document has no `text`"
        elif room < 1:
            problems[document.doc_id] = f"prompt of {len(prompt)} tokens fills the model's length"
        else:
            cut += len(text) > room
            pairs.append((prompt, text[:room]))
    scores = iter(
        continuation_nll(job.loaded, pairs, job.batch_size, on_batch=lambda done: job.on_batch(done, len(pairs)))
        if pairs
        else []
    )
    rows = []
    for document in job.documents:
        if problem := problems.get(document.doc_id):
            rows.append(_row(job, document, error=problem))
        else:
            measured = next(scores)
            rows.append(_row(job, document, nll=measured.nll_sum, tokens=measured.tokens))
    return Scored(rows=rows, truncated=cut)


def _token_ids(job: Job, document: SuiteDocument) -> tuple[list[int], list[int]]:
    """Ids of what stands before the text, and of the text."""
    from workbench.models.chat import prompt_ids, start_ids, text_ids

    tokenizer = job.loaded.tokenizer
    prompt = text_field(document.fields, "prompt")
    text = text_ids(tokenizer, text_field(document.fields, "text") or "")
    if prompt is None:
        return start_ids(tokenizer), text
    if job.suite.chat:
        return prompt_ids(tokenizer, [Message(role="user", content=prompt)], job.system_prompt), text
    return start_ids(tokenizer) + text_ids(tokenizer, prompt), text


def _row(job: Job, document: SuiteDocument, *, nll: float = 0.0, tokens: int = 0, error: str | None = None) -> ScoreRow:
    if error is None and not math.isfinite(nll):
        error = "the log-likelihood is not a finite number"
    return score_row(
        job,
        document,
        metric=METRIC,
        value=None if error else nll / tokens,
        weight=float(tokens) if tokens else 1.0,
        prompt=text_field(document.fields, "prompt") or "",
        target=text_field(document.fields, "text") or "",
        output="" if error else json.dumps({"nll": nll, "tokens": tokens}),
        error=error,
    )
