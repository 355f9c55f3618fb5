"""`train`: an adapter alone, from the project's loop or from one file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.outcome import show_plan
from workbench.cli.starting import DryRun, LoopFile, Quiet, Request, make_request, start_plan
from workbench.cli.state import Json, Settings

if TYPE_CHECKING:
    from workbench.core.config import LoopConfig
    from workbench.core.paths import Project
    from workbench.core.stage import Artifact
    from workbench.loop.plan import Plan

_SECTIONS = ("seed", "datasets_dir", "suites_dir", "model", "endpoints", "curate", "train")
"""What `workbench.yaml` says about training on a file."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="An adapter, in the project or from one file.")(train)


def train(
    context: typer.Context,
    config: LoopFile = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Train on this: a file, folder, glob, or hub:ORG/NAME[:SPLIT]."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Base model (hub id, directory, GGUF file, pypi:NAME).")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="sft, pretrain, dpo, orpo, kto, reward, ...: docs/objectives.md.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="qlora, lora, dora, ..., full: docs/training.md.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Copy the adapter to this new directory.")] = None,
    show: Annotated[
        int | None,
        typer.Option("--show", min=1, metavar="N", help="Print N examples with what is learned marked; train nothing."),
    ] = None,
    settings: Settings = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train: the project's loop up to the adapter, or an adapter from one file with no configuration at all.

    Nothing is scored: a verdict comes from `workbench run`. Stopped or killed, the same command goes on where it was.

    Exit codes: 0 done, 2 usage, 3 nothing to learn, diverged or out of memory, 4 prerequisite missing.

    \b
    Examples:
      workbench train
      workbench train --show 3
      workbench train --data answers.jsonl -o my-adapter
      workbench train --data answers.jsonl --model ./my-model --method lora --set model.precision=bf16
      workbench train --data pairs.jsonl --objective dpo
      workbench train --set train.epochs=2 --dry-run
    """
    from workbench.loop.plan import select
    from workbench.loop.run import refuse_unwritable

    _refuse_existing(out)
    project: Project = context.obj.project
    base = None if model is None else context.obj.from_here(model)
    typed = [*_typed(base, objective, method), *(settings or [])]
    request, loop, plan = _planned(project, config, data, typed)
    selected = select(plan, only=None, first=None, last="train" if show is None else "mix")
    if dry_run:
        from workbench.loop.forecast import forecast

        show_plan(project, plan, selected, forecast(plan, selected, project), json=json)
        return
    refuse_unwritable(project)
    result = start_plan(request, loop, plan, selected, None, quiet=quiet or json)
    if result.exit_code != 0:
        output.say(f"{result.status}: {result.message}")
        if json:
            output.print_json({"error": {"message": result.message, "exit_code": int(result.exit_code)}})
        raise typer.Exit(result.exit_code)
    if show is not None:
        _show_examples(result.artifacts["mix"], show, loop, project, json=json)
    else:
        _show_adapter(result.artifacts["train"], out, json=json)


def _typed(model: str | None, objective: str | None, method: str | None) -> list[str]:
    given = (("model.ref", model), ("train.objective", objective), ("train.method", method))
    return [f"{key}={value}" for key, value in given if value is not None]


def _refuse_existing(out: Path | None) -> None:
    from workbench.core.errors import UsageError

    if out is not None and out.exists():
        raise UsageError("exists already", where=str(out), next_step="name a directory that is not there yet")


def _planned(
    project: Project, config: Path | None, data: str | None, settings: list[str]
) -> tuple[Request, LoopConfig, Plan]:
    """The plan of the project's loop, or of the one file."""
    from workbench.core.errors import UsageError
    from workbench.loop.adhoc import all_suites, datasets_behind, typed_card
    from workbench.loop.plan import build_plan, build_train_plan
    from workbench.loop.settings import PROJECT_FILE, load_config, with_settings

    if data is None:
        request = make_request(project, config, settings, None, strict=False)
        loop = load_config(request.config_file, request.settings)
        plan = build_plan(loop, project.root, request.command)
        if not any(node.name == "train" for node in plan.nodes):
            raise UsageError(
                "nothing is trained in this loop: no arm has `adapter: train`",
                where="score.arms",
                next_step="add one, or train on a file: workbench train --data FILE",
            )
        return request, loop, plan
    if config is not None:
        raise UsageError("give a configuration or --data, not both", where=str(config))
    loop = with_settings({"name": "train"}, settings, project.root / PROJECT_FILE, _SECTIONS)
    suites = all_suites(project, loop)
    behind = datasets_behind(project, loop, suites)
    card = typed_card(data, project.root, taken={*behind, *loop.curate.decontamination.datasets})
    scored = loop.score.model_copy(update={"suites": tuple(suites)})  # searched for in the data alone
    loop = loop.model_copy(update={"score": scored})
    command = "workbench " + shlex.join(sys.argv[1:])
    return Request(project, project.root, [], command=command), loop, build_train_plan(loop, project.root, card)


