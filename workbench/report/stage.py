"""The last node: what people read.

verdict.json, comparison.json, flips.jsonl, funnel.json, ... of all nodes
->  report.html (the page), report.md (summaries), report.json (everything), junit.xml (build servers)
"""

from __future__ import annotations

from workbench.core.nodes import ReportNode
from workbench.core.parts import write_model, write_text
from workbench.core.stage import Context, Done, Inputs, Outcome, Stage


def run(config: ReportNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes report.html, report.md, report.json and junit.xml; raises IncompleteError if there is no verdict."""
    # Imported here: the plan imports every stage, and only this function needs the report's models and templates.
    from workbench.report.build import build, target_of
    from workbench.report.render.html import render_html
    from workbench.report.render.junit import render_junit
    from workbench.report.render.markdown import render_markdown

    model = build(
        config, inputs, target=target_of(config, inputs, ctx.fingerprint), written_at=ctx.clock(), seed=ctx.seed
    )
    write_model(ctx.out_dir / "report.json", model)
    write_text(ctx.out_dir / "report.html", render_html(model))
    write_text(ctx.out_dir / "report.md", render_markdown(model))
    write_text(ctx.out_dir / "junit.xml", render_junit(model))
    for alarm in model.alarms:
        ctx.warn(alarm)
    return Done(
        {
            "state": model.verdict.state,
            "headline": model.verdict.headline,
            "exit_code": model.verdict.exit_code,
            "flips": sum(count.forgotten + count.learned for count in model.flips.counts),
            "html_bytes": (ctx.out_dir / "report.html").stat().st_size,
        }
    )


STAGE = Stage(name="report", version=3, config=ReportNode, run=run, libraries=("jinja2",))
