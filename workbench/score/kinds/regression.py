"""Choices the base got right by a margin when they were frozen: any failure is news.

    {"question": "The capital of France is", "choices": ["Paris", "Oslo"], "answer": 0}
    -> ScoreRow(metric="acc", value=1.0, ...)

Scored exactly as multiple choice; what differs is how failures are judged, and that is not decided here.
"""

from __future__ import annotations

from workbench.score.kinds import lm_eval
from workbench.score.scoring import Job, Scored

METRIC = "acc"


def score(job: Job) -> Scored:
    """One row per document with the suite's metric: `acc`, or `acc_norm` where answers differ in length."""
    return lm_eval.score(job)
