from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from endpoints.scripted_server import HANG, ScriptedServer, Step, refused_url, says, status

from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.errors import ExitCode, PrerequisiteError, UsageError
from workbench.endpoints.client import endpoint_external, open_endpoint
from workbench.endpoints.probe import probe


def opened(url: str | None, directory: Path, **settings: Any) -> Any:
    config = EndpointConfig(base_url=url, **{"model": "scripted", "max_retries": 0} | settings)
    return open_endpoint(config, ModelConfig(), directory, directory)


def test_a_missing_key_is_a_missing_prerequisite_except_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(PrerequisiteError, match="MY_KEY") as caught:
        opened("https://models.example/v1", tmp_path, api_key_env="MY_KEY")
    assert caught.value.exit_code == ExitCode.PREREQUISITE
    for host in ("127.0.0.1", "localhost", "[::1]"):
        opened(f"http://{host}:8000/v1", tmp_path)


def test_the_address_comes_from_the_environment_where_the_configuration_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    endpoint = opened(None, tmp_path)
    assert endpoint.name == "scripted at http://127.0.0.1:9/v1"
    before = endpoint_external(EndpointConfig(model="m"), ModelConfig(), tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:10/v1")
    assert endpoint_external(EndpointConfig(model="m"), ModelConfig(), tmp_path) != before
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(UsageError, match="no address"):
        opened(None, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret-word@models.example/v1",
        "https://models.example/v1?api-key=secret-word",
        "file:///etc/passwd",
        "models.example/v1",
        "http://[broken/v1",
        "http://user:secret-word/x@models.example/v1",
        "http://models.example:secret-word/v1",
        "http://127.0.0.1:99999/v1",
    ],
)
def test_addresses_with_secrets_or_without_http_are_refused_without_repeating_the_secret(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        opened(url, tmp_path)
    assert "secret-word" not in str(caught.value)


def test_an_endpoint_without_model_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model id"):
        opened("http://127.0.0.1:1/v1", tmp_path, model=None)


@pytest.mark.parametrize(
    ("step", "advice"),
    [
        (status(401, "bad key"), "api_key_env"),
        (status(404, "no such model"), "base_url ends in /v1"),
        (Step(b"<html></html>", content_type="text/html"), "OpenAI-compatible"),
        (HANG, "timeout_s"),
    ],
)
def test_a_server_that_does_not_answer_is_a_missing_prerequisite_with_the_next_step(
    step: Step, advice: str, tmp_path: Path
) -> None:
    with ScriptedServer(lambda _r, _n: step) as server, pytest.raises(PrerequisiteError) as caught:
        limit = 0.3 if step is HANG else 30  # only the server that hangs may be given up on
        probe(opened(server.url, tmp_path, timeout_s=limit), logprobs=False, schema=False)
    assert advice in str(caught.value)


def test_an_unreachable_server_is_a_missing_prerequisite(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="start the server") as caught:
        probe(opened(refused_url(), tmp_path), logprobs=True, schema=True)
    assert caught.value.exit_code == ExitCode.PREREQUISITE


def test_a_schema_answer_that_cannot_be_read_is_not_obeyed(tmp_path: Path) -> None:
    digits = "9" * 5000
    with ScriptedServer(lambda request, _n: says(digits if "response_format" in request else "ready")) as server:
        assert not probe(opened(server.url, tmp_path), logprobs=False, schema=True).schema


@pytest.mark.parametrize("prose", ["I like blue.", '{"colour": "blue"}', '"vermilion"', ""])
def test_a_server_that_ignores_the_schema_is_found_out(prose: str, tmp_path: Path) -> None:
    with ScriptedServer(lambda request, _n: says(prose if "response_format" in request else "ready")) as server:
        abilities = probe(opened(server.url, tmp_path), logprobs=False, schema=True)
    assert not abilities.schema
    assert any("does not follow a JSON schema" in remark for remark in abilities.remarks)


def test_a_server_without_logprobs_or_refusing_them_is_found_out(tmp_path: Path) -> None:
    def refuses(request: dict[str, Any], _number: int) -> Step:
        return status(400, "logprobs are not supported") if request.get("logprobs") else says("ready")

    for name, script in (("silent", lambda _r, _n: says("ready")), ("refusing", refuses)):
        with ScriptedServer(script) as server:
            abilities = probe(opened(server.url, tmp_path / name), logprobs=True, schema=False)
        assert not abilities.logprobs
        assert any("gives no log-probabilities" in remark for remark in abilities.remarks)


def test_logprobs_that_are_off_by_one_are_refused(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("ready", logprobs={"<end>": -0.1, "ready": -4.0})) as server:
        abilities = probe(opened(server.url, tmp_path), logprobs=True, schema=False)
    assert not abilities.logprobs
    assert any("do not belong to its answer" in remark for remark in abilities.remarks)
