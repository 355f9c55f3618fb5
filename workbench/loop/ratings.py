"""What people said of pairs of answers: one line per verdict, written at once, never rewritten.

    .workbench/decisions/ratings.jsonl      HumanRating per line

A rater's last line about a contest counts; undoing writes a `withdrawn` line. Which side an answer stands on, and in
which order a rater gets the contests, follow from a hash of seed, rater and contest: raters differ in both, and a rater
who comes back sees the same again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.paths import Project
from workbench.core.records import SCHEMA_VERSION, HumanRating, contest_id
from workbench.loop.contests import Contest
from workbench.store.history import RATINGS

Side = Literal["before", "after"]
Choice = Literal["first", "second", "tie", "neither"]
"""What a rater can say of the two answers shown."""


@dataclass(frozen=True, slots=True)
class RatingLog:
    """The lines of a project's ratings in the order in which they were written."""

    ratings: tuple[HumanRating, ...]
    unreadable: tuple[int, ...] = ()
    """Numbers of the lines that are no ratings."""

    def standing(self, rater: str | None = None) -> dict[tuple[str, str], HumanRating]:
        """The rating that holds per contest and rater, oldest first; those of one rater alone if given."""
        holding: dict[tuple[str, str], HumanRating] = {}
        for rating in self.ratings:
            key = (contest_id(rating.prompt, rating.before_output, rating.after_output), rating.rater)
            holding.pop(key, None)
            if rating.verdict != "withdrawn" and rater in (None, rating.rater):
                holding[key] = rating
        return holding


def ratings_path(project: Project) -> Path:
    """The project's ratings."""
    return project.decisions / RATINGS


def read_log(path: Path) -> RatingLog:
    """All ratings; empty without a file. IncompleteError for a line written by a newer version."""
    ratings: list[HumanRating] = []
    unreadable: list[int] = []
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            rating = HumanRating.model_validate_json(line)
        except ValidationError:
            unreadable.append(number)
            continue
        if rating.schema_version > SCHEMA_VERSION:
            raise IncompleteError(
                "the rating was written by a newer version of workbench",
                where=f"{path}:{number}",
                next_step="upgrade workbench",
            )
        ratings.append(rating)
    return RatingLog(tuple(ratings), tuple(unreadable))


def append_rating(path: Path, rating: HumanRating) -> None:
    """Adds one line and waits until it is on the disk. A line torn by a crash goes to `ratings.torn` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        _end_last_line(path, stream)
        stream.write(rating.model_dump_json().encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _end_last_line(path: Path, stream: BinaryIO) -> None:
    """Whole lines alone stay: the end of the file gets its newline, or is moved aside if it is no rating."""
    written = path.read_bytes()
    last = written[written.rfind(b"\n") + 1 :]
    if not last:
        return
    try:
        HumanRating.model_validate_json(last)
        stream.write(b"\n")
    except ValidationError:
        with path.with_suffix(".torn").open("ab") as torn:
            torn.write(last + b"\n")
        stream.truncate(len(written) - len(last))


def shown_first(contest: str, rater: str, seed: int) -> Side:
    """Which answer a rater sees first."""
    return "before" if _draw("side", contest, rater, seed) % 2 else "after"


def in_order(contests: Sequence[Contest], rater: str, seed: int, limit: int | None) -> list[Contest]:
    """The contests in the order of one rater. The `limit` picks the same ones for everybody, so raters can agree."""
    different = {contest.id: contest for contest in contests}.values()
    picked = sorted(different, key=lambda contest: _draw("pick", contest.id, "", seed))[:limit]
    return sorted(picked, key=lambda contest: _draw("order", contest.id, rater, seed))


def _draw(what: str, contest: str, rater: str, seed: int) -> int:
    """A number between 0 and 2^64 that nobody can foresee and everybody can repeat."""
    digest = hashlib.sha256("\x1f".join((what, str(seed), rater, contest)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True, slots=True)
class Shown:
    """A contest as a rater sees it: two answers without names."""

    contest: Contest
    first: Side
    """Which of them stands first."""

    @property
    def outputs(self) -> tuple[str, str]:
        """Both answers in the order in which they are shown."""
        texts = (self.contest.before_output, self.contest.after_output)
        return texts if self.first == "before" else texts[::-1]


class RatingSession:
    """One rater at work: what is to be rated next, and every verdict on the disk before the next is shown."""

    def __init__(
        self,
        path: Path,
        contests: Sequence[Contest],
        rater: str,
        *,
        seed: int = 0,
        limit: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.rater = rater
        self._path = path
        self._seed = seed
        self._clock = clock
        chosen = {contest.id: contest for contest in in_order(contests, rater, seed, limit)}
        self._contests = chosen
        held = read_log(path).standing(rater)
        self._rated = {contest: rating.note for (contest, _), rating in held.items() if contest in chosen}
        """Notes on the rated ones, the last one last."""
        self._waiting = [contest for contest in chosen if contest not in self._rated]

    @property
    def total(self) -> int:
        """Contests to rate, those rated included."""
        return len(self._contests)

    @property
    def done(self) -> int:
        """Contests that this rater has rated."""
        return len(self._rated)

    def current(self) -> Shown | None:
        """What is to be rated; None when everything is."""
        if not self._waiting:
            return None
        contest = self._contests[self._waiting[0]]
        return Shown(contest, shown_first(contest.id, self.rater, self._seed))

    def decide(self, choice: Choice, note: str = "") -> None:
        """Writes down what the rater says of the current one."""
        shown = self.current()
        assert shown is not None, "nothing is left to rate"
        other: Side = "after" if shown.first == "before" else "before"
        verdicts: dict[Choice, Literal["before", "after", "tie", "neither"]] = {
            "first": shown.first,
            "second": other,
            "tie": "tie",
            "neither": "neither",
        }
        self._write(shown, verdicts[choice], note)
        self._rated[self._waiting.pop(0)] = note

    def skip(self) -> None:
        """Puts the current one off until the others are rated; nothing is written."""
        self._waiting.append(self._waiting.pop(0))

    def undo(self) -> str | None:
        """Takes the rater's last verdict back, which is a line of its own, and asks again; gives the note that went
        with it. None if there is none."""
        if not self._rated:
            return None
        contest, note = next(reversed(self._rated.items()))
        first = shown_first(contest, self.rater, self._seed)
        self._write(Shown(self._contests[contest], first), "withdrawn", "")
        del self._rated[contest]
        self._waiting.insert(0, contest)
        return note

    def _write(
        self, shown: Shown, verdict: Literal["before", "after", "tie", "neither", "withdrawn"], note: str
    ) -> None:
        contest = shown.contest
        rating = HumanRating(
            suite=contest.suite,
            doc_hash=contest.doc_hash,
            occurrence=contest.occurrence,
            before=contest.before,
            after=contest.after,
            prompt=contest.prompt,
            reference=contest.reference,
            before_output=contest.before_output,
            after_output=contest.after_output,
            rater=self.rater,
            verdict=verdict,
            shown_first=shown.first,
            note=note,
            at=self._clock().isoformat(timespec="seconds"),
        )
        append_rating(self._path, rating)
