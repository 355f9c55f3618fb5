"""The client under measurement, in a process of its own.

    python -m calling.client URL DIRECTORY COUNT CONCURRENCY

Prints `asking` when it has looked through its cache or has the first answer, and one JSON object at its end.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from workbench.core.config import EndpointConfig
from workbench.core.records import Message
from workbench.endpoints.calls import ChatRequest, Reply
from workbench.endpoints.server import ServerEndpoint

SETTLED = 2000
"""Answers after which buffers have their size; memory is compared with what it was then."""


def questions(count: int) -> list[ChatRequest]:
    """`count` different questions."""
    return [ChatRequest((Message(role="user", content=f"q{number}"),), max_tokens=8) for number in range(count)]


def opened(url: str, directory: Path, concurrency: int) -> ServerEndpoint:
    """The endpoint as a configuration opens it."""
    config = EndpointConfig(base_url=url, model="counted", concurrency=concurrency, timeout_s=60)
    return ServerEndpoint(config, base_url=url, model="counted", key="", cache_dir=directory)


def resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def asked(endpoint: ServerEndpoint, count: int) -> dict[str, Any]:
    """What it took to ask `count` questions and to read all answers."""
    settled, said = 0.0, False

    def watch(done: int) -> None:
        nonlocal settled, said
        if not said:
            said = True
            print("asking", flush=True)
        if done == min(SETTLED, count // 2):
            settled = resident_mb()

    requests = questions(count)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    answers = endpoint.chat(requests, on_done=watch)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    replies = sum(isinstance(answer, Reply) for answer in answers)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_s": used, "replies": replies, "rss_growth_mb": resident_mb() - settled}


if __name__ == "__main__":
    # imported here, so that it is neither timed nor killed
    for name in ("openai", "workbench.endpoints.transport"):
        importlib.import_module(name)

    address, cache, how_many, in_flight = sys.argv[1:]
    client = opened(address, Path(cache), int(in_flight))
    print(json.dumps(asked(client, int(how_many))), flush=True)
