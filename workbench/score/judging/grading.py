"""Numbers on scales for the answers of both arms, one arm at a time: the judge sees one answer and a reference.

    2 arms x 24 documents x ("helpfulness", "accuracy")   ->  96 grades, and a mean per arm and scale with its interval

Shown beside the verdict, never part of it: no check says how far these numbers agree with people's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from workbench.core.records import Generation, Grade
from workbench.core.results import ScaleResult
from workbench.endpoints.calls import Answer, ChatRequest
from workbench.score.judging.asking import Asker
from workbench.score.judging.findings import mean_interval
from workbench.score.judging.scales import SCALES, Exam, Read, Scale, follow_up, question, read_grade, soft_score


@dataclass(frozen=True, slots=True)
class _Task:
    """One question to the judge."""

    generation: Generation
    scale: Scale
    turn: int
    repeat: int
    request: ChatRequest


def grades(asker: Asker, generations: Sequence[Generation], scales: Sequence[str]) -> list[Grade]:
    """Every answer on every scale, each turn of a conversation, each repeat; a failed answer gets no grade."""
    tasks = list(_tasks(asker, generations, scales))
    if not tasks:
        return []
    answers = asker.answers([task.request for task in tasks], "grades")
    read = [read_grade(task.scale, answer) for task, answer in zip(tasks, answers, strict=True)]
    softened = _softened(asker, tasks, read)
    return [_grade(asker, task, found, soft) for task, found, soft in zip(tasks, read, softened, strict=True)]


def scale_results(
    found: Sequence[Grade], before: str, after: str, clusters: Mapping[tuple[str, int], str | None]
) -> tuple[ScaleResult, ...]:
    """Means of both arms per scale and their paired difference, over documents; a document's turns and repeats are
    averaged. `clusters` has an entry for every document that both arms were asked about, by hash and occurrence; those
    without a grade in both have failed. Nothing for a scale on which no document has one."""
    results = []
    for name, of_scale in _by_scale(found).items():
        old, new = (_by_document(of_scale, arm) for arm in (before, after))
        shared = [key for key in old if key in new]
        if not shared:
            continue
        highest = SCALES[name].highest
        places = [clusters.get(key) for key in shared]
        results.append(
            ScaleResult(
                scale=name,
                highest=highest,
                before=mean_interval([old[key] for key in shared], 1, highest, places),
                after=mean_interval([new[key] for key in shared], 1, highest, places),
                gain=mean_interval([new[key] - old[key] for key in shared], 1 - highest, highest - 1, places),
                n=len(shared),
                failed=len(clusters) - len(shared),
                soft=any(grade.soft for grade in of_scale),
            )
        )
    return tuple(results)


def grading_troubles(found: Sequence[Grade], *, logprobs: bool) -> Iterator[str]:
    """What went wrong with the grades, in words, scale by scale: a scale without a single one has no result. With
    `logprobs` the digits' probabilities were asked for."""
    for name, of_scale in _by_scale(found).items():
        failed = Counter(grade.error or "no reason" for grade in of_scale if grade.score is None)
        if failed:
            reason, count = failed.most_common(1)[0]
            yield f"{failed.total()} of {len(of_scale)} replies hold no grade on {name}; {count} times: {reason}"
        hard = sum(grade.score is not None and not grade.soft for grade in of_scale)
        if logprobs and SCALES[name].has_digits and hard:
            yield (
                f"{hard} of {len(of_scale)} grades on {name} came without the log-probabilities that were asked for: "
                "their number counts as it is"
            )


def exams(generation: Generation) -> list[Exam]:
    """The answer to be graded, or each answer of a conversation with what was said before. A reference belongs to the
    last answer."""
    if not generation.turns:
        return [Exam(generation.prompt, generation.output, generation.reference)]
    said = [turn.content for turn in generation.turns]
    pairs = list(zip(said[::2], said[1::2], strict=True))
    return [
        Exam(asked, answer, generation.reference if place == len(pairs) - 1 else "", tuple(pairs[:place]))
        for place, (asked, answer) in enumerate(pairs)
    ]


def _tasks(asker: Asker, generations: Sequence[Generation], scales: Sequence[str]) -> Iterator[_Task]:
    for generation in generations:
        if generation.finish_reason == "error":
            continue
        for name in scales:
            scale = SCALES[name]
            for turn, exam in enumerate(exams(generation), start=1):
                for repeat in range(asker.repeats):
                    request = question(scale, exam, temperature=asker.temperature, repeat=repeat)
                    yield _Task(generation, scale, turn, repeat, request)


def _softened(asker: Asker, tasks: Sequence[_Task], read: Sequence[Read]) -> list[float | None]:
    """Means by probability for the tasks whose feedback could be read; None where there are none to be had."""
    wanted = [
        place
        for place, (task, found) in enumerate(zip(tasks, read, strict=True))
        if asker.logprobs and task.scale.has_digits and found.score is not None
    ]
    answers: dict[int, Answer] = {}
    if wanted:
        requests = [follow_up(tasks[place].request, read[place].feedback) for place in wanted]
        answers = dict(zip(wanted, asker.answers(requests, "scores"), strict=True))
    return [soft_score(task.scale, answers[place]) if place in answers else None for place, task in enumerate(tasks)]


def _grade(asker: Asker, task: _Task, found: Read, soft: float | None) -> Grade:
    return Grade(
        suite=task.generation.suite,
        doc_hash=task.generation.doc_hash,
        occurrence=task.generation.occurrence,
        arm=task.generation.arm,
        judge=asker.judge.name,
        prompt_sha256=task.scale.wording,
        scale=task.scale.name,
        turn=task.turn,
        repeat=task.repeat,
        score=found.score if soft is None else soft,
        soft=soft is not None,
        feedback=found.feedback,
        error=found.error,
        model=found.model,
    )


def _by_scale(found: Sequence[Grade]) -> dict[str, list[Grade]]:
    scales: dict[str, list[Grade]] = {}
    for grade in found:
        scales.setdefault(grade.scale, []).append(grade)
    return scales


def _by_document(found: Sequence[Grade], arm: str) -> dict[tuple[str, int], float]:
    """Mean score of each document of an arm; a document with an answer that got no score has none."""
    documents: dict[tuple[str, int], dict[int, list[float]]] = {}
    for grade in found:
        if grade.arm == arm:
            turns = documents.setdefault((grade.doc_hash, grade.occurrence), {})
            kept = turns.setdefault(grade.turn, [])
            if grade.score is not None:
                kept.append(grade.score)
    return {
        key: fmean(fmean(kept) for kept in turns.values()) for key, turns in documents.items() if all(turns.values())
    }
