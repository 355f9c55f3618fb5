"""Answers for the judge and for people: greedy generations to `prompt`, without a score of their own.

    {"prompt": "What does abs do?", "reference": "Returns the absolute value."}
    -> Generation(prompt="What does abs do?", output="abs returns ...", tokens=31, finish_reason="stop")

They are compared later, by the judge, on two arms at once.
"""

from __future__ import annotations

from workbench.core.records import Generation
from workbench.score.answering import answer
from workbench.score.scoring import Job, Scored, text_field


def score(job: Job) -> Scored:
    """One generation per document; one without a usable prompt has finish reason `error`."""
    answers = answer(job)
    generations = [
        Generation(
            arm=job.arm,
            suite=job.suite.name,
            doc_hash=document.doc_hash,
            occurrence=document.occurrence,
            prompt=text_field(document.fields, "prompt") or "",
            reference=text_field(document.fields, "reference") or "",
            output=given.text if given.error is None else given.error,
            tokens=given.tokens,
            finish_reason=given.finish_reason,
        )
        for document, given in zip(job.documents, answers, strict=True)
    ]
    return Scored(generations=generations)
