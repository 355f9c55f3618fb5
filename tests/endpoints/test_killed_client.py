from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import questions
from endpoints.scripted_server import HANG, ScriptedServer, Step, says

from workbench.endpoints.cache import ResponseCache, cache_key

CLIENT = """
import sys
from pathlib import Path
from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.records import Message
from workbench.endpoints.client import ChatRequest, open_endpoint

url, directory, count, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
config = EndpointConfig(base_url=url, model="scripted", concurrency=concurrency, max_retries=0)
requests = [ChatRequest((Message(role="user", content=f"q{n}"),), max_tokens=8) for n in range(count)]
answers = open_endpoint(config, ModelConfig(), directory, directory).chat(requests)
replies = [answer for answer in answers if type(answer).__name__ == "Reply"]
right = all(reply.text == f"answer to q{n}" for n, reply in enumerate(replies))
print(len(replies), sum(reply.cached for reply in replies), right)
"""


class Victim:
    """A client that the server kills when it has been asked so many times in this life."""

    def __init__(self, directory: Path, count: int, concurrency: int) -> None:
        self._arguments = [str(directory), str(count), str(concurrency)]
        self._child: subprocess.Popen[str] | None = None
        self._left: int | None = None

    def start(self, url: str, kill_after: int | None) -> subprocess.Popen[str]:
        self._left = kill_after
        command = [sys.executable, "-c", CLIENT, url, *self._arguments]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return self._child

    def script(self, request: dict[str, Any], _number: int) -> Step:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                assert self._child is not None
                os.kill(self._child.pid, signal.SIGKILL)
            if self._left <= 0:
                return HANG
        return says(f"answer to {request['messages'][0]['content']}")


def asked(server: ScriptedServer) -> list[str]:
    return [request["messages"][0]["content"] for request in server.requests]


def test_one_call_at_a_time_and_a_kill_repeats_only_the_call_that_was_in_flight(tmp_path: Path) -> None:
    victim = Victim(tmp_path, 10, 1)
    with ScriptedServer(victim.script) as server:
        assert victim.start(server.url, kill_after=6).wait(timeout=60) == -signal.SIGKILL
        out, _ = victim.start(server.url, None).communicate(timeout=60)
    assert out.split() == ["10", "5", "True"]
    # ten answers and the one that was in flight when the client died
    assert len(server.requests) == 11
    assert asked(server)[6:] == [f"q{n}" for n in range(5, 10)]


@pytest.mark.slow
def test_killed_again_and_again_it_asks_for_nothing_that_it_had_kept(tmp_path: Path) -> None:
    rng, lives, concurrency, count = random.Random(5), 3, 4, 40
    victim = Victim(tmp_path, count, concurrency)
    with ScriptedServer(victim.script) as server:
        name = f"scripted at {server.url}"

        def kept() -> set[str]:
            with ResponseCache(tmp_path) as cache:
                return {r.messages[0].content for r in questions(count) if cache.get(cache_key(name, r)) is not None}

        for _ in range(lives):
            before, asked_before = kept(), len(server.requests)
            assert victim.start(server.url, rng.randint(1, 12)).wait(timeout=60) == -signal.SIGKILL
            assert before.isdisjoint(asked(server)[asked_before:])
            assert before <= kept()
        before, asked_before = kept(), len(server.requests)
        out, _ = victim.start(server.url, None).communicate(timeout=60)
        last_life = asked(server)[asked_before:]
    assert out.split() == [str(count), str(len(before)), "True"]
    assert sorted(last_life) == sorted({f"q{n}" for n in range(count)} - before)
    # beyond the unique requests, at most what was in flight at each kill
    assert count < len(server.requests) <= count + lives * concurrency
