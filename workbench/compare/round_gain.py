"""Did a round of `workbench iterate` beat the one before? Over documents and, where there are several, over seeds.

    round-0 [seed 0, seed 1], round-1 [seed 0, seed 1], 51 documents
    ->  gains.json  asked: +0.013 nats per token, 95% CI 0.002 to 0.024, by seed +0.013, +0.012, p .009 after Holm

Pairs of adapters with equal seeds are compared as in an ablation (`compare.seeds`).
"""

from __future__ import annotations

from workbench.compare.seeded_suites import Rules, compare_seeds, named_arm
from workbench.compare.statistics.multiplicity import holm
from workbench.core.iteration import RoundGainNode, RoundGains
from workbench.core.parts import write_model
from workbench.core.stage import Context, Done, Inputs, Outcome


def run_round_gain(config: RoundGainNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes gains.json. IncompleteError if an arm was not scored or one of its rows is no row."""
    rules = Rules(config.compare, config.alpha, config.max_failed_fraction)
    before, after = (
        [named_arm(inputs, name, config.suites) for name in side] for side in (config.before, config.after)
    )
    suites = [compare_seeds(rules, suite, before, after) for suite in config.suites]
    comparable = [place for place, suite in enumerate(suites) if not suite.obstacles]
    for place, p_better in zip(comparable, holm([suites[place].p_better for place in comparable]), strict=True):
        suites[place] = suites[place].model_copy(update={"p_better_holm": p_better})
    for suite in suites:
        for obstacle in suite.obstacles:
            ctx.warn(f"suite {suite.suite}: {obstacle}")
    write_model(ctx.out_dir / "gains.json", RoundGains(suites=tuple(suites)))
    return Done({f"{suite.suite}.gain": round(suite.gain.value, 4) for suite in suites if not suite.obstacles})
