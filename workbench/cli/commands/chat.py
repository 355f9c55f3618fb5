"""`chat`: base and adapter side by side, and what they say as regression items."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from workbench.cli import output
from workbench.cli.state import Json

if TYPE_CHECKING:
    from workbench.core.methods import Precision
    from workbench.core.paths import Project
    from workbench.loop.chat import Duet


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(short_help="Talk to base and adapter side by side.")(chat)


def chat(
    context: typer.Context,
    adapter: Annotated[
        str | None, typer.Option("--adapter", metavar="NAME@VERSION|DIR", help="A registered adapter or a directory.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="The adapter of this run; default: the newest one.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="nf4, bf16 or fp32; default: as it was trained.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System prompt for both.")] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, max=8192, help="Longest answer, in tokens.")
    ] = 256,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Suite under evals/ for regression items; default: chat-regressions.")
    ] = None,
    once: Annotated[
        str | None,
        typer.Option("--once", metavar="PROMPT", help="Print both answers to one prompt; no terminal needed."),
    ] = None,
    json: Json = False,
) -> None:
    """Talk to base and adapter at once: one prompt to both, each goes on with its own conversation.

    Keys: f5 / f6 make a regression item of the last answers (the base's / the adapter's is right), f7 undoes, f8 stops,
    f9 begins anew.

    \b
    Examples:
      workbench chat
      workbench chat --adapter support@production --suite support-regressions
      workbench chat --run demo-20261122-101500 --once "What does len do?" --json
    """
    from workbench.core.errors import UsageError
    from workbench.loop.chat import duet_of
    from workbench.loop.chat_items import DEFAULT_SUITE, ChatItems

    project: Project = context.obj.project
    chosen = _precision(precision)
    named = None if adapter is None else context.obj.from_here(adapter)
    duet = duet_of(project, named, run, chosen, max_new_tokens=max_new_tokens, system_prompt=system)
    if once is not None:
        _answer_once(project, duet, once, as_json=json)
        return
    if json:
        raise UsageError("--json goes with --once PROMPT", where="--json")
    ChatItems(project, suite or DEFAULT_SUITE)  # refused before a model is loaded
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "chat needs a terminal",
            where="standard input or output",
            next_step='without one: workbench chat --once "PROMPT"',
        )
    _open(project, duet, suite or DEFAULT_SUITE)


def _open(project: Project, duet: Duet, suite: str) -> None:
    from workbench.loop.chat import ModelProcess
    from workbench.tui.app import WorkbenchApp
    from workbench.tui.screens.chat import ChatScreen

    WorkbenchApp(project, first=ChatScreen(duet, ModelProcess(project, duet), suite)).run()


def _answer_once(project: Project, duet: Duet, prompt: str, *, as_json: bool) -> None:
    from workbench.core.errors import UsageError
    from workbench.core.records import Message
    from workbench.core.wire import printable
    from workbench.models.side_by_side import answer, load_side_by_side

    if not prompt.strip():
        raise UsageError("the prompt is empty", where="--once")
    output.say(f"loading {duet.model.ref} in {duet.precision}, with {duet.name}")
    pair = load_side_by_side(duet.model, duet.precision, project.root, Path(duet.adapter))
    turns = [Message(role="user", content=prompt)]
    answers = {
        "base": answer(pair, "base", turns, duet.max_new_tokens),
        "tuned": answer(pair, "tuned", turns, duet.max_new_tokens),
    }
    if as_json:
        output.print_json(
            {
                "prompt": prompt,
                "model": duet.model.ref,
                "adapter": duet.adapter,
                "precision": duet.precision,
                "one_model_in_memory": pair.shared,
                "answers": {
                    side: {
                        "text": made.text,
                        "tokens": made.tokens,
                        "seconds": round(made.seconds, 3),
                        "finish_reason": made.finish_reason,
                    }
                    for side, made in answers.items()
                },
            }
        )
        return
    for name, made in zip(("base", "adapter"), answers.values(), strict=True):
        cut = "  (cut)" if made.finish_reason == "length" else ""
        output.print_text(f"--- {name}  {made.tokens} tokens{cut}\n{printable(made.text)}\n")


def _precision(typed: str | None) -> Precision | None:
    from workbench.core.errors import UsageError
    from workbench.core.methods import Precision

    for known in get_args(Precision):
        if typed == known:
            return cast("Precision", known)
    if typed is None:
        return None
    raise UsageError(f"unknown precision {typed!r}; known: {', '.join(get_args(Precision))}", where="--precision")
