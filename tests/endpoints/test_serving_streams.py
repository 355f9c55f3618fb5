"""Answers of `workbench serve` in pieces, and several clients at once."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest
from endpoints.asking import question

from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.errors import IncompleteError
from workbench.endpoints.budget import Budget
from workbench.endpoints.calls import Abilities, Answer, ChatRequest, Endpoint, Reply, never_cancelled, nobody
from workbench.endpoints.in_process import InProcessEndpoint
from workbench.endpoints.serving import Served, serving
from workbench.endpoints.turns import Line


@contextmanager
def address_of(endpoint: Served, log: Callable[[str], object] = nobody) -> Iterator[str]:
    with serving(endpoint, "tiny", "127.0.0.1", 0, None, log) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> InProcessEndpoint:
    directory = tmp_path_factory.mktemp("streamed")
    config = EndpointConfig(kind="in_process")
    return InProcessEndpoint(config, ModelConfig(ref=str(tiny_model_dir)), directory, directory / "responses")


def chunks_of(url: str, text: str, **settings: Any) -> list[Any]:
    import openai

    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    turns: Any = [{"role": "user", "content": text}]
    return list(client.chat.completions.create(model="tiny", messages=turns, stream=True, **settings))


def test_a_stream_tells_the_same_answer_in_pieces_while_it_is_made_and_from_the_cache_at_once(
    model: InProcessEndpoint,
) -> None:
    with address_of(model) as url:
        options = {"max_tokens": 12, "stream_options": {"include_usage": True}}
        fresh, kept = (chunks_of(url, "Tell me.", **options) for _ in range(2))
    (whole,) = model.chat([question("Tell me.", max_tokens=12)])
    assert isinstance(whole, Reply) and whole.text
    for found in (fresh, kept):
        said = [chunk.choices[0] for chunk in found if chunk.choices]
        assert "".join(choice.delta.content or "" for choice in said) == whole.text
        assert said[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in said] == [*[None] * (len(said) - 1), whole.finish_reason]
        assert found[-1].usage is not None and found[-1].usage.completion_tokens == whole.completion_tokens
        assert len({chunk.id for chunk in found}) == 1 and found[0].object == "chat.completion.chunk"
    assert len(fresh) > len(kept) == 4


def test_events_are_those_of_the_protocol(model: InProcessEndpoint) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Go."}], "max_tokens": 2, "stream": True}
    with address_of(model) as url, connected(url, body) as line:
        head, _, events = line.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"Content-Type: text/event-stream" in head
    *documents, done, rest = events.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(json.loads(document.removeprefix(b"data: "))["model"] == "tiny" for document in documents)


@contextmanager
def connected(url: str, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which a question was asked."""
    data = json.dumps(body).encode()
    host = urlsplit(url).netloc
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host.partition(":")[0], int(host.partition(":")[2])), timeout=60) as line:
        line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        yield line


class Slow:
    """A model that begins an answer when it is let."""

    name = "slow"
    budget = Budget(EndpointConfig())

    def __init__(self, breaks: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.begun = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)
        self._breaks = breaks

    def abilities(self, wanted: Sequence[str], trial: Callable[[Endpoint], Abilities], *, anew: bool) -> Abilities:
        return {}

    def chat(
        self,
        requests: Sequence[ChatRequest],
        on_done: Callable[[int], object] | None = None,
        cancelled: Callable[[], bool] = never_cancelled,
    ) -> Sequence[Answer]:
        self.asked += [request.messages[0].content for request in requests]
        self.begun.release()
        assert self.may_answer.acquire(timeout=60)
        return [Reply("yes", "stop", None, 1, 1) for _ in requests]

    def streamed(self, request: ChatRequest, heard: Callable[[str], object]) -> Answer:
        heard("ye")
        if self._breaks is not None:
            raise self._breaks
        (answer,) = self.chat([request])
        heard("s")
        return answer


def body(text: str, **settings: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}]} | settings


@pytest.mark.parametrize("error", [IncompleteError("half an answer"), RuntimeError("out of memory")])
def test_what_breaks_within_an_answer_reaches_the_client_as_an_error_and_nobody_as_a_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    import openai

    with address_of(Slow(breaks=error)) as url, pytest.raises(openai.APIError, match=str(error)):
        chunks_of(url, "Tell me.")
    assert capsys.readouterr().err == ""


def test_a_connection_that_is_cut_is_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    lines = SimpleQueue[str]()
    with address_of(Slow(), lines.put) as url:
        host, _, port = urlsplit(url).netloc.partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
            line.sendall(b"POST /v1/chat")
        assert lines.get(timeout=60).startswith("a connection broke: ConnectionResetError")
    assert capsys.readouterr().err == ""


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released whenever somebody has taken a place in a line."""
    taken = threading.Semaphore(0)

    class Watched(deque[object]):
        def append(self, ticket: object) -> None:
            super().append(ticket)
            taken.release()

    monkeypatch.setattr("workbench.endpoints.turns.deque", Watched)
    return taken


def test_several_clients_are_answered_in_the_order_in_which_they_came_and_who_has_gone_is_passed_over(
    queued: threading.Semaphore,
) -> None:
    slow, lines = Slow(), list[str]()
    with ExitStack() as stack:
        url = stack.enter_context(address_of(slow, lines.append))
        told = []
        for text in ("first", "gone", "second", "third"):
            with ExitStack() as client:
                line = client.enter_context(connected(url, body(text, stream=text == "second")))
                assert queued.acquire(timeout=60)
                if text != "gone":
                    told.append(line.makefile("rb"))
                    stack.push(client.pop_all())
        for _ in told:
            slow.may_answer.release()
        assert all(answer.readline().startswith(b"HTTP/1.1 200") for answer in told)
        assert b"data: [DONE]" in told[1].read()
    assert slow.asked == ["first", "second", "third"]
    assert lines.count("POST /v1/chat/completions gone") == 1


def test_a_line_moves_in_the_order_of_coming(queued: threading.Semaphore) -> None:
    line, order = Line(), list[int]()

    def wait(number: int) -> None:
        with line.turn():
            order.append(number)

    threads = []
    with line.turn():
        assert queued.acquire(timeout=60)
        for number in range(20):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            assert queued.acquire(timeout=60)
    for thread in threads:
        thread.join()
    assert order == list(range(20))
