"""The repository's own `evaluate` modules, loaded by path: nothing is looked up on the hub.

    scores("rouge", [Answered("the cat sat", ("the cat lay",), {})], rouge_types=["rouge1"])
    ->  {"rouge1": 0.667, "scores": {"rouge1": [0.667]}}

The same files work wherever `evaluate` is installed: `evaluate.load("workbench/score/evaluate_modules/rouge.py")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from workbench.score.metrics.metric import Answered, Measured, Reading

MODULES = Path(__file__).parents[1] / "evaluate_modules"


def scores(module: str, answers: Sequence[Answered], **settings: Any) -> dict[str, Any]:
    """What the module computes of the answers, at least one, against all their references."""
    found: dict[str, Any] = _load(module).compute(
        predictions=[answer.text for answer in answers],
        references=[list(answer.references) for answer in answers],
        **settings,
    )
    return found


def readings(values: Sequence[float]) -> list[Reading]:
    """Readings of answers that can always be read; what rounding put above 1 is 1."""
    return [Reading(min(float(value), 1.0)) for value in values]


def measured(module: str, answers: Sequence[Answered], **settings: Any) -> Measured:
    """One reading per answer of a module whose `scores` is a list."""
    return Measured(readings(scores(module, answers, **settings)["scores"]))


@cache
def _load(module: str) -> Any:
    # 1 to 3 s: evaluate imports datasets and pyarrow
    import evaluate

    return evaluate.load(str(MODULES / f"{module}.py"), keep_in_memory=True)