def _show_examples(mixed: Artifact, wanted: int, loop: LoopConfig, project: Project, *, json: bool) -> None:
    from workbench.train.showing import examples

    length = loop.train.max_length or loop.model.max_length
    found = examples(mixed.part("train.jsonl"), wanted, loop.model, length, project.root, loop.train.objective)
    if json:
        output.print_json({"examples": [example.as_dict() for example in found]})
        return
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    output.print_text("\n".join(example.text(colour=colour) for example in found))
    sequences = "1 sequence" if len(found) == 1 else f"{len(found)} sequences"
    output.say(f"{sequences}; {'green' if colour else '[[...]]'}: learned, the rest is only read")


def _show_adapter(trained: Artifact, out: Path | None, *, json: bool) -> None:
    import shutil

    from workbench.core.parts import read_model
    from workbench.core.results import TrainSummary

    summary = read_model(trained.part("training.json"), TrainSummary)
    directory = trained.part("adapter")
    if out is not None:
        shutil.copytree(directory, out)
        directory = out
    if json:
        output.print_json({"adapter": str(directory), "training": summary.model_dump(mode="json")})
        return
    output.print_text(_rendered(summary, directory))


def _rendered(summary: Any, directory: Path) -> str:
    share = summary.trainable_parameters / summary.total_parameters
    lines = [
        f"objective   {summary.objective}",
        f"method      {summary.method} on {summary.base} ({summary.precision})",
        f"parameters  {summary.trainable_parameters:,} of {summary.total_parameters:,} trained ({share:.2%})",
        f"steps       {summary.steps} of {_step_size(summary)}, "
        f"{summary.answer_tokens:,} tokens learned, {summary.seconds:.0f} s",
        f"settings    learning rate {summary.learning_rate:g}, {summary.warmup_steps} steps warm-up, "
        f"dropout {summary.dropout:g}",
        f"loss        {summary.first_loss:.3f} at the beginning, {summary.last_loss:.3f} at the end",
    ]
    if summary.first_reward is not None and summary.last_reward is not None:
        lines.append(f"reward      {summary.first_reward:.3f} at the beginning, {summary.last_reward:.3f} at the end")
    if summary.best_step is not None:
        stopped = ", stopped early" if summary.stopped_early else ""
        lines.append(
            f"validation  {summary.best_validation_loss:.3f} at step {summary.best_step} on {summary.validation_rows} "
            f"rows held back; that adapter is kept{stopped}"
        )
    if summary.pairs_in_order is not None:
        order = summary.pairs_in_order
        lines.append(
            f"held back   the better ending first in {order.value:.1%} of {summary.held_back_pairs} pairs "
            f"({order.low:.1%} to {order.high:.1%})"
        )
    if summary.out_of_memory:
        sizes = ", ".join(str(size) for size in summary.out_of_memory)
        lines.append(f"memory      batches of {sizes} did not fit; {summary.batch_size} did, at as many per step")
    return "\n".join([*lines, f"adapter     {directory}"])


def _step_size(summary: Any) -> str:
    """Sequences of an optimiser step, and how they are shared."""
    passes = f"{summary.batch_size} x {summary.gradient_accumulation}"
    if summary.processes == 1:
        return f"{passes} sequences"
    sequences = summary.batch_size * summary.gradient_accumulation * summary.processes
    return f"{sequences} sequences ({summary.processes} processes of {passes})"
