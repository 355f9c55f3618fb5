"""Programs that mean harm: each ends, passes nothing it did not earn, and leaves nothing behind.

They are skipped where the system forbids the namespaces that contain them; there the `code` metric refuses to run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from score_surroundings import suite_of

from workbench.core.config import LoopConfig
from workbench.core.errors import PrerequisiteError, UsageError
from workbench.loop.plan import resolved, scoring
from workbench.score import sandbox
from workbench.score.metrics.chosen import Chosen, measure, refuse_code
from workbench.score.metrics.metric import Answered, Reading
from workbench.score.metrics.registry import METRICS
from workbench.score.sandbox import Limits, obstacle, run

contained = pytest.mark.skipif(obstacle() is not None, reason=f"no sandbox here: {obstacle()}")
ROOT = Path(__file__).parents[2]
QUICK = Limits(seconds=1, memory_bytes=256 << 20, disk_bytes=1 << 20)
CODE_SUITE = {"name": "programs", "kind": "generation", "primary_metric": "code", "role": "target"}


def ended(program: str) -> str:
    """Verdict on a program, with the exception that ended it."""
    ran = run(program, QUICK)
    return f"{ran.verdict} {ran.detail}"


@contained
def test_programs_pass_fail_or_are_none() -> None:
    assert run("assert sorted([2, 1]) == [1, 2]", QUICK) == sandbox.Ran("passed", "")
    assert ended("assert 1 == 2") == "failed AssertionError: "
    assert ended("I would add them.").startswith("unreadable SyntaxError")
    assert ended("x = '\\ud800'\nassert len(x) == 1") == "passed "
    assert ended("import re, math, json, heapq, random, decimal, itertools, collections, datetime, typing") == "passed "


@contained
@pytest.mark.parametrize(
    "program",
    [
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "import ctypes; ctypes.string_at(0)",
        "import os\nfor fd in range(3, 64):\n try: os.write(fd, b'passed\\n' * 9)\n except OSError: pass\nos._exit(0)",
    ],
)
def test_ending_early_is_no_way_to_pass(program: str) -> None:
    assert ended(program).startswith("failed")


@contained
@pytest.mark.parametrize("program", ["while True: pass", "x = 9\nx ** x ** x"])
def test_a_program_without_an_end_is_ended(program: str) -> None:
    assert ended(program) == "timeout longer than 1 s"


@contained
def test_a_program_that_ignores_its_clock_is_killed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_WAIT_S", 2.0)
    program = (
        "import signal, time, threading, os\n"
        "for number in range(1, 32):\n"
        "    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except OSError: pass\n"
        "try: os.setsid()\n"
        "except OSError: pass\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\n"
        "time.sleep(1000)"
    )
    before = processes()

    assert ended(program) == "timeout longer than 1 s"
    assert processes() <= before


def processes() -> set[str]:
    """Processes on this machine that run the sandbox's inside."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"sandbox_program.py" in path.read_bytes():
                found.add(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@contained
@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import multiprocessing as m; p = m.Process(target=print); p.start(); p.join(); assert p.exitcode == 0",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_a_program_can_start_no_other(program: str) -> None:
    assert "Operation not permitted" in ended(program)


@contained
def test_threads_are_allowed_within_limits() -> None:
    start = "import threading, time\nt = threading.Thread(target=time.sleep, args=(0,)); t.start(); t.join()"
    assert ended(start) == "passed "
    assert ended("x = [bytearray(1 << 20) for _ in range(1000)]").startswith("failed MemoryError")
    many = "import threading, time\nfor _ in range(10000): threading.Thread(target=time.sleep, args=(9,)).start()"
    assert ended(many).startswith("failed")


@contained
@pytest.mark.parametrize(
    "program",
    [
        "assert l.shmget(0, 300 << 20, 0o1600) < 0",
        "assert l.msgget(0, 0o1600) < 0",
        "assert l.semget(0, 32000, 0o1600) < 0",
        "import os\ntry: os.memfd_create('x')\nexcept OSError: pass\nelse: assert False",
        "import os\ntry:\n for name in range(99999): os.mkdir(f'/tmp/{name}')\nexcept OSError: assert name < 9999",
    ],
)
def test_no_memory_is_kept_outside_of_the_address_space(program: str) -> None:
    assert ended(f"import ctypes\nl = ctypes.CDLL(None)\n{program}") == "passed "


WAITING = """
from workbench.score.sandbox import Limits, run
run("import time\\nwhile True: time.sleep(1000)", Limits(seconds=600))
"""


def asleep_below(pid: str) -> set[str]:
    """Of the processes that run the sandbox's inside, those with this one among their ancestors that wait."""
    told = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            told[path.parent.name] = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
    children = {child for child, (_, parent) in told.items() if parent == pid}
    waiting = {child for child in children & processes() if told[child][0] == "S"}
    return waiting | {one for child in children for one in asleep_below(child)}


@contained
def test_a_waiting_program_ends_with_a_workbench_that_is_killed() -> None:
    workbench = subprocess.Popen([sys.executable, "-c", WAITING], env=os.environ | {"PYTHONPATH": str(ROOT)})
    started: set[str] = set()
    try:
        for _ in range(5_000):
            started = asleep_below(str(workbench.pid))
            if len(started) == 2 or workbench.poll() is not None:
                break
    finally:
        workbench.kill()
        workbench.wait()

    assert len(started) == 2, "unshare and the program"
    assert any(not started & processes() for _ in range(2_000))


@contained
def test_nothing_outside_can_be_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("untouched")
    for program in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(victim)!r}, 'a').write('x')",
        f"import os; os.remove({str(victim)!r})",
        f"import os; os.chmod({str(victim)!r}, 0)",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        "open('/etc/passwd', 'a')",
        f"open({os.devnull!r}, 'w')",
    ):
        assert ended(program).startswith("failed"), program
    assert victim.read_text() == "untouched"
    assert [path.name for path in tmp_path.iterdir()] == ["victim.txt"]
    assert ended("open('/tmp/own', 'w').write('x'); assert open('/tmp/own').read() == 'x'") == "passed "
    assert not Path("/tmp/own").exists()
    assert "No space left" in ended("for i in range(99): open(f'/tmp/{i}', 'wb').write(b'x' * (1 << 18))")
    assert "File too large" in ended("open('/tmp/big', 'wb').write(b'x' * (4 << 20))")


