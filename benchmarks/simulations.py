"""How often the statistics of sweeps and rounds are wrong, and how often they find what is there: made-up results of
trainings, with known truth, through the program's own comparison.

    python benchmarks/simulations.py                  the tables of docs/sweeps.md and docs/iterate.md, 4 minutes
    python benchmarks/simulations.py --only sweeps    one of them: sweeps, weaknesses
    python benchmarks/simulations.py --quick          a tenth of the repetitions
    python benchmarks/simulations.py --json           the same, with one JSON object as the last line

sweeps      several arms, some seeds each. Nats per token of a document: how hard it is (sd 1), what an arm makes of it
            (0.3), what one training makes of it (0.3), how well the training went (per row of the table), and what all
            arms of a seed share (0.02). Once all arms are equal: how often is one of them, the worst of them, called
            behind? Once one is 0.2 nats ahead: how many of the others are recognised?
weaknesses  ten topics with losses of sd 0.5. Once all are equal: how often is any of them called weak? Once one is
            behind: how often is it found?
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.compare.gain import Settings
from workbench.compare.seeds import SeededScores, seeded_gain
from workbench.compare.statistics.best import one_sided_confidence, shortfalls
from workbench.compare.statistics.estimates import Estimate
from workbench.compare.suite import Scale
from workbench.compare.weaknesses import topic_losses
from workbench.core.records import ScoreRow

ALPHA = 0.05
NATS = Scale("nats_per_token", False, -1, None)
DOCUMENTS = 210
AHEAD = 0.2
TOPICS, TOPIC_SD = 10, 0.5
Shape = Literal["normal", "skewed"]
SWEEPS: tuple[tuple[int, tuple[float, ...]], ...] = (
    (2, (0.05,) * 4),
    (3, (0.05,) * 4),
    (2, (0.02, 0.02, 0.1, 0.1)),
    (3, (0.02, 0.02, 0.1, 0.1)),
    (5, (0.02, 0.02, 0.1, 0.1)),
    (2, (0.01,) * 5 + (0.15,)),
    (3, (0.01,) * 5 + (0.15,)),
)
"""Seeds, and the spread between them of every arm (nats)."""
WEAKNESSES: tuple[tuple[Shape, int], ...] = (("normal", 8), ("normal", 20), ("skewed", 8), ("skewed", 20))
"""Shape of the losses, and documents per topic."""
BEHIND = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One row of the first table."""

    arms: int
    seeds: int
    spread: tuple[float, ...]
    best_called_behind: float
    worse_recognised: float


@dataclass(frozen=True, slots=True)
class WeaknessRow:
    """One row of the second table."""

    losses: Shape
    documents: int
    any_false: float
    found: tuple[float, ...]
    """By how far the topic is behind (`BEHIND`)."""


