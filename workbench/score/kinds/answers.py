"""Answers for the judge and for people: greedy generations to `prompt`, without a score of their own.

    {"prompt": "What does abs do?", "reference": "Returns the absolute value."}
    -> Generation(prompt="What does abs do?", output="abs returns ...", tokens=31, finish_reason="stop")

A document may have `turns` in place of `prompt`: the second question is put after the model's own first answer.
They are compared later, by the judge, on two arms at once.
"""

from __future__ import annotations

from workbench.core.records import Generation
from workbench.core.suites import SuiteDocument
from workbench.score.scoring import Job, Scored
from workbench.score.turns import Conversation, converse, joined, reference


def score(job: Job) -> Scored:
    """One generation per document; one without a usable prompt has finish reason `error`."""
    talks = converse(job)
    return Scored(
        generations=[_generation(job, document, talk) for document, talk in zip(job.documents, talks, strict=True)]
    )


def _generation(job: Job, document: SuiteDocument, talk: Conversation) -> Generation:
    error = next((given.error for given in talk.answers if given.error is not None), None)
    cut = any(given.finish_reason == "length" for given in talk.answers)
    return Generation(
        arm=job.arm,
        suite=job.suite.name,
        doc_hash=document.doc_hash,
        occurrence=document.occurrence,
        prompt=joined(talk.questions),
        reference=reference(document.fields),
        output=joined(tuple(given.text for given in talk.answers)) if error is None else error,
        tokens=sum(given.tokens for given in talk.answers),
        finish_reason="error" if error is not None else "length" if cut else "stop",
        turns=talk.messages() if len(talk.questions) > 1 and error is None else (),
    )
