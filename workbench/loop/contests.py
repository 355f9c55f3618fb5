"""What people rate: two arms' different answers to the same prompts, from the answers a run kept.

    find_contests(project, None, None, None, None)
        ->  Contests(run="demo-...", before="base@nf4", after="candidate", contests=(Contest(...), ...), equal=3, ...)

Equal answers leave nothing to choose and failed ones nothing to read: both are counted and not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import read_rows
from workbench.core.paths import Project
from workbench.core.records import Generation, contest_id
from workbench.loop.runs import list_runs
from workbench.loop.scored import config_of, run_artifact, scored_arm

_PART = "generations.jsonl"
_NEXT = "give a run whose loop has a suite of kind `judge`: its answers are kept"


@dataclass(frozen=True, slots=True)
class Contest:
    """Two different answers to one prompt."""

    suite: str
    doc_hash: str
    occurrence: int
    before: str
    """Name of the arm before."""
    after: str
    prompt: str
    reference: str
    before_output: str
    after_output: str

    @property
    def id(self) -> str:
        """Of the texts: `contest_id`."""
        return contest_id(self.prompt, self.before_output, self.after_output)


@dataclass(frozen=True, slots=True)
class Contests:
    """What a run has for people to rate."""

    run: str
    before: str
    after: str
    contests: tuple[Contest, ...]
    """In the order of the documents."""
    equal: int
    """Documents on which both arms say the same."""
    failed: int
    """Documents on which an arm failed to answer."""
    unpaired: int
    """Answers of one arm to documents that the other did not answer."""


def find_contests(
    project: Project, run: str | None, suite: str | None, before: str | None, after: str | None
) -> Contests:
    """The contests of a run (None: the newest that kept answers) between two arms (None: those that decide the run).

    UsageError for a run, arm or suite that is not there; IncompleteError for arms that kept no answers.
    """
    if before is not None:
        _refuse_equal(before, after)
    run = run or _newest(project, before, after)
    names = _arms(project, run, before, after)
    _refuse_equal(*names)
    left, right = (_kept_answers(project, run, name) for name in names)
    suites = list(dict.fromkeys(answer.suite for answer in left))
    if suite is not None and suite not in suites:
        raise UsageError(
            f"no answers to suite {suite!r} were kept; there are: {', '.join(suites) or 'none'}", where=run
        )
    contests, equal, failed, unpaired = _paired(
        [answer for answer in left if suite in (None, answer.suite)],
        [answer for answer in right if suite in (None, answer.suite)],
    )
    return Contests(run, *names, contests, equal, failed, unpaired)


def _refuse_equal(before: str, after: str | None) -> None:
    if before == after:
        raise UsageError(f"both arms are {before!r}: there is nothing to compare", next_step="--before A --after B")


def _paired(left: Sequence[Generation], right: Sequence[Generation]) -> tuple[tuple[Contest, ...], int, int, int]:
    """Contests, and the number of equal, failed and unpaired documents."""
    others = {(answer.suite, answer.doc_hash, answer.occurrence): answer for answer in right}
    contests: list[Contest] = []
    equal = failed = unpaired = 0
    for mine in left:
        theirs = others.pop((mine.suite, mine.doc_hash, mine.occurrence), None)
        if theirs is None:
            unpaired += 1
        elif "error" in (mine.finish_reason, theirs.finish_reason):
            failed += 1
        elif mine.output.strip() == theirs.output.strip():
            equal += 1
        else:
            contests.append(_contest(mine, theirs))
    return tuple(contests), equal, failed, unpaired + len(others)


def _contest(before: Generation, after: Generation) -> Contest:
    return Contest(
        suite=before.suite,
        doc_hash=before.doc_hash,
        occurrence=before.occurrence,
        before=before.arm,
        after=after.arm,
        prompt=before.prompt,
        reference=before.reference,
        before_output=before.output,
        after_output=after.output,
    )


def _kept_answers(project: Project, run: str, arm: str) -> list[Generation]:
    artifact = scored_arm(project, f"{run}:{arm}")
    path = artifact.part(_PART)
    answers = list(read_rows(path, Generation)) if path.is_file() else []
    if not answers:
        raise IncompleteError("the arm kept no answers", where=f"{run}:{arm}", next_step=_NEXT)
    return answers


def _arms(project: Project, run: str, before: str | None, after: str | None) -> tuple[str, str]:
    """The arms as named, or those of the pair that decides the run."""
    deciding = next(pair for pair in config_of(project, run).compare.pairs if pair.purpose == "candidate")
    return before or deciding.before, after or deciding.after


def _newest(project: Project, before: str | None, after: str | None) -> str:
    for view in list_runs(project):
        if not any(node.stage == "score" for node in view.nodes):
            continue
        arms = _arms(project, view.run, before, after)
        artifacts = [run_artifact(project, view.run, f"score:{arm}") for arm in arms]
        if all(artifact is not None and _is_filled(artifact.part(_PART)) for artifact in artifacts):
            return view.run
    raise UsageError("no run of this project kept answers of both arms", where=str(project.runs), next_step=_NEXT)


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
