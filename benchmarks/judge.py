"""How often the intervals of the judge's page hold the truth, by simulation.

    python benchmarks/judge.py            500 draws per line, 20 s on one core
    python benchmarks/judge.py --quick    100 draws
    python benchmarks/judge.py --json     one document

`labels`: win rate .6 over 300 documents, n of them labelled by people; the judge says the truth with the probability
`accuracy`, and with the probability `bias` the arm after, whatever the truth. A 95% interval should hold the truth in
.95 of the draws; `width` is that of the joined interval over that of the labels alone.
`kappa`: n golden pairs, a judge that is right with the probability `accuracy` and says tie in a tenth. `trusted` is
the share of draws whose lower limit reaches .4, `beyond` the share whose lower limit lies above the truth (.025 is
nominal).
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from workbench.score.judging.agreement import NOMINAL, kappa_interval
from workbench.score.judging.powered import prediction_powered

DOCUMENTS = 300
WIN_RATE = 0.6
TIES = 0.1


def labels(draws: int, rng: np.random.Generator, n: int, accuracy: float, bias: float) -> dict[str, Any]:
    """Coverage of both intervals and the width of one over the other."""
    joined = classical = 0
    widths = np.zeros(2)
    for _ in range(draws):
        truth = (rng.random(DOCUMENTS) < WIN_RATE).astype(float)
        judged = np.where(rng.random(DOCUMENTS) < accuracy, truth, 1 - truth)
        judged = np.where(rng.random(DOCUMENTS) < bias, 1.0, judged)
        found = prediction_powered(list(truth[:n]), list(judged[:n]), list(judged[n:]))
        assert found is not None
        joined += found.joined.low <= WIN_RATE <= found.joined.high
        classical += found.classical.low <= WIN_RATE <= found.classical.high
        widths += [found.joined.high - found.joined.low, found.classical.high - found.classical.low]
    return {
        "n": n,
        "accuracy": accuracy,
        "bias": bias,
        "joined": joined / draws,
        "classical": classical / draws,
        "width": float(widths[0] / widths[1]),
    }


def kappa(draws: int, rng: np.random.Generator, n: int, accuracy: float) -> dict[str, Any]:
    """How often the lower limit is above the truth, and how often it reaches .4."""
    right = [float(place % 2) for place in range(n)]
    # balanced truth: agreement `accuracy`, expected agreement half of what is no tie
    truth = (accuracy - (1 - TIES) / 2) / (1 - (1 - TIES) / 2)
    beyond = trusted = 0
    for _ in range(draws):
        kinds = rng.choice(3, size=n, p=[accuracy, TIES, 1 - TIES - accuracy])
        verdicts = [(side, 0.5, 1 - side)[kind] for side, kind in zip(right, kinds, strict=True)]
        low = kappa_interval(right, verdicts, 0, NOMINAL).low
        beyond += low > truth
        trusted += low >= 0.4
    return {"n": n, "accuracy": accuracy, "kappa": truth, "beyond": beyond / draws, "trusted": trusted / draws}


def main() -> None:
    """Runs both simulations and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 draws in place of 500")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    draws = 100 if options.quick else 500
    rng = np.random.default_rng(0)
    joined = [
        labels(draws, rng, n, accuracy, bias)
        for n in (20, 40, 80)
        for accuracy, bias in ((0.9, 0.0), (0.75, 0.0), (0.9, 0.3), (0.5, 0.0))
    ]
    agreed = [kappa(draws, rng, n, accuracy) for n in (40, 100) for accuracy in (0.6, 0.65, 0.75, 0.85)]
    if options.json:
        print(json.dumps({"schema_version": 1, "draws": draws, "labels": joined, "kappa": agreed}, indent=2))
        return
    for title, lines in (("labels", joined), ("kappa", agreed)):
        print(title)
        print("  " + "  ".join(f"{name:>9}" for name in lines[0]))
        for line in lines:
            shown = [f"{value:>9.3f}" if isinstance(value, float) else f"{value:>9}" for value in line.values()]
            print("  " + "  ".join(shown))


if __name__ == "__main__":
    main()
