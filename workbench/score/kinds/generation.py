"""Answers to `prompt`, measured against `answer`: the metrics of `workbench/score/metrics`, one number per document.

    {"prompt": "The capital of Peru is", "answer": ["Lima", "Ciudad de los Reyes"]}
    -> ScoreRow(metric="token_f1", value=1.0, target="Lima", output="Lima.")

An answer of which nothing could be read is 0 and `parsed=False`: format, not ability.
"""

from __future__ import annotations

from workbench.core.records import ScoreRow
from workbench.score.answering import Answer, answer
from workbench.score.generation_task import GenerationTask, generation_task, read_answer, references
from workbench.score.metrics.chosen import measure
from workbench.score.metrics.metric import Answered, Reading
from workbench.score.metrics.regex_match import TIMEOUT_S
from workbench.score.scoring import Job, Scored, score_row, text_field


def score(job: Job) -> Scored:
    """One row per document and metric; one without a usable prompt or right answer is a row with an error."""
    task = generation_task(job.suite)
    answers = answer(job)
    read = [_read(task, given) for given in answers]
    answered = [
        Answered(text or "", references(document.fields), document.fields, read=text is not None)
        for (text, fault), document in zip(read, job.documents, strict=True)
        if fault is None
    ]
    rows: list[ScoreRow] = []
    corpus: dict[str, float] = {}
    for chosen in task.metrics:
        measured = measure(chosen, answered)
        corpus |= measured.corpus
        measured_readings = iter(measured.readings)
        for document, given, (_, fault) in zip(job.documents, answers, read, strict=True):
            reading = next(measured_readings) if fault is None else Reading(None, error=fault)
            rows.append(
                score_row(
                    job,
                    document,
                    metric=chosen.metric.name,
                    value=reading.value,
                    parsed=reading.parsed,
                    prompt=text_field(document.fields, "prompt") or "",
                    target=next(iter(references(document.fields)), ""),
                    output=given.text,
                    error=reading.error,
                )
            )
    return Scored(rows=rows, corpus=corpus)


def _read(task: GenerationTask, given: Answer) -> tuple[str | None, str | None]:
    """The part of an answer that counts, and why the document failed."""
    if given.error is not None:
        return None, given.error
    try:
        return read_answer(task, given.text), None
    except TimeoutError:
        return None, f"task.answer_pattern took longer than {TIMEOUT_S:g} s on this answer"
