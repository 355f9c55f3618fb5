from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from endpoints.scripted_server import HANG, ScriptedServer, Step, says

CLIENT = """
import sys
from pathlib import Path
from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.records import Message
from workbench.endpoints.client import ChatRequest, open_endpoint

url, directory = sys.argv[1], Path(sys.argv[2])
config = EndpointConfig(base_url=url, model="scripted", concurrency=1, max_retries=0)
requests = [ChatRequest((Message(role="user", content=f"q{n}"),), max_tokens=8) for n in range(10)]
answers = open_endpoint(config, ModelConfig(), directory, directory).chat(requests)
print(sum(type(answer).__name__ == "Reply" for answer in answers), sum(answer.cached for answer in answers))
"""


def test_a_client_killed_halfway_repeats_no_answered_call(tmp_path: Path) -> None:
    children: list[subprocess.Popen[str]] = []

    def start(url: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CLIENT, url, str(tmp_path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    def kills_at_the_sixth(request: dict[str, Any], number: int) -> Step:
        if number == 5:
            os.kill(children[0].pid, signal.SIGKILL)
            return HANG
        return says(f"answer to {request['messages'][0]['content']}")

    with ScriptedServer(kills_at_the_sixth) as server:
        assert start(server.url).wait(timeout=60) == -signal.SIGKILL
        out, _ = start(server.url).communicate(timeout=60)
    assert out.split() == ["10", "5"]
    # ten answers and the one that was in flight when the client died
    assert len(server.requests) == 11
    assert [request["messages"][0]["content"] for request in server.requests[6:]] == [f"q{n}" for n in range(5, 10)]
