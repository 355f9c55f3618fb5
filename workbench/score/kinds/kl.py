"""How far the arm has moved from the base: the divergence KL(base || arm) at every token of fixed texts, in nats.

    {"text": "Return the absolute value of a number.", "prompt": "What does abs do?"}
    -> ScoreRow(metric="kl", value=0.082, weight=8.0, output='{"kl": 0.656, "tokens": 8}')

Exact: over the whole vocabulary, at the positions that predict `text`, both models reading the same tokens. The base is
the loop's model in the arm's precision, so that an adapter is told from quantisation; an arm that is this base has 0.
It is the most sensitive sign that a model has changed, in whatever direction; texts are read as for `perplexity`.
"""

from __future__ import annotations

import json
import math

from workbench.core.records import ScoreRow
from workbench.score.passages import Passage, passages
from workbench.score.scoring import Job, Scored, score_row, text_field

METRIC = "kl"


def score(job: Job) -> Scored:
    """One row per document; one without `text`, or whose prompt leaves no room for it, is a row with an error."""
    found = passages(job)
    sums = iter(_divergences(job, found))
    rows = [_row(job, passage, math.fsum(next(sums) for _ in passage.windows)) for passage in found]
    return Scored(rows=rows, truncated=sum(passage.cut for passage in found))


def _divergences(job: Job, found: list[Passage]) -> list[float]:
    """Divergence of each window, summed over its tokens."""
    from workbench.models.divergence import divergence_sums

    windows = [window for passage in found for window in passage.windows]
    if job.base is None:
        return [0.0] * len(windows)
    return divergence_sums(
        job.base(),
        job.loaded,
        windows,
        job.batch_size,
        on_batch=lambda done: job.on_batch(done, len(windows)),
        memo=job.memo,
    )


def _row(job: Job, passage: Passage, kl: float) -> ScoreRow:
    error = passage.problem
    if error is None and not math.isfinite(kl):
        error = "the divergence is not a finite number"
    return score_row(
        job,
        passage.document,
        metric=METRIC,
        value=None if error else kl / passage.tokens,
        weight=1.0 if error else float(passage.tokens),
        prompt=text_field(passage.document.fields, "prompt") or "",
        target=text_field(passage.document.fields, "text") or "",
        output="" if error else json.dumps({"kl": kl, "tokens": passage.tokens}),
        error=error,
    )
