"""Runs a Python program that a model wrote, so that the worst it can do is fail.

    run("assert sorted([2, 1]) == [1, 2]", Limits())   ->  Ran("passed", "")
    run("while True: pass", Limits(seconds=2))         ->  Ran("timeout", "longer than 2 s")

What contains it, on Linux alone: namespaces of its own for users, processes, mounts, network and IPC (`unshare`); every
mount read-only and without devices, /tmp an empty file system in memory, /proc empty; no capability; Landlock, so that
nothing outside of /tmp opens for writing, named pipes included; a filter of system calls that allows no processes,
programs, mounts, nor sockets other than pairs of streams; limits on time, memory, files and threads; an empty
environment. `sandbox_program.py` is the inside.

What does not: the program can read what its user can read. Its output is thrown away and it writes to no file, pipe or
socket outside, but somebody who already runs programs on the machine could be signalled, by locks on files or by load.
And tests that run in the program's own process can be cheated by a program that looks for them.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

_INSIDE = Path(__file__).parent / "sandbox_program.py"
_NAMESPACES = (
    "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount", "--ipc", "--uts",
)  # fmt: skip
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""A program that waits would outlive a workbench that was killed: nobody else looks at the clock on the wall."""
MACHINES = ("x86_64", "aarch64")
"""Processors whose system calls the filter knows."""
_WAIT_S = 10.0
"""Wall time on top of the program's processor time: for starting, and for waiting on a busy machine."""
_MAX_REPORT_BYTES = 4096
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use."""

    seconds: float = 5.0
    """Processor time. The clock on the wall may show ten more, so that a busy machine changes no verdict."""
    memory_bytes: int = 512 << 20
    """Address space."""
    disk_bytes: int = 16 << 20
    """Of /tmp, the only place that can be written to."""
    threads: int = 32


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended."""

    verdict: Literal["passed", "failed", "unreadable", "timeout", "unstarted"]
    """`unreadable`: it is no Python. `failed`: an exception, an exit, or a limit. `unstarted`: the sandbox failed,
    which says nothing of the program."""
    detail: str
    """The exception's name and the beginning of its message, for people."""


@cache
def obstacle() -> str | None:
    """Why programs cannot be contained on this machine, or None. Found out by containing one."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return f"programs are contained on Linux on {' or '.join(MACHINES)} only"
    for needed in ("unshare", "setpriv"):
        if shutil.which(needed) is None:
            return f"the program `{needed}` (util-linux) is missing"
    ran = run("import decimal, heapq, typing", Limits())
    return None if ran.verdict == "passed" else f"this system does not allow the namespaces needed ({ran.detail})"


def run(program: str, limits: Limits) -> Ran:
    """Runs `program` to its end or to the end of its time."""
    token = secrets.token_hex(16)
    given = {"program": program, "token": token, **asdict(limits)}
    reader, writer = os.pipe()
    try:
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(given).encode())
            stdin.seek(0)
            in_time, complaint = _contained(stdin, writer, limits)
        os.close(writer)
        writer = -1
        report = b""
        # To the end of the pipe, which is the end of the program.
        while len(report) < _MAX_REPORT_BYTES and (part := os.read(reader, _MAX_REPORT_BYTES)):
            report += part
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    return _verdict(report, token, limits, in_time=in_time, complaint=complaint)


def _contained(stdin: Any, report_to: int, limits: Limits) -> tuple[bool, str]:
    """Whether the program ended within its time, and what was said before it began."""
    inside = [sys.executable, "-I", "-S", "-B", str(_INSIDE), str(report_to)]
    command = [*_ENDS_WITH_US, "unshare", *_NAMESPACES, "--", *inside]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={"PATH": os.defpath, "HOME": "/tmp", "PYTHONHASHSEED": "0"},
            pass_fds=(report_to,),
            start_new_session=True,
        )
        try:
            process.wait(limits.seconds + _WAIT_S)
            in_time = True
        except subprocess.TimeoutExpired:
            in_time = False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stderr.seek(0)
        return in_time, stderr.read(_MAX_REPORT_BYTES).decode(errors="replace").strip()


def _verdict(report: bytes, token: str, limits: Limits, *, in_time: bool, complaint: str) -> Ran:
    lines = [line.split(" ", 2) for line in report.decode(errors="replace").splitlines()]
    said = [(line[1], line[2] if len(line) > 2 else "") for line in lines if len(line) > 1 and line[0] == token]
    verdicts = dict(said)
    for verdict in ("passed", "unreadable", "timeout", "failed"):
        if verdict in verdicts:
            detail = f"longer than {limits.seconds:g} s" if verdict == "timeout" else verdicts[verdict]
            return Ran(verdict, detail[:_SHOWN_CHARS])
    if "started" not in verdicts:
        return Ran("unstarted", complaint[-_SHOWN_CHARS:] or "no reason given")
    if not in_time:
        return Ran("timeout", f"longer than {limits.seconds:g} s")
    return Ran("failed", "ended without finishing: it exited or broke a limit")
