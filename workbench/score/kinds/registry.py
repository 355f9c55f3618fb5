"""The suite kinds, one file each."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.core.suites import SuiteKind
from workbench.score.kinds import answers, lm_eval, perplexity, regression, safety
from workbench.score.scoring import ScoreKind

KINDS: Mapping[SuiteKind, ScoreKind] = {
    "lm_eval": lm_eval.score,
    "perplexity": perplexity.score,
    "judge": answers.score,
    "regression": regression.score,
    "safety": safety.score,
}
