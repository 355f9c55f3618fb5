"""The stage `compare`: scored arms in, paired statistics and flips out.

score:base@nf4  {"suite": "capitals", "metric": "acc", "doc_hash": "9f..", "value": 1.0, ...}
score:candidate {"suite": "capitals", "metric": "acc", "doc_hash": "9f..", "value": 0.0, ...}
-> comparison.json  capitals: 300 documents, gain +5.0 points, 95% CI 1.3 to 8.7, 9 forgotten, 24 learned
   flips.jsonl      {"kind": "forgotten", "prompt": "The capital of Peru is", "before_output": "Lima", ...}
"""

from __future__ import annotations

from workbench.core.nodes import AblationArmsNode, AblationNode, CompareNode
from workbench.core.stage import Context, Inputs, Outcome, Stage


def run(config: CompareNode | AblationArmsNode | AblationNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Compares every configured pair, or the arms of an ablation (`workbench ablate`).

    IncompleteError if an arm is missing or one of its rows is no row."""
    if isinstance(config, CompareNode):
        from workbench.compare.run import compare_run  # numpy: 0.1 s

        return compare_run(config, inputs, ctx)
    from workbench.compare.ablation import run_ablation, size_arms

    return size_arms(config, inputs, ctx) if isinstance(config, AblationArmsNode) else run_ablation(config, inputs, ctx)


STAGE = Stage(
    name="compare",
    version=1,
    config=(CompareNode, AblationArmsNode, AblationNode),
    run=run,
    libraries=("numpy", "scipy"),
)
