"""What the commands that run a plan print: the plan before it, the answer after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.cli import output

if TYPE_CHECKING:
    from workbench.core.ablation_results import Ablation
    from workbench.core.iteration import Iteration
    from workbench.core.paths import Project
    from workbench.core.sweep_results import Sweep
    from workbench.loop.forecast import Forecast
    from workbench.loop.plan import Plan
    from workbench.loop.run import RunResult


def show_plan(project: Project, plan: Plan, selected: set[str], expected: Forecast, *, json: bool) -> None:
    """Prints the nodes, what of them is cached, and how long the rest may take."""
    from workbench.loop.artifacts import ArtifactStore

    store = ArtifactStore(project)
    rows = [
        {
            "node": node.name,
            "stage": node.stage,
            "fingerprint": node.fingerprint,
            "inputs": list(node.inputs),
            "state": _planned_state(node.name, store.find(node.stage, node.fingerprint) is not None, selected),
        }
        for node in plan.nodes
    ]
    if json:
        costs = {"trainings": expected.trainings, "scorings": expected.scorings, "expected_s": expected.seconds}
        output.print_json({"dry_run": True, "nodes": rows, **costs, "left_out": list(_left_out(plan))})
        return
    width = max(len(node.name) for node in plan.nodes)
    output.print_text(
        "\n".join(f"{row['node']:<{width}}  {row['state']:<8}  {str(row['fingerprint'])[:12]}" for row in rows)
    )
    for said in _left_out(plan):
        output.say(f"left out: {said}")
    time = "not known before the first" if expected.seconds is None else f"about {expected.seconds / 60:.1f} min"
    to_do = ", ".join(
        f"{count} {what}" if count == 1 else f"{count} {what}s"
        for count, what in ((expected.trainings, "training"), (expected.scorings, "scoring"))
    )
    output.say(f"to do: {to_do}; time: {time}")


def _left_out(plan: Plan) -> tuple[str, ...]:
    """Combinations of a sweep that are not in its plan."""
    from workbench.core.nodes import SweepNode

    last = plan.nodes[-1].config
    return last.left_out if isinstance(last, SweepNode) else ()


def _planned_state(name: str, cached: bool, selected: set[str]) -> str:
    if cached:
        return "cached"
    return "run" if name in selected else "left out"


def show_result(result: RunResult, *, json: bool) -> None:
    """Prints the answer of a run that ended, or why there is none."""
    ablation = _ablation(result)
    iteration = _iteration(result)
    sweep = _sweep(result)
    if json:
        output.print_json(
            {
                "run": result.run,
                "status": result.status,
                "exit_code": result.exit_code,
                "message": result.message,
                "cached": list(result.cached),
                "ran": list(result.ran),
                "verdict": result.verdict.model_dump(mode="json") if result.verdict else None,
                **({"ablation": ablation.model_dump(mode="json")} if ablation else {}),
                **({"iteration": iteration.model_dump(mode="json")} if iteration else {}),
                **({"sweep": sweep.model_dump(mode="json")} if sweep else {}),
                "report": str(result.report) if result.report else None,
                "artifacts": {name: str(artifact.path) for name, artifact in result.artifacts.items()},
            }
        )
        return
    if result.status != "completed":
        output.say(f"{result.status}: {result.message}")
    elif (rendered := _rendered(ablation, iteration, sweep)) is not None:
        output.print_text(f"{rendered}\n\nanswer: {result.message}\nreport: {result.report}")
    elif result.verdict is not None:
        output.print_text(_verdict_text(result))


def _rendered(ablation: Ablation | None, iteration: Iteration | None, sweep: Sweep | None) -> str | None:
    """The tables of what was asked for beside a verdict; None if nothing was."""
    if ablation is not None:
        from workbench.compare.ablation_text import render_ablation

        return render_ablation(ablation)
    if iteration is not None:
        from workbench.loop.iterate_text import render_iteration

        return render_iteration(iteration)
    if sweep is not None:
        from workbench.compare.sweep_text import render_sweep

        return render_sweep(sweep)
    return None


def _ablation(result: RunResult) -> Ablation | None:
    from workbench.core.ablation_results import Ablation
    from workbench.core.parts import read_model
    from workbench.loop.plan import ABLATION

    artifact = result.artifacts.get(ABLATION)
    return None if artifact is None else read_model(artifact.part("ablation.json"), Ablation)


def _iteration(result: RunResult) -> Iteration | None:
    from workbench.core.iteration import Iteration
    from workbench.core.parts import read_model

    if result.report is None or result.report.name != "iterate.md":
        return None
    return read_model(result.report.with_suffix(".json"), Iteration)


def _sweep(result: RunResult) -> Sweep | None:
    from workbench.core.parts import read_model
    from workbench.core.sweep_results import Sweep
    from workbench.loop.sweep import last_answer

    artifact = last_answer(result.artifacts)
    return None if artifact is None else read_model(artifact.part("sweep.json"), Sweep)


def _verdict_text(result: RunResult) -> str:
    from workbench.compare.text import render
    from workbench.core.parts import read_model
    from workbench.core.results import Comparison

    assert result.verdict is not None
    lines = []
    if compare := result.artifacts.get("compare"):
        lines.append(render(read_model(compare.part("comparison.json"), Comparison), result.verdict))
    lines.append(f"\nverdict: {result.verdict.state}. {result.verdict.headline}")
    if result.report:
        lines.append(f"report:  {result.report}")
    return "\n".join(lines)
