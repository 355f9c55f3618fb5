"""What people said of pairs of answers.

    {"prompt": "Capital of Peru?", "before_output": "Quito", "after_output": "Lima", "rater": "ann", "verdict": "after"}

One line per rating (`HumanRating`), as `workbench rate` writes them; a file made elsewhere needs these five keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.core.config import JudgeConfig
from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.parts import read_rows
from workbench.core.paths import inside
from workbench.core.records import HumanRating, contest_id
from workbench.score.judging.pairwise import Bout

RATED_ARMS = ("rated-before", "rated-after")
"""In judgments of the contests that people rated, in place of arms; `doc_hash` is then the `contest_id`."""
_PREFERENCES = {"before": 0.0, "after": 1.0, "tie": 0.5, "neither": 0.5}


@dataclass(frozen=True, slots=True)
class Rated:
    """One pair of answers with what people said of it."""

    bout: Bout
    """The answer before stands first."""
    by_rater: dict[str, float]
    """Preference for the answer after: 0, 0.5 or 1."""

    @property
    def mean(self) -> float:
        """Mean preference for the answer after."""
        return sum(self.by_rater.values()) / len(self.by_rater)


def ratings_path(config: JudgeConfig, project: Path) -> Path:
    """Where people's ratings are; UsageError for a path outside of the project."""
    return inside(project, config.ratings, where="judge.ratings")


def ratings_external(config: JudgeConfig, project: Path) -> dict[str, str]:
    """Hash of people's ratings, which decide on the trust; UsageError for a file that is named and missing."""
    path = ratings_path(config, project)
    if path.is_file():
        return {f"ratings:{config.ratings}": file_sha256(path)}
    if config.ratings != JudgeConfig.model_fields["ratings"].default:
        raise UsageError(
            f"there is no file {config.ratings}",
            where="judge.ratings",
            next_step="rate some pairs with `workbench rate`, or remove the key",
        )
    return {}


def read_ratings(path: Path, suite: str) -> dict[str, Rated]:
    """Rated contests of a suite by `contest_id`, in the order in which they first occur; empty without a file. Two
    answers rated in both directions, by arms that changed places, are one contest.

    The last word of a rater about a contest counts. Raises IncompleteError for a line that is no rating; a last
    line that breaks off is one that a killed `workbench rate` never said.
    """
    if not path.is_file():
        return {}
    bouts: dict[str, Bout] = {}
    votes: dict[str, dict[str, float]] = {}
    for rating in read_rows(path, HumanRating, torn_last=True):
        if rating.suite not in ("", suite):
            continue
        key = contest_id(rating.prompt, rating.before_output, rating.after_output)
        turned = contest_id(rating.prompt, rating.after_output, rating.before_output)
        is_turned = turned != key and turned in bouts
        if is_turned:
            key = turned
        else:
            bouts[key] = Bout(rating.prompt, rating.before_output, rating.after_output)
        cast = votes.setdefault(key, {})
        if rating.verdict == "withdrawn":
            cast.pop(rating.rater, None)
        else:
            preference = _PREFERENCES[rating.verdict]
            cast[rating.rater] = 1 - preference if is_turned else preference
    return {key: Rated(bouts[key], cast) for key, cast in votes.items() if cast}


def label_of(rated: dict[str, Rated], bout: Bout) -> float | None:
    """Mean human preference for the second answer of a bout, whichever way round it was rated; None if it was not."""
    if found := rated.get(contest_id(bout.prompt, bout.first, bout.second)):
        return found.mean
    found = rated.get(contest_id(bout.prompt, bout.second, bout.first))
    return None if found is None else 1 - found.mean
