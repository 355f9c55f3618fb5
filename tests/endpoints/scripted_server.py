"""A real HTTP server on loopback that misbehaves to order: each request gets the step its script gives for it.

    with ScriptedServer(lambda request, number: says("A") if number else status(500)) as server:
        EndpointConfig(base_url=server.url, model="scripted")
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Step:
    """What the server does with one request."""

    body: bytes = b""
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    fate: str = "answer"
    """`answer`, `hang` (until the server closes), `drop` (close without a byte), `truncate` (half of the body)."""


def says(
    text: str | None, *, finish_reason: str = "stop", logprobs: dict[str, float] | None = None, **message: Any
) -> Step:
    """A well-formed chat completion."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish_reason,
    }
    if logprobs is not None:
        alternatives = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**alternatives[0], "top_logprobs": alternatives}]}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    return raw({"id": "x", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": usage})


def echoes(tokens: list[str], logprobs: list[float | None]) -> Step:
    """What `/completions` says with `echo`: tokens of the prompt and of the answer."""
    found = {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": None, "text_offset": []}
    return raw({"object": "text_completion", "choices": [{"index": 0, "text": "".join(tokens), "logprobs": found}]})


def raw(document: Any) -> Step:
    """Status 200 with any JSON."""
    return Step(json.dumps(document).encode())


def status(code: int, message: str = "no", **headers: str) -> Step:
    """An error in the usual shape; `Retry_After="2"` becomes the header `Retry-After: 2`."""
    body = json.dumps({"error": {"message": message}}).encode()
    return Step(body, code, {name.replace("_", "-"): value for name, value in headers.items()})


HANG = Step(fate="hang")
DROP = Step(fate="drop")
TRUNCATE = Step(says("a long answer").body, fate="truncate")


class ScriptedServer:
    """Counts and keeps what it is asked. `script(request body, number from 0)` decides."""

    def __init__(self, script: Callable[[dict[str, Any], int], Step]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.peak_in_flight = 0
        self._in_flight = 0
        self._script = script
        self._lock = threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speaks https; before it begins."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self._in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            self._act(handler, self._script(request, number))
        finally:
            with self._lock:
                self._in_flight -= 1

    def _act(self, handler: BaseHTTPRequestHandler, step: Step) -> None:
        if step.fate == "hang":
            self._closing.wait()
        if step.fate in {"hang", "drop"}:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.send_response(step.code)
        handler.send_header("Content-Type", step.content_type)
        handler.send_header("Content-Length", str(len(step.body)))
        for name, value in step.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if step.fate == "truncate":
            handler.wfile.write(step.body[: len(step.body) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        handler.wfile.write(step.body)


def refused_url() -> str:
    """An address on loopback where nobody listens: the port was just given back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
