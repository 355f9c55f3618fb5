from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import question
from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.errors import UsageError
from workbench.endpoints.calls import CallFailed, Reply
from workbench.endpoints.client import open_endpoint
from workbench.endpoints.in_process import InProcessEndpoint
from workbench.endpoints.probe import probe
from workbench.endpoints.serving import Served, serving


@dataclass(frozen=True)
class Running:
    """A server on loopback and what it logged."""

    url: str
    lines: list[str]

    def post(self, body: Any, path: str = "/chat/completions", **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"} | headers)
        return self._sent(request)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        return self._sent(urllib.request.Request(self.url + path, headers=headers))

    def _sent(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@contextmanager
def running(endpoint: Served, token: str | None = None, host: str = "127.0.0.1") -> Iterator[Running]:
    lines: list[str] = []
    with serving(endpoint, "tiny", host, 0, token, lines.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield Running(f"http://{f'[{host}]' if ':' in host else host}:{server.server_address[1]}/v1", lines)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> InProcessEndpoint:
    directory = tmp_path_factory.mktemp("served")
    return InProcessEndpoint(
        EndpointConfig(kind="in_process"), ModelConfig(ref=str(tiny_model_dir)), directory, directory / "responses"
    )


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 3} | changes


def test_its_answers_over_http_are_those_of_the_endpoint_in_process(model: Served, tmp_path: Path) -> None:
    asked = [question("Why?", max_tokens=4), question("Why?", max_tokens=1, top_logprobs=5)]
    with running(model) as server:
        client = open_endpoint(
            EndpointConfig(base_url=server.url, model="tiny"), ModelConfig(), tmp_path, tmp_path / "responses"
        )
        over_http = list(client.chat(asked))
        abilities = probe(client, logprobs=True, schema=True)
    for ours, theirs in zip(model.chat(asked), over_http, strict=True):
        assert isinstance(ours, Reply) and isinstance(theirs, Reply)
        assert (theirs.text, theirs.finish_reason, theirs.model) == (ours.text, ours.finish_reason, "tiny")
        assert (theirs.prompt_tokens, theirs.completion_tokens) == (ours.prompt_tokens, ours.completion_tokens)
        assert theirs.first_token_logprobs == ours.first_token_logprobs
    assert abilities.logprobs and not abilities.schema
    assert server.lines[0] == "POST /v1/chat/completions 200"


def test_the_openai_client_reads_models_and_answers(model: Served) -> None:
    import openai

    with running(model, token="a-token") as server:
        client = openai.OpenAI(base_url=server.url, api_key="a-token", max_retries=0)
        assert [found.id for found in client.models.list()] == ["tiny"]
        parts: Any = [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
        said = client.chat.completions.create(model="tiny", messages=parts, max_completion_tokens=2, n=1)
        assert said.choices[0].message.content is not None
        assert said.usage is not None and said.usage.total_tokens == said.usage.prompt_tokens + 2
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="another").models.list()


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (body(stream="yes"), 400, "stream must be"),
        (body(stream=True, logprobs=True), 400, "do not come in a stream"),
        (body(stream_options={"include_usage": True}), 400, "stream_options"),
        (body(stream=True, stream_options={"surprise": True}), 400, "stream_options"),
        (body(stream=True, temperature=0.7), 400, "temperature must be 0"),
        (body(stream=True, max_tokens=10**6), 400, "the model reads"),
        (body(n=2), 400, "'n'"),
        (body(response_format={"type": "json_schema", "json_schema": {}}), 400, "'response_format'"),
        (body(tools=[{"type": "function"}]), 400, "'tools'"),
        (body(stop=["\n"]), 400, "'stop'"),
        (body(surprise=1), 400, "'surprise'"),
        (body(temperature=0.7), 400, "temperature must be 0"),
        (body(model="gpt-4o"), 404, "'tiny'"),
        (body(max_tokens=0), 400, "max_tokens"),
        (body(max_tokens="many"), 400, "max_tokens"),
        (body(max_tokens=10**6), 400, "the model reads"),
        (body(logprobs=True, top_logprobs=21), 400, "top_logprobs"),
        (body(messages=[]), 400, "messages"),
        (body(messages=[{"role": "user"}]), 400, "messages[0]"),
        (body(messages=[{"role": "wizard", "content": "x"}]), 400, "messages[0]"),
        (body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]), 400, "messages[0]"),
        ([1], 400, "JSON object"),
        (b'{"model": ', 400, "no JSON"),
        (b'{"model": "tiny", "temperature": NaN}', 400, "no JSON"),
        (b'{"model": "tiny", "seed": ' + b"9" * 5000 + b"}", 400, "no JSON"),
        (body(temperature=10**400), 400, "temperature is out of range"),
        (json.dumps(body()).replace("3}", '3, "temperature": 1e999}').encode(), 400, "temperature is out of range"),
        (body(seed=-(10**400)), 400, "seed is out of range"),
        (b"[" * 100_000, 400, "no JSON"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(model: Served, sent: Any, status: int, words: str) -> None:
    with running(model) as server:
        code, document = server.post(sent)
    assert (code, words in document["error"]["message"]) == (status, True), document


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [({"Host": "[bad"}, 400, "Host"), ({"Content-Length": "9" * 5000}, 413, "Content-Length")],
)
def test_headers_that_cannot_be_read_are_refused(
    model: Served, headers: dict[str, str], status: int, words: str
) -> None:
    with running(model) as server:
        code, document = server.post(body(), **headers)
    assert (code, words in document["error"]["message"]) == (status, True), document


