from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import question
from endpoints.scripted_server import ScriptedServer, refused_url, says, status

from workbench.core.config import EndpointConfig, LoopConfig, ModelConfig
from workbench.core.errors import UsageError
from workbench.endpoints.address import verified_local
from workbench.endpoints.calls import CallFailed, Endpoint, Reply
from workbench.endpoints.client import endpoint_external, open_endpoint


def endpoint_config(**settings: Any) -> EndpointConfig:
    """As a loop with `local_only` hands it to its nodes."""
    loop = LoopConfig.model_validate({"endpoints": {"judge": {"model": "m", **settings}}, "local_only": True})
    return loop.endpoints["judge"]


def opened(directory: Path, **settings: Any) -> Endpoint:
    return open_endpoint(endpoint_config(**settings), ModelConfig(), directory, directory)


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example/v1",
        "https://10.0.0.7/v1",
        "http://0.0.0.0:8000/v1",
        "http://169.254.169.254/v1",
        "http://127.0.0.1.models.example/v1",
        "http://localhost.models.example/v1",
        "http://2130706433:8000/v1",
        "http://[2001:db8::1]/v1",
    ],
)
def test_other_hosts_are_refused_in_the_plan_without_being_looked_up(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-nobody")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: pytest.fail("a name was looked up"))
    with pytest.raises(UsageError, match="`local_only` refuses"):
        endpoint_external(endpoint_config(base_url=url), ModelConfig(), tmp_path)
    with pytest.raises(UsageError, match="`local_only` refuses"):
        opened(tmp_path, base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UsageError, match="`local_only` refuses"):
        opened(tmp_path)


def test_a_name_that_leads_elsewhere_is_refused_even_if_it_changes_after_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = opened(tmp_path, base_url="http://localhost:8000/v1")

    def elsewhere(*_a: object, **_k: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 8000))]

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with pytest.raises(UsageError, match=r"'localhost' leads to 10\.0\.0\.7"):
        endpoint.chat([question()])
    with pytest.raises(UsageError, match=r"'localhost' leads to 10\.0\.0\.7"):
        opened(tmp_path, base_url="http://localhost:8000/v1")


def test_the_name_is_replaced_by_the_address_that_was_verified() -> None:
    assert verified_local("http://localhost:8000/v1") == "http://127.0.0.1:8000/v1"
    assert verified_local("https://localhost:8000/v1") == "https://localhost:8000/v1"
    assert verified_local("http://[::1]:8000/v1") == "http://[::1]:8000/v1"


def test_a_local_server_answers_under_its_name_without_any_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, refused_url().removesuffix("/v1"))
    with ScriptedServer(lambda _r, _n: says("Lima")) as server:
        (reply,) = opened(tmp_path, base_url=server.url.replace("127.0.0.1", "localhost")).chat([question()])
    assert isinstance(reply, Reply)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("Lima")) as other:
        target = f"{other.url}/chat/completions"
        with ScriptedServer(lambda _r, _n: status(307, Location=target)) as server:
            (answer,) = opened(tmp_path, base_url=server.url).chat([question()])
    assert isinstance(answer, CallFailed) and answer.reason == "redirected"
    assert other.requests == []


def test_without_it_other_hosts_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-nobody")
    loop = LoopConfig.model_validate({"endpoints": {"far": {"model": "m", "base_url": "https://models.example/v1"}}})
    assert open_endpoint(loop.endpoints["far"], ModelConfig(), tmp_path, tmp_path).name.endswith("models.example/v1")
