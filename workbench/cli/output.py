"""The only writer of standard output and standard error: data to the one, words for people to the other."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from workbench.core.errors import WorkbenchError
    from workbench.core.events import Event

_LINE_EVERY_S = 60.0
_TELLING_S = 1.0
_BAR = 20
NOBODY_READS = 128 + signal.SIGPIPE
"""How the command ends when its standard output is closed (`| head`)."""


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output, with its schema version."""
    _print(json.dumps({"schema_version": 1, **document}, ensure_ascii=False, indent=2, default=str) + "\n")


def print_text(text: str) -> None:
    """Result text on standard output."""
    _print(text.rstrip("\n") + "\n")


def say(text: str) -> None:
    """A remark for people on standard error; where nobody reads it, the work goes on without."""
    _handed_over(sys.stderr, text.rstrip("\n") + "\n")


def has_reader() -> bool:
    """Whether somebody can still read standard output."""
    output = select.poll()
    output.register(1, 0)
    return not any(event & select.POLLERR for _, event in output.poll(0))


def _print(text: str) -> None:
    if not _handed_over(sys.stdout, text):
        raise SystemExit(NOBODY_READS)


def _handed_over(stream: TextIO, text: str) -> bool:
    """Writes at once; False if nobody reads this stream any more: what is left of it and what follows goes nowhere."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return False
    return True


def print_error(error: WorkbenchError, *, as_json: bool) -> None:
    """The message on standard error and, with --json, as the one document on standard output."""
    say(f"error: {error}")
    if as_json:
        print_json(
            {
                "error": {
                    "message": error.problem,
                    "where": error.where,
                    "next_step": error.next_step,
                    "exit_code": int(error.exit_code),
                }
            }
        )


class RunDisplay:
    """Shows a run's events: one moving line on a terminal, otherwise a line per node and one a minute.

    Writes to a duplicate of standard error taken at the start: the runner sends what libraries print to the log.
    `nodes` is how many there are where no run says so.
    """

    def __init__(self, *, quiet: bool = False, nodes: int = 0) -> None:
        self._out: TextIO = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self._quiet = quiet
        self._moving = not quiet and self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._total = nodes
        self._ended = 0
        self._latest: dict[str, float] = {}
        self._last_line = time.monotonic()
        self._pace = Pace()

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        if self._quiet:
            return
        match event.event:
            case "run_started":
                self._total = len(event.nodes)
                self._line(f"run {event.run}" + (" (continued)" if event.resumed else ""))
            case "node_started":
                self._latest = {}
                self._moving_line(f"{event.node} ...")
            case "node_cached":
                self._ended += 1
                self._line(f"  cached  {event.node}")
            case "node_metric":
                self._latest = event.values
            case "node_progress":
                self._progress(event.node, event.done, event.total, event.unit, event.message)
            case "node_message":
                mark = "warning" if event.level == "warning" else "note"
                self._line(f"  {mark}: {event.node}: {clean(event.message)}")
            case "node_finished":
                self._ended += 1
                self._line(f"  done    {event.node}  {event.seconds:.1f} s  {clean(_brief(event.summary))}")
            case "node_failed":
                self._line(f"  FAILED  {event.node}: {clean(event.message)}")
            case "run_finished":
                self._moving_line("")

    def close(self) -> None:
        """Ends the moving line."""
        self._moving_line("")
        self._out.close()

    def _progress(self, node: str, done: int, total: int | None, unit: str, message: str) -> None:
        count = f"{done:,}/{total:,}" if total is not None else f"{done:,}"
        loss = f"  loss {self._latest['loss']:.3f}" if "loss" in self._latest else ""
        pace = self._pace.after((node, unit, message), done, total, time.monotonic())
        said = f"  {clean(message)}" if message else ""
        text = f"[{self._ended + 1}/{self._total}] {node}{said}  {_bar(done, total)}{count} {unit}{loss}{pace}"
        if self._moving:
            self._moving_line(text)
        elif time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._line(f"  ...     {text}")

    def _line(self, text: str) -> None:
        clear = "\r\x1b[2K" if self._moving else ""
        _handed_over(self._out, f"{clear}{text}\n")
        self._last_line = time.monotonic()

    def _moving_line(self, text: str) -> None:
        if self._moving:
            _handed_over(self._out, f"\r\x1b[2K{text[:110]}")


class Pace:
    """How fast a piece of work goes, and how long it will still take at that rate.

        pace.after("rows", 0, 50_000, 0.0)        ->  ""
        pace.after("rows", 20_000, 50_000, 4.0)   ->  "  5,000/s  0:06 left"
    """

    def __init__(self) -> None:
        self._work: object = None
        self._began = (0, 0.0)

    def after(self, work: object, done: int, total: int | None, now_s: float) -> str:
        """The words for `done` of `total` at the time `now_s`; empty in the first second of another piece of `work`."""
        if work != self._work or done < self._began[0]:
            self._work, self._began = work, (done, now_s)
        since, elapsed = done - self._began[0], now_s - self._began[1]
        if since <= 0 or elapsed < _TELLING_S:
            return ""
        rate = since / elapsed
        shown = f"  {rate:,.0f}/s" if rate >= 10 else f"  {rate:.2g}/s"
        if total is None:
            return shown
        left = round(max(0, total - done) / rate)
        minutes = f"{left // 3600}:{left // 60 % 60:02}" if left >= 3600 else f"{left // 60}"
        return f"{shown}  {minutes}:{left % 60:02} left"


def _bar(done: int, total: int | None) -> str:
    """`#####...............  ` for a quarter; empty where nobody knows the whole."""
    if not total:
        return ""
    full = min(_BAR, _BAR * done // total)
    return "#" * full + "." * (_BAR - full) + "  "


def clean(text: str) -> str:
    """One line that is safe for a terminal."""
    from workbench.core.wire import printable

    return printable(text).replace("\n", " | ")


def _brief(summary: dict[str, float | int | str]) -> str:
    """The first few numbers and words of a summary; sentences are for the report."""
    pieces = [f"{key} {_short(value)}" for key, value in summary.items()]
    return ", ".join([piece for piece in pieces if len(piece) <= 40][:5])


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
