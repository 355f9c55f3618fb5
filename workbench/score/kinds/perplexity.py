"""How surprised the model is by a text: nats per token of `text`, after `prompt` where there is one.

    {"text": "Return the absolute value of a number.", "prompt": "What does abs do?"}
    -> ScoreRow(metric="nll", value=2.91, weight=8.0, target="Return the ...",
                output='{"nll": 23.28, "tokens": 8, "bytes": 38, "words": 7}')

The suite's value is the mean over tokens (`weight`), so its exponential is the perplexity. With the metric
`bits_per_byte` it is the mean over bytes, which does not depend on how a tokenizer cuts text. Whichever is asked for,
the output holds what the other, and lm-eval's word and byte perplexities, are made of (`totals`). Long texts are read
in lm-eval's rolling windows; after a prompt they are cut at their end and counted (`passages.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from workbench.core.records import ScoreRow
from workbench.score.passages import Passage, passages, per_byte
from workbench.score.scoring import Job, Scored, score_row, text_field

_LARGEST_EXPONENT = 700


def score(job: Job) -> Scored:
    """One row per document; one without `text`, or whose prompt leaves no room for it, is a row with an error."""
    from workbench.models.likelihood import continuation_nll

    found = passages(job)
    windows = [window for passage in found for window in passage.windows]
    scores = iter(
        continuation_nll(
            job.loaded,
            windows,
            job.batch_size,
            on_batch=lambda done: job.on_batch(done, len(windows)),
            memo=job.memo,
        )
    )
    rows = [_row(job, passage, math.fsum(next(scores).nll_sum for _ in passage.windows)) for passage in found]
    return Scored(rows=rows, truncated=sum(passage.cut for passage in found))


def totals(rows: Iterable[ScoreRow]) -> dict[str, float]:
    """Of a suite's documents together, as lm-eval has them: `bits_per_byte`, `byte_perplexity` exp(nats / bytes) and
    `word_perplexity` exp(nats / words), the last only where it is a number a computer can write."""
    outputs = [json.loads(row.output) for row in rows if row.value is not None]
    nats = math.fsum(output["nll"] for output in outputs)
    size_bytes, words = (sum(output[unit] for output in outputs) for unit in ("bytes", "words"))
    if not outputs:
        return {}
    found = {"bits_per_byte": per_byte(nats, size_bytes), "byte_perplexity": math.exp(nats / size_bytes)}
    return found | ({"word_perplexity": math.exp(nats / words)} if nats / words < _LARGEST_EXPONENT else {})


def _row(job: Job, passage: Passage, nll: float) -> ScoreRow:
    error = passage.problem
    if error is None and not math.isfinite(nll):
        error = "the log-likelihood is not a finite number"
    value, weight = None, 1.0
    if error is None and job.suite.primary_metric == "bits_per_byte":
        value, weight = per_byte(nll, passage.size_bytes), float(passage.size_bytes)
    elif error is None:
        value, weight = nll / passage.tokens, float(passage.tokens)
    output = {"nll": nll, "tokens": passage.tokens, "bytes": passage.size_bytes, "words": passage.words}
    return score_row(
        job,
        passage.document,
        metric=job.suite.primary_metric,
        value=value,
        weight=weight,
        prompt=text_field(passage.document.fields, "prompt") or "",
        target=text_field(passage.document.fields, "text") or "",
        output="" if error else json.dumps(output),
        error=error,
    )
