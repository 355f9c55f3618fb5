"""An endpoint as an OpenAI-compatible server: `/v1/chat/completions` and `/v1/models`, nothing else.

    with serving(endpoint, "smollm2", "127.0.0.1", 8000, token=None) as server:
        server.serve_forever()

What it cannot do is refused by name (sampling, tools, stop words, JSON schemas), never ignored. Log-probabilities come
for the first token of an answer, not in a stream. Questions are answered one after the other, in the order in which
they came; who has gone meanwhile is passed over. A page in a browser cannot ask: the body must be declared as JSON, and
the request must be addressed to this host.
"""

from __future__ import annotations

import hmac
import json
import secrets
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from workbench.core.errors import UsageError, WorkbenchError
from workbench.core.records import Message
from workbench.endpoints.address import is_loopback_host
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Endpoint, Reply
from workbench.endpoints.events import EventStream
from workbench.endpoints.replies import shortened
from workbench.endpoints.turns import Line

_N = TypeVar("_N", int, float)
_LARGEST_BODY = 8 << 20
_DEFAULT_MAX_TOKENS = 256
_MOST_LOGPROBS = 20
_LARGEST_NUMBER = 2**63 - 1
_SOCKET_TIMEOUT_S = 60.0
_LENGTHS = ("max_completion_tokens", "max_tokens")
_READ = {
    "model",
    "messages",
    *_LENGTHS,
    "temperature",
    "seed",
    "logprobs",
    "top_logprobs",
    "user",
    "stream",
    "stream_options",
}
_STREAM_OPTIONS = {"include_usage"}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1, None),
    "top_p": (1, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "stop": (None, []),
    "tools": (None, []),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
}
"""Parameters that are accepted where they ask for nothing."""


class _Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Served(Endpoint, Protocol):
    """An endpoint that can tell an answer while it is made."""

    def streamed(self, request: ChatRequest, heard: Callable[[str], object]) -> Answer:
        """The answer, told piece by piece; what `heard` raises ends the work."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and how the answer is wanted."""

    request: ChatRequest
    stream: bool
    usage: bool
    """Whether a stream ends with what it used."""


def serving(
    endpoint: Served,
    model: str,
    host: str,
    port: int,
    token: str | None,
    log: Callable[[str], object] = lambda line: None,
) -> ThreadingHTTPServer:
    """A server that listens (port 0: any free one); its `serve_forever` answers. `log` hears one line per request.

    UsageError for an address other than loopback without a token, an empty token, or an address that cannot be listened
    on.
    """
    if token is not None and not token.strip():
        raise UsageError("the token is empty", where="--token", next_step="give one, or `new` to have one made")
    if token is None and not is_loopback_host(host):
        raise UsageError(
            f"{host} can be reached from other machines",
            where="--host",
            next_step="give a token (--token), or serve on 127.0.0.1",
        )
    service = _Service(endpoint, model, host, token, log)

    class Handler(_Handler):
        pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, request: Any, client_address: Any) -> None:
            log(f"a connection broke: {shortened(repr(sys.exception()))}")

    Handler.service = service
    try:
        server = Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error}", where="--host, --port", next_step="take others"
        ) from None
    server.daemon_threads = True
    return server


