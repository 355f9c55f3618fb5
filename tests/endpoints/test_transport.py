from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from endpoints.asking import KEY, open_on, question, questions
from endpoints.scripted_server import ScriptedServer, says

from workbench.endpoints.calls import CallFailed


def test_a_request_carries_the_configured_key_and_nothing_of_the_environment_or_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer somebody-elses\nX-Team: secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    with ScriptedServer(lambda _r, _n: says("Lima")) as server:
        open_on(server.url, tmp_path).chat([question()])
    (sent,) = server.headers
    assert sent["authorization"] == f"Bearer {KEY}"
    needed = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent", "authorization"}
    assert set(sent) == needed


def test_a_server_that_takes_no_connection_is_unreachable_and_ends_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.endpoints.server._CONNECT_TIMEOUT_S", 0.1)
    with ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(2):  # the line of those who wait is full after these
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        endpoint = open_on(url, tmp_path, max_retries=0, concurrency=1)
        answers = endpoint.chat(questions(5))
    assert {answer.reason for answer in answers if isinstance(answer, CallFailed)} == {"unreachable"}
    assert endpoint.budget.requests == 3