def test_other_paths_pages_of_browsers_and_other_hosts_names_get_nothing(model: Served) -> None:
    with running(model) as server:
        assert server.get("/nothing")[0] == 404
        assert server.post(body(), "/completions")[0] == 404
        assert server.post(body(), **{"Content-Type": "text/plain"})[0] == 415
        assert server.post(body(), Host="models.example")[0] == 403
        assert server.get("/models", Host="localhost")[0] == 200
    with running(model, token="a-token") as server:
        assert server.post(body())[0] == 401
        assert server.get("/models", Authorization="Bearer a-tokem")[0] == 401
        assert server.get("/models", Authorization="Bearer a-token")[0] == 200


def test_other_machines_need_a_token_and_a_taken_port_is_said(model: Served) -> None:
    with pytest.raises(UsageError, match="can be reached from other machines"):
        serving(model, "tiny", "0.0.0.0", 0, None)
    for empty in ("", "  "):
        with pytest.raises(UsageError, match="the token is empty") as refused:
            serving(model, "tiny", "0.0.0.0", 0, empty)
        assert refused.value.where == "--token"
    with running(model) as server, pytest.raises(UsageError, match="cannot listen"):
        serving(model, "tiny", "127.0.0.1", int(server.url.split(":")[2].removesuffix("/v1")), None)


def test_it_listens_on_the_loopback_address_of_the_new_protocol_too(model: Served) -> None:
    with running(model, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert server.get("/models")[0] == 200


@pytest.mark.parametrize(("given", "shown"), [("a-secret-token", False), ("new", True), (None, False)])
def test_only_a_token_that_it_made_is_shown(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, shown: bool
) -> None:
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", lambda _server: None)
    arguments = ["-C", str(tmp_path), "serve", "--port", "0", "--model", str(tiny_model_dir)]
    arguments += [] if given is None else ["--token", given]
    for form in ([], ["--json"]):
        result = CliRunner().invoke(app, [*arguments, *form])
        assert result.exit_code == 0, result.output
        assert "a-secret-token" not in result.output
        assert (json.loads(result.stdout)["token"] is not None if form else "token:" in result.stdout) == shown


def test_a_client_asking_for_what_is_refused_gets_a_failure_not_an_answer(model: Served, tmp_path: Path) -> None:
    with running(model) as server:
        client = open_endpoint(
            EndpointConfig(base_url=server.url, model="tiny"), ModelConfig(), tmp_path, tmp_path / "responses"
        )
        (answer,) = client.chat([question(schema={"type": "object"})])
    assert isinstance(answer, CallFailed) and answer.reason == "bad_request"
    assert "response_format" in answer.message


@pytest.mark.slow
def test_the_command_says_where_it_listens_and_ends_with_ctrl_c(tiny_model_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from workbench.cli.main import main; main()", "-C", str(tmp_path), "serve"]
    options = ["--port", "0", "--json", "--model", str(tiny_model_dir), "--token", "new"]
    child = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        text += child.stdout.readline()
    said = json.loads(text)
    server = Running(said["base_url"], [])
    code, document = server.post(body(model=said["model"]), Authorization=f"Bearer {said['token']}")
    assert (code, document["choices"][0]["finish_reason"]) == (200, "length")
    assert server.get("/models")[0] == 401
    # a client that goes away within a stream, which Linux answers with SIGPIPE
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {said['token']}"}
    asked = json.dumps(body(model=said["model"], stream=True, max_tokens=200)).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(server.url + "/chat/completions", asked, headers)) as stream:
        stream.readline()
    assert server.post(body(model=said["model"]), Authorization=headers["Authorization"])[0] == 200
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130
