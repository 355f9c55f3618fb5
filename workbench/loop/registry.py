"""The nine stages, by name. A stage module imports nothing heavy, so the plan may import them all."""

from __future__ import annotations

from functools import cache

from workbench.core.stage import Stage, StageName


@cache
def stages() -> dict[StageName, Stage]:
    """All stages."""
    from workbench.compare.stage import STAGE as COMPARE
    from workbench.curate.stage import STAGE as CURATE
    from workbench.gate.stage import STAGE as GATE
    from workbench.ingest.stage import STAGE as INGEST
    from workbench.mix.stage import STAGE as MIX
    from workbench.report.stage import STAGE as REPORT
    from workbench.score.stage import STAGE as SCORE
    from workbench.synth.stage import STAGE as SYNTH
    from workbench.train.stage import STAGE as TRAIN

    return {stage.name: stage for stage in (INGEST, CURATE, SYNTH, MIX, TRAIN, SCORE, COMPARE, GATE, REPORT)}
