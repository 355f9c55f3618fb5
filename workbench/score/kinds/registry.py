"""The suite kinds, one file each."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.core.suites import SuiteKind
from workbench.score.kinds import answers, generation, kl, lm_eval, perplexity, regression, safety, standard
from workbench.score.scoring import ScoreKind
from workbench.score.standard import is_standard

KINDS: Mapping[SuiteKind, ScoreKind] = {
    "lm_eval": lambda job: standard.score(job) if is_standard(job.suite) else lm_eval.score(job),
    "perplexity": perplexity.score,
    "kl": kl.score,
    "judge": answers.score,
    "regression": regression.score,
    "safety": safety.score,
    "generation": generation.score,
}
