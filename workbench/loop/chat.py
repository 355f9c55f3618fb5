"""Talking to base and adapter at once: what is loaded, and the process in which the models answer.

    duet = duet_of(project, "support@production", None, None)
    process = ModelProcess(project, duet)
    await process.run(heard)                heard(Ready(shared=True)), heard(Said(side="base", text="Li")), ...
    process.ask(base_turns, tuned_turns)    each side continues its own conversation

The models live in a process of their own: loading them never holds up the terminal, and a crash cannot take it down.
Commands go in and events come out as JSON lines; the process ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from workbench.adapters.registry import Registered, resolve
from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project, importable_environment
from workbench.core.records import Message, Text
from workbench.core.wire import Wire
from workbench.loop.runs import list_runs
from workbench.loop.scored import config_of, run_artifact

Side = Literal["base", "tuned"]
_LONGEST_LINE = 1 << 24
_GRACE_S = 2.0


class Duet(Wire):
    """What talks."""

    name: str
    """The adapter, as people refer to it."""
    adapter: str
    """Its directory."""
    model: ModelConfig
    """Its base."""
    precision: Precision
    max_new_tokens: int = 256


class Ask(Wire):
    """The next turn of both conversations; with neither, stop what is being answered."""

    base: tuple[Message, ...] = ()
    tuned: tuple[Message, ...] = ()


class Ready(Wire):
    """The models are loaded."""

    event: Literal["ready"] = "ready"
    shared: bool
    """Whether one model serves both sides."""


class Said(Wire):
    """An answer so far."""

    event: Literal["said"] = "said"
    side: Side
    text: Text


class Answered(Wire):
    """A whole answer."""

    event: Literal["answered"] = "answered"
    side: Side
    text: Text
    tokens: int
    seconds: float
    finish_reason: Literal["stop", "length", "cancelled"]


class Failed(Wire):
    """Something went wrong; `fatal` if nothing can be asked any more."""

    event: Literal["failed"] = "failed"
    problem: Text
    fatal: bool


ChatEvent = Ready | Said | Answered | Failed
EVENT: TypeAdapter[ChatEvent] = TypeAdapter(Annotated[ChatEvent, Field(discriminator="event")])


def duet_of(
    project: Project,
    adapter: str | None,
    run: str | None,
    precision: Precision | None,
    *,
    max_new_tokens: int = 256,
    system_prompt: str | None = None,
) -> Duet:
    """Base and adapter: a registered adapter or a directory, that of a run, or that of the newest run that trained one.

    Base and precision are those of its training unless told. UsageError and IncompleteError for what is not there.
    """
    if adapter is not None and run is not None:
        raise UsageError("give an adapter or a run, not both", next_step="--adapter NAME@VERSION, or --run RUN")
    own_prompt = None
    if adapter is None:
        run = run or _newest_trained(project)
        found = _trained(project, run)
        name, own_prompt = f"the adapter of {run}", config_of(project, run).model.system_prompt
    else:
        found = resolve(project, adapter)
        name = found.reference
    model = ModelConfig(ref=found.base, system_prompt=own_prompt if system_prompt is None else system_prompt)
    return Duet(
        name=name,
        adapter=str(found.directory),
        model=model,
        precision=precision or found.precision or model.precision,
        max_new_tokens=max_new_tokens,
    )


def _trained(project: Project, run: str) -> Registered:
    artifact = run_artifact(project, run, "train")
    if artifact is None or not artifact.part("adapter").is_dir():
        raise IncompleteError("the run has no adapter", where=run, next_step=f"workbench runs show {run}")
    return resolve(project, str(artifact.part("adapter")))


def _newest_trained(project: Project) -> str:
    for view in list_runs(project):
        artifact = run_artifact(project, view.run, "train") if view.node("train") else None
        if artifact is not None and artifact.part("adapter").is_dir():
            return view.run
    raise UsageError(
        "no run of this project trained an adapter",
        where=str(project.runs),
        next_step="workbench chat --adapter NAME@VERSION, or --adapter DIRECTORY",
    )


class ModelProcess:
    """The process with the models, from this side."""

    def __init__(self, project: Project, duet: Duet) -> None:
        self._project = project
        self._duet = duet
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """What the libraries print."""
        return self._project.state / "chat.log"

    async def run(self, heard: Callable[[ChatEvent], object]) -> None:
        """Starts it and passes on what it says, until it ends; whoever cancels this ends it."""
        self._project.state.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workbench.loop.chat_process"),
                *(str(self._project.root), self._duet.model_dump_json()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LONGEST_LINE,
                start_new_session=True,
                env=importable_environment(),
            )
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                event = EVENT.validate_json(line)
                heard(event)
                if isinstance(event, Failed) and event.fatal:
                    return
            code = await self._process.wait()
            problem = f"the process with the models ended with {code}; what it said stands in {self.log}"
            heard(Failed(problem=problem, fatal=True))
        finally:
            await self._end()

    def ask(self, base: Sequence[Message], tuned: Sequence[Message]) -> None:
        """Lets both sides answer, one after the other."""
        self._send(Ask(base=tuple(base), tuned=tuple(tuned)))

    def stop(self) -> None:
        """Ends the answers that are being written at their next token."""
        self._send(Ask())

    def _send(self, ask: Ask) -> None:
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(ask.model_dump_json().encode() + b"\n")

    async def _end(self) -> None:
        """It ends with its input, at once; if it hangs in a library it is killed."""
        assert self._process is not None
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _GRACE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def encoded(event: ChatEvent) -> str:
    """An event as its line."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=True) + "\n"