def main() -> None:
    """Runs what was asked for and prints the tables."""
    options = _options()
    share = 10 if options.quick else 1
    found: dict[str, list[SweepRow] | list[WeaknessRow]] = {}
    if options.only in (None, "sweeps"):
        found["sweeps"] = _sweeps(1000 // share)
    if options.only in (None, "weaknesses"):
        found["weaknesses"] = _weaknesses(6000 // share, 1000 // share)
    if options.json:
        print(json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", choices=("sweeps", "weaknesses"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args()


def _sweeps(repetitions: int) -> list[SweepRow]:
    print(f"{repetitions} sweeps per number, error of a share of {ALPHA:g}: +- {_error(repetitions):.2f}")
    print("arms  seeds  spread between seeds          best called behind  worse arm recognised", flush=True)
    found = []
    for seeds, spread in SWEEPS:
        rng = np.random.default_rng(1)
        equal = np.zeros(len(spread))
        for _ in range(repetitions):
            equal += _behind(_losses(rng, np.zeros(len(spread)), spread, seeds))
        recognised = 0.0
        gains = np.array([AHEAD, *[0.0] * (len(spread) - 1)])
        for _ in range(repetitions):
            recognised += _behind(_losses(rng, gains, spread, seeds))[1:].mean()
        row = SweepRow(
            len(spread), seeds, spread, float(equal.max() / repetitions), float(recognised / repetitions)
        )
        found.append(row)
        shown = ", ".join(f"{sd:g}" for sd in spread)
        print(
            f"{row.arms:>4}  {row.seeds:>5}  {shown:<36}  {row.best_called_behind:>11.2f}"
            f"  {row.worse_recognised:>20.2f}",
            flush=True,
        )
    return found


def _losses(
    rng: np.random.Generator, gains: NDArray[np.float64], spread: Sequence[float], seeds: int
) -> NDArray[np.float64]:
    """Nats per token, [documents, arms, seeds]."""
    arms = len(spread)
    hardness = rng.normal(0, 1, (DOCUMENTS, 1, 1))
    of_arm = rng.normal(0, 0.3, (DOCUMENTS, arms, 1))
    of_training = rng.normal(0, 0.3, (DOCUMENTS, arms, seeds))
    luck = rng.normal(0, 1, (1, arms, seeds)) * np.asarray(spread)[None, :, None]
    shared = rng.normal(0, 0.02, (1, 1, seeds))
    found: NDArray[np.float64] = 3 - gains[None, :, None] + hardness + of_arm + of_training + luck + shared
    return found


def _behind(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which arms are called behind the best, [arms]: a sweep's comparisons of arms that gain and do not forget."""
    arms = losses.shape[1]
    names = [str(arm) for arm in range(arms)]
    settings = Settings(one_sided_confidence(ALPHA, arms), 999, 0)
    alike, apart = np.ones(len(losses)), np.arange(len(losses))
    distances: dict[tuple[str, str], Estimate] = {}
    for one, other in combinations(range(arms), 2):
        gain = seeded_gain(SeededScores(losses[:, one], losses[:, other], alike, apart), NATS, settings, ALPHA)
        assert gain is not None
        distances[names[one], names[other]] = gain.estimate
    short = shortfalls(names, distances)
    return np.array([short[name][1] > 0 for name in names])


def _weaknesses(equal: int, behind: int) -> list[WeaknessRow]:
    print(f"{TOPICS} topics; {equal} simulations of equal ones, {behind} per distance of one that is behind")
    header = "".join(f"{distance:>8g}" for distance in BEHIND)
    print(f"losses  documents  any false{header}   (nats behind: share found)", flush=True)
    found = []
    for shape, documents in WEAKNESSES:
        rng = np.random.default_rng(2)
        false = sum(bool(_weak(rng, shape, documents, 0.0)) for _ in range(equal)) / equal
        shares = tuple(
            sum("topic 0" in _weak(rng, shape, documents, distance) for _ in range(behind)) / behind
            for distance in BEHIND
        )
        found.append(WeaknessRow(shape, documents, false, shares))
        shown = "".join(f"{share:>8.2f}" for share in shares)
        print(f"{shape:<6}  {documents:>9}  {false:>9.3f}{shown}", flush=True)
    return found


def _weak(rng: np.random.Generator, shape: Shape, documents: int, behind: float) -> set[str]:
    """Topics that are called weak; the first one is `behind` nats behind."""
    values = _topic_losses(rng, shape, documents)
    values[0] += behind
    rows = [
        ScoreRow(
            arm="made up",
            suite="topics",
            task="topics",
            metric="nll",
            doc_hash=f"{topic} {number}",
            doc_id=number,
            value=float(value),
            group=f"topic {topic}",
        )
        for topic, own in enumerate(values)
        for number, value in enumerate(own)
    ]
    topics, _ = topic_losses(rows, 3, ALPHA, 0.95)
    return {one.topic for one in topics if one.weak}


def _topic_losses(rng: np.random.Generator, shape: Shape, documents: int) -> NDArray[np.float64]:
    """Nats per token, [topics, documents], of one mean and of standard deviation `TOPIC_SD`."""
    if shape == "normal":
        return rng.normal(3, TOPIC_SD, (TOPICS, documents))
    return rng.gamma(2, TOPIC_SD / math.sqrt(2), (TOPICS, documents))


def _error(repetitions: int) -> float:
    """Half the width of the 95% interval of a share of `ALPHA`."""
    return 1.96 * math.sqrt(ALPHA * (1 - ALPHA) / repetitions)


if __name__ == "__main__":
    main()
