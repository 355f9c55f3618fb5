"""The stage `gate`: a comparison in, a verdict out.

comparison.json  python-docs-perplexity -0.71 nats per token, agreement -2.0 points (95% CI -6.1 to 2.1)
-> verdict.json  "inconclusive", "Improved on python-docs-perplexity (...); inconclusive on agreement (...); ..."
"""

from __future__ import annotations

from workbench.core.nodes import GateNode
from workbench.core.parts import read_model, write_model
from workbench.core.results import Comparison
from workbench.core.stage import Context, Done, Inputs, Outcome, Stage
from workbench.gate.verdict import decide


def run(config: GateNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes verdict.json. IncompleteError if the comparison is missing, broken or has no pair that decides."""
    comparison = read_model(inputs["compare"].part("comparison.json"), Comparison)
    verdict = decide(comparison, config.gate, config.suites)
    write_model(ctx.out_dir / "verdict.json", verdict)
    (ctx.info if verdict.state == "passed" else ctx.warn)(verdict.headline)
    return Done({"state": verdict.state, "exit_code": verdict.exit_code, "headline": verdict.headline})


STAGE = Stage(name="gate", version=3, config=GateNode, run=run)