class _Service:
    """What the requests of one server share."""

    def __init__(
        self, endpoint: Served, model: str, host: str, token: str | None, log: Callable[[str], object]
    ) -> None:
        self.model = model
        self.log = log
        self._endpoint = endpoint
        self._host = host
        self._token = token
        self._line = Line()

    def check_sender(self, host: str | None, authorization: str | None) -> None:
        """Refuses requests addressed to another host (a name that a page had resolved to here) or without the token."""
        try:
            named = urlsplit(f"//{host or ''}").hostname or ""
        except ValueError:
            raise _Refused(400, "the header Host cannot be read") from None
        if is_loopback_host(self._host) and not is_loopback_host(named):
            raise _Refused(403, "this server answers to 127.0.0.1 and localhost alone")
        if self._token is not None and not hmac.compare_digest(
            (authorization or "").encode(), f"Bearer {self._token}".encode()
        ):
            raise _Refused(401, "the token is missing or wrong: send it as the API key")

    def models(self) -> dict[str, Any]:
        """What `/v1/models` says."""
        return {"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "workbench"}]}

    def asked(self, body: Any) -> _Asked:
        """The question in the body of `/v1/chat/completions`; _Refused for what cannot be done."""
        return _asked(body, self.model)

    def answer(self, request: ChatRequest, gone: Callable[[], bool], heard: Callable[[str], object] | None) -> Reply:
        """The answer, once it is this question's turn. _Refused if there is none, ConnectionError if the one who asked
        has gone while waiting."""
        with self._line.turn():
            if gone():
                raise ConnectionAbortedError
            answer = self._endpoint.chat([request])[0] if heard is None else self._endpoint.streamed(request, heard)
        if isinstance(answer, CallFailed):
            raise _Refused(400 if answer.reason == "bad_request" else 500, answer.message)
        return answer


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    service: _Service
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _SOCKET_TIMEOUT_S

    def do_GET(self) -> None:
        self._reply(lambda: self.service.models() if self.path == "/v1/models" else _nothing_at(self.path))

    def do_POST(self) -> None:
        self._reply(lambda: self._completion() if self.path == "/v1/chat/completions" else _nothing_at(self.path))

    def _reply(self, made: Callable[[], dict[str, Any] | None]) -> None:
        """Sends what `made` gives, or why it gives nothing; None where it has sent everything itself."""
        try:
            try:
                self.service.check_sender(self.headers.get("Host"), self.headers.get("Authorization"))
                if (document := made()) is not None:
                    self._send(200, document)
            except _Refused as refused:
                # its body may still stand in the stream
                self.close_connection = True
                self._send(refused.status, _error(refused.message))
            except WorkbenchError as error:
                self._send(400 if isinstance(error, UsageError) else 500, _error(error.problem))
            except (RuntimeError, MemoryError) as error:
                self._send(500, _error(_unexpected(error)))
        except (ConnectionError, TimeoutError):
            # nobody waits for the answer any more; what was finished is in the cache
            self.close_connection = True
            self.service.log(f"{self.command} {shortened(self.path)} gone")

    def _completion(self) -> dict[str, Any] | None:
        """The answer as a document, or None after a stream of it."""
        asked = self.service.asked(self._body())
        if not asked.stream:
            return _document(self.service.model, self.service.answer(asked.request, self._gone, None))
        stream = EventStream(self._begin_stream, self.wfile.write, _head(self.service.model))
        try:
            reply = self.service.answer(asked.request, self._gone, stream.piece)
            stream.end(reply, _usage(reply) if asked.usage else None)
        except (_Refused, WorkbenchError, RuntimeError, MemoryError) as error:
            if not stream.begun:
                raise
            known = isinstance(error, (_Refused, WorkbenchError))
            stream.fail(_error(str(error) if known else _unexpected(error)))
        return None

    def _begin_stream(self) -> None:
        self._log(200)
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self._log(status)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _log(self, status: int) -> None:
        self.service.log(f"{self.command} {shortened(self.path)} {status}")

    def _gone(self) -> bool:
        """Whether the other side has closed the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _body(self) -> Any:
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "send the body as application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > len(str(_LARGEST_BODY)) or int(length) > _LARGEST_BODY:
            raise _Refused(413, f"a body needs a Content-Length of at most {_LARGEST_BODY} bytes")
        try:
            return json.loads(self.rfile.read(int(length)), parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise _Refused(400, "the body is no JSON") from None

    def log_message(self, format: str, *args: object) -> None:
        """Requests are told to `log`."""


def _no_number(constant: str) -> None:
    raise ValueError(constant)


def _nothing_at(path: str) -> dict[str, Any]:
    raise _Refused(404, f"nothing at {shortened(path)}: there are /v1/models and /v1/chat/completions")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


def _asked(body: Any, model: str) -> _Asked:
    """The question in a body, and whether its answer is to be streamed; _Refused names what cannot be obeyed."""
    request = _request(body, model)
    stream, options = body.get("stream"), body.get("stream_options")
    if stream not in (True, False, None):
        raise _Refused(400, "stream must be true or false")
    if stream and request.top_logprobs:
        raise _Refused(400, "log-probabilities do not come in a stream: leave out 'stream' or 'logprobs'")
    if options is not None and (not stream or not isinstance(options, dict) or not options.keys() <= _STREAM_OPTIONS):
        raise _Refused(400, "stream_options needs stream, and may hold include_usage alone")
    return _Asked(request, stream=bool(stream), usage=bool(options and options.get("include_usage")))


def _request(body: Any, model: str) -> ChatRequest:
    """The question in a body; _Refused names the parameter that cannot be obeyed."""
    if not isinstance(body, dict):
        raise _Refused(400, "the body must be a JSON object")
    for name, value in body.items():
        if name not in _READ and not any(value == neutral for neutral in _NEUTRAL.get(name, ())):
            raise _Refused(400, f"parameter {shortened(name)!r} is not supported with this value")
    if body.get("model") != model:
        raise _Refused(404, f"the model served here is {model!r}")
    limit = next((body[name] for name in _LENGTHS if body.get(name) is not None), None)
    top = body.get("top_logprobs") or 0
    wanted = max(1, _number("top_logprobs", top, int)) if body.get("logprobs") else 0
    if wanted > _MOST_LOGPROBS:
        raise _Refused(400, f"top_logprobs may be at most {_MOST_LOGPROBS}")
    max_tokens = _DEFAULT_MAX_TOKENS if limit is None else _number("max_tokens", limit, int)
    if max_tokens < 1:
        raise _Refused(400, "max_tokens must be at least 1")
    return ChatRequest(
        _messages(body.get("messages")),
        max_tokens=max_tokens,
        temperature=_number("temperature", body.get("temperature") or 0, float),
        seed=_number("seed", body.get("seed") or 0, int),
        top_logprobs=wanted,
    )


def _messages(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not turns:
        raise _Refused(400, "messages must be a list of at least one message")
    found = []
    for place, turn in enumerate(turns):
        try:
            found.append(Message(role=turn["role"], content=_text(turn["content"])))
        except (KeyError, TypeError, ValidationError):
            raise _Refused(400, f"messages[{place}] must have a role and text as its content") from None
    return tuple(found)


def _text(content: Any) -> Any:
    """Text itself, or in parts."""
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content)


def _number(name: str, value: Any, kind: type[_N]) -> _N:
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise _Refused(400, f"{name} must be a number, whole where it counts something")
    if not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER:
        raise _Refused(400, f"{name} is out of range")
    return kind(value)


def _document(model: str, reply: Reply) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": reply.text},
        "finish_reason": reply.finish_reason,
    }
    if reply.first_token_logprobs is not None:
        ordered = sorted(reply.first_token_logprobs.items(), key=lambda entry: -entry[1])
        entries = [{"token": text, "logprob": value, "bytes": list(text.encode())} for text, value in ordered]
        choice["logprobs"] = {"content": [{**entries[0], "top_logprobs": entries}]}
    return _head(model) | {"object": "chat.completion", "choices": [choice], "usage": _usage(reply)}


def _unexpected(error: Exception) -> str:
    """What torch raises, out of memory too."""
    return f"the model failed: {shortened(repr(error))}"


def _head(model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(8)}", "created": int(time.time()), "model": model}


def _usage(reply: Reply) -> dict[str, int]:
    prompt, made = reply.prompt_tokens, reply.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
