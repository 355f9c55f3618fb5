"""The inside of the sandbox: gives up all power, then runs the program. Started by `sandbox.py`, imported by nobody.

    stdin   {"program": "assert 1", "token": "9f..", "seconds": 5.0, ...}
    report  "9f.. started", then "9f.. passed", "9f.. unreadable SyntaxError: ..." or "9f.. failed ValueError: ..."

The token keeps a program from reporting its own success by accident: only this file knows it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import resource
import signal
import struct
import sys
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_RECURSIVE, _MOUNT_SETATTR = 0x8000, 442
_RDONLY_NOSUID_NODEV = 1 | 2 | 4
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_PR_CAPBSET_DROP, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 24, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_WRITE_FILE, _LANDLOCK_PATH_BENEATH = 1 << 1, 1
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522

_X32_BIT = 0x40000000
_CLONE_THREAD = 0x10000
_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_FILTERED: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "clone": 56, "socketpair": 53, "capset": 126, "mount": 165, "umount2": 166, "fork": 57, "vfork": 58,
        "execve": 59, "execveat": 322, "socket": 41, "connect": 42, "ptrace": 101, "setsid": 112, "setpgid": 109,
        "prctl": 157, "seccomp": 317, "unshare": 272, "setns": 308, "bpf": 321, "keyctl": 250, "add_key": 248,
        "request_key": 249, "process_vm_readv": 310, "process_vm_writev": 311, "userfaultfd": 323,
        "perf_event_open": 298, "shmget": 29, "semget": 64, "msgget": 68, "memfd_create": 319, "io_setup": 206,
    }),
    "aarch64": (0xC00000B7, {
        "clone": 220, "socketpair": 199, "capset": 91, "mount": 40, "umount2": 39, "execve": 221, "execveat": 281,
        "socket": 198, "connect": 203, "ptrace": 117, "setsid": 157, "setpgid": 154, "prctl": 167, "seccomp": 277,
        "unshare": 97, "setns": 268, "bpf": 280, "keyctl": 219, "add_key": 217, "request_key": 218,
        "process_vm_readv": 270, "process_vm_writev": 271, "userfaultfd": 282, "perf_event_open": 241,
        "shmget": 194, "semget": 190, "msgget": 186, "memfd_create": 279, "io_setup": 0,
    }),
}  # fmt: skip
"""By machine: its number, and the system calls that are refused (`clone` only where it makes a process, `socketpair`
unless both ends are a stream: those of a datagram pair can send to any socket that is a file). Shared memory, queues
and files without a name would keep memory beyond the address space."""
_EVERYWHERE = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "mount_setattr": 442,
    "memfd_secret": 447,
}  # fmt: skip
"""Refused system calls that have the same number on every machine."""
_CLONE3 = 435
_SOCK_TYPE, _SOCK_STREAM = 0xF, 1
_MAX_FILES = 4096
"""In /tmp: an empty file takes a kilobyte of the kernel's memory, which the size of a file system does not count."""


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("fd", ctypes.c_uint64),
    )  # fmt: skip


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _close_files(disk_bytes: int) -> None:
    """Every mount read-only and without devices; /tmp empty, small and in memory; /proc empty."""
    attributes = _Attributes(_RDONLY_NOSUID_NODEV, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    _checked(
        _LIBC.syscall(_MOUNT_SETATTR, -100, b"/", _AT_RECURSIVE, ctypes.byref(attributes), size), "read-only mounts"
    )
    flags = _MS_NOSUID | _MS_NODEV
    room = f"size={disk_bytes},nr_inodes={_MAX_FILES}".encode()
    _checked(_LIBC.mount(b"none", b"/tmp", b"tmpfs", flags, room), "tmpfs on /tmp")
    _checked(_LIBC.mount(b"none", b"/proc", b"tmpfs", flags | _MS_RDONLY, b"size=4096"), "tmpfs on /proc")
    os.chdir("/tmp")


def _limit(given: dict[str, Any]) -> None:
    seconds = math.ceil(given["seconds"])
    limits = {
        resource.RLIMIT_CPU: seconds + 1,
        resource.RLIMIT_AS: given["memory_bytes"],
        resource.RLIMIT_FSIZE: given["disk_bytes"],
        resource.RLIMIT_NPROC: given["threads"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for which, limit in limits.items():
        resource.setrlimit(which, (limit, limit))


def _drop_capabilities() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # the last ones do not exist on every kernel
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    _checked(_LIBC.capset(header, bytes(24)), "dropping capabilities")
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def _write_below(path: str) -> None:
    """Opens nothing outside of `path` for writing from now on: a read-only mount leaves its named pipes writable."""
    rules = _LIBC.syscall(_LANDLOCK_CREATE, struct.pack("Q", _LANDLOCK_WRITE_FILE), 8, 0)
    _checked(rules, "Landlock")
    below = os.open(path, os.O_PATH)
    rule = struct.pack("=Qi", _LANDLOCK_WRITE_FILE, below)
    _checked(_LIBC.syscall(_LANDLOCK_ADD, rules, _LANDLOCK_PATH_BENEATH, rule, 0), "Landlock's rule")
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT, rules, 0), "Landlock's restriction")
    os.close(below)
    os.close(rules)


def _refuse_system_calls() -> None:
    """A filter in classic BPF over `struct seccomp_data` (number at 0, machine at 4, arguments from 16, each of 8)."""
    machine, refused = _FILTERED[platform.machine()]
    refused = {**refused, **_EVERYWHERE}
    clone, socketpair = refused.pop("clone"), refused.pop("socketpair")
    code = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),  # the C library then takes `clone`, whose flags can be seen
    ]
    for number in refused.values():
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    code += [
        (_JUMP_EQUAL, 0, 5, socketpair),
        (_LOAD, 0, 0, 24),
        (_AND, 0, 0, _SOCK_TYPE),
        (_JUMP_EQUAL, 1, 0, _SOCK_STREAM),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, 16),
        (_JUMP_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    instructions = (_Instruction * len(code))(*(_Instruction(*line) for line in code))
    program = _Program(len(code), instructions)
    _checked(_LIBC.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "filtering system calls")


def _run(given: dict[str, Any], report_to: int) -> None:
    token = given["token"]

    def report(verdict: str, problem: BaseException | None = None) -> None:
        said = "" if problem is None else f" {type(problem).__name__}: {problem!s:.200}".replace("\n", " ")
        os.write(report_to, f"{token} {verdict}{said}\n".encode(errors="replace"))

    def out_of_time(*_: object) -> None:
        report("timeout")
        os._exit(1)

    report("started")
    signal.signal(signal.SIGPROF, out_of_time)
    signal.setitimer(signal.ITIMER_PROF, given["seconds"])
    try:
        code = compile(given["program"], "answer.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        report("unreadable", problem)
        return
    try:
        exec(code, {"__name__": "__main__"})
    except BaseException as problem:  # noqa: BLE001 - whatever a program raises, an exit included, is its failure
        report("failed", problem)
        return
    report("passed")


def main() -> None:
    """Reads what to run from stdin and reports to the descriptor named on the command line."""
    given = json.load(sys.stdin)
    silent = os.open(os.devnull, os.O_RDWR)
    _close_files(given["disk_bytes"])
    _limit(given)
    _drop_capabilities()
    _write_below("/tmp")
    _refuse_system_calls()
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    _run(given, int(sys.argv[1]))
    os._exit(0)  # threads the program left behind would keep it alive


if __name__ == "__main__":
    main()
