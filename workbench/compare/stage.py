"""The stage `compare`: scored arms in, paired statistics and flips out.

score:base@nf4  {"suite": "capitals", "metric": "acc", "doc_hash": "9f..", "value": 1.0, ...}
score:candidate {"suite": "capitals", "metric": "acc", "doc_hash": "9f..", "value": 0.0, ...}
-> comparison.json  capitals: 300 documents, gain +5.0 points, 95% CI 1.3 to 8.7, 9 forgotten, 24 learned
   flips.jsonl      {"kind": "forgotten", "prompt": "The capital of Peru is", "before_output": "Lima", ...}
"""

from __future__ import annotations

from workbench.core.iteration import RoundGainNode, WeaknessNode
from workbench.core.nodes import AblationArmsNode, AblationNode, CompareNode, SweepNode
from workbench.core.stage import Context, Inputs, Outcome, Stage

Config = CompareNode | AblationArmsNode | AblationNode | SweepNode | WeaknessNode | RoundGainNode


def run(config: Config, inputs: Inputs, ctx: Context) -> Outcome:
    """Compares every configured pair, the arms of an ablation or a sweep (`workbench ablate`, `workbench sweep`), or
    topics and rounds (`workbench iterate`).

    IncompleteError if an arm is missing or one of its rows is no row."""
    if isinstance(config, CompareNode):
        from workbench.compare.run import compare_run  # numpy: 0.1 s

        return compare_run(config, inputs, ctx)
    if isinstance(config, WeaknessNode):
        from workbench.compare.weaknesses import run_weaknesses

        return run_weaknesses(config, inputs, ctx)
    if isinstance(config, RoundGainNode):
        from workbench.compare.round_gain import run_round_gain

        return run_round_gain(config, inputs, ctx)
    if isinstance(config, SweepNode):
        from workbench.compare.sweep import run_sweep

        return run_sweep(config, inputs, ctx)
    from workbench.compare.ablation import run_ablation, size_arms

    return size_arms(config, inputs, ctx) if isinstance(config, AblationArmsNode) else run_ablation(config, inputs, ctx)


STAGE = Stage(
    name="compare",
    version=3,
    config=(CompareNode, AblationArmsNode, AblationNode, SweepNode, WeaknessNode, RoundGainNode),
    run=run,
    libraries=("numpy", "scipy"),
)