@contained
@pytest.mark.parametrize(
    "program",
    [
        "r = l.mount(None, b'/', None, 0x1000 | 32, None)",
        "r = l.syscall(442, -100, b'/', 0x8000, ctypes.create_string_buffer(bytes([0] * 8 + [1] + [0] * 23)), 32)",
        "r = l.unshare(0x10000000)",
        "r = l.umount2(b'/proc', 2)",
        "r = l.ptrace(16, 1, 0, 0)",
        "r = l.setsid()",
        "r = l.prctl(1, 0, 0, 0, 0)",
        "r = l.syscall(425, 8, ctypes.create_string_buffer(120))",
    ],
)
def test_power_given_up_is_not_taken_back(program: str) -> None:
    code = f"import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n{program}\nassert (r, ctypes.get_errno()) == (-1, 1)"

    assert ended(code) == "passed "


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A server on loopback, and who connected."""
    heard: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                heard.append(server.accept()[1])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard


@contained
def test_no_network_not_even_loopback(listener: tuple[int, list[object]], tmp_path: Path) -> None:
    port, heard = listener
    local = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(local))
        server.listen()
        for program in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)",
            f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}', timeout=1)",
            f"import socket; socket.socket(socket.AF_UNIX).connect({str(local)!r})",
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        ):
            assert ended(program).startswith("failed"), program
    assert heard == []


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory that programs can see: pytest's own is below /tmp, which is empty for them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory)


@contained
def test_no_socket_or_named_pipe_carries_anything_out(outside: Path) -> None:
    ear, pipe = str(outside / "ear"), str(outside / "pipe")
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(ear)
        for pair in ("SOCK_DGRAM", "SOCK_SEQPACKET", "SOCK_RAW", "SOCK_DGRAM | socket.SOCK_CLOEXEC"):
            program = f"import socket; a, b = socket.socketpair(socket.AF_UNIX, socket.{pair}); a.sendto(b'x', {ear!r})"
            assert "PermissionError: [Errno 1]" in ended(program), program
        stream = "import socket; a, b = socket.socketpair()\n"
        assert ended(f"{stream}a.sendto(b'x', {ear!r})").startswith("failed OSError")
        for program in (f"open({pipe!r}, 'w').write('x')", f"open({pipe!r}, 'r+b', buffering=0).write(b'x')"):
            assert "PermissionError: [Errno 13]" in ended(program), program
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(1)
    assert os.read(reading, 1) == b""
    os.close(reading)
    # What stays within the program works: asyncio needs a pair of streams.
    assert ended(f"{stream}a.sendall(b'x'); assert b.recv(1) == b'x'") == "passed "
    assert ended("import asyncio; asyncio.run(asyncio.sleep(0))") == "passed "
    assert ended("import os; os.mkfifo('/tmp/p'); open('/tmp/p', 'r+b', buffering=0).write(b'x')") == "passed "


@contained
def test_what_a_program_prints_goes_nowhere_and_its_surroundings_are_empty(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    program = (
        "import os, sys\n"
        "for _ in range(200): print('y' * 100_000); sys.stderr.write('z' * 100_000)\n"
        "assert 'sk-secret' not in repr(os.environ)\n"
        "assert os.listdir('/proc') == []\n"
        "assert sys.stdin.read() == ''"
    )

    assert ended(program) == "passed "
    assert capfd.readouterr() == ("", "")


@contained
def test_the_metric_tells_no_program_from_a_wrong_one() -> None:
    fields = {"prompt": "def add(a, b):\n", "entry_point": "add", "test": "def check(f):\n    assert f(1, 2) == 3"}
    texts = ["    return a + b", "    return a - b", "I would add them.", " "]
    answers = [Answered(text, (), fields, read=bool(text.strip())) for text in texts]
    answers.append(Answered("x = 1", (), {"prompt": "p"}))

    readings = measure(Chosen(METRICS["code"], {"timeout_s": 5}), answers).readings

    assert readings[:4] == [Reading(1.0), Reading(0.0), Reading(0.0, parsed=False), Reading(0.0, parsed=False)]
    assert "neither `test` nor `tests`" in str(readings[4].error)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare")
def test_a_sandbox_that_does_not_start_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_NAMESPACES", ("--no-such-namespace",))

    ran = run("assert True", QUICK)

    assert ran.verdict == "unstarted" and "--no-such-namespace" in ran.detail
    [reading] = measure(Chosen(METRICS["code"], {}), [Answered("x = 1", (), {"tests": ["assert x == 1"]})]).readings
    assert reading == Reading(None, error=f"the sandbox did not start: {ran.detail}")


def plan_of(*, allow_code: bool, **suite: object) -> None:
    config = LoopConfig.model_validate({"score": {"allow_code": allow_code}})
    scoring(config, resolved(config.score.arms[0], config), (suite_of(**{**CODE_SUITE, **suite}),))


@pytest.mark.parametrize(
    "suite",
    [
        {},
        {"primary_metric": "exact_match", "task": {"metric_list": [{"metric": "exact_match"}, {"metric": "code"}]}},
        {"kind": "lm_eval", "task": {"output_type": "generate_until", "doc_to_text": "x", "doc_to_target": "y"}},
    ],
)
def test_running_programs_is_off_and_the_plan_says_how_to_allow_it(suite: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="suite programs runs the programs that the model writes") as caught:
        plan_of(allow_code=False, **suite)
    assert caught.value.where == "score.allow_code" and "allow_code: true" in str(caught.value.next_step)


def test_a_machine_that_cannot_contain_programs_is_a_missing_prerequisite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.score.metrics.chosen.obstacle", lambda: "no namespaces")

    with pytest.raises(PrerequisiteError, match="no namespaces"):
        plan_of(allow_code=True)
    refuse_code([suite_of()], allowed=False)


@contained
def test_with_leave_and_a_sandbox_the_plan_goes_on() -> None:
    plan_of(allow_code=True)


@pytest.mark.parametrize("missing", ["unshare", "setpriv"])
def test_without_its_programs_there_is_no_sandbox(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else which(name) or f"/bin/{name}")

    assert missing in str(obstacle.__wrapped__())
