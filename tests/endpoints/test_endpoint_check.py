from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from endpoints.scripted_server import ScriptedServer, Step, echoes, refused_url, says, status
from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.core.errors import UsageError
from workbench.endpoints.echo import TEXT


def server_of(third_time: float) -> Any:
    """A server that can do everything, whose words said for the third time have this log-probability."""
    words = [f"{word} " for word in TEXT.split(" ")]
    words[-1] = words[-1].strip()
    third = len(words) // 3

    def script(request: dict[str, Any], _number: int) -> Step:
        if "prompt" in request:
            return echoes(words, [None, *[-9.0] * (2 * third - 1), *[third_time] * third])
        if "response_format" in request:
            return says('{"workbench_probe_colour": "cerulean"}')
        return says("ready", logprobs={"ready": -0.1, "Ready": -3.0})

    return script


def check(project: Path, **urls: str) -> Any:
    endpoints = "".join(f"  {name}: {{base_url: '{url}', model: m, max_retries: 0}}\n" for name, url in urls.items())
    (project / "workbench.yaml").write_text(f"endpoints:\n{endpoints}")
    return CliRunner().invoke(app, ["-C", str(project), "endpoint", "check", "--json"])


def test_it_says_what_a_server_can_do_and_that_another_shifts_its_values(tmp_path: Path) -> None:
    with ScriptedServer(server_of(-0.1)) as able, ScriptedServer(server_of(-11.0)) as shifted:
        result = check(tmp_path, able=able.url, shifted=shifted.url)
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)["endpoints"]
    assert (first["schema"], first["logprobs"], first["prompt_logprobs"]) == (True, True, "right")
    assert second["prompt_logprobs"] == "shifted"
    assert any("do not belong to their tokens" in remark for remark in second["remarks"])


def test_a_server_that_is_not_there_is_a_missing_prerequisite_beside_one_that_is(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("ready")) as plain:
        result = check(tmp_path, away=refused_url(), plain=plain.url)
    assert result.exit_code == 4
    away, there = json.loads(result.stdout)["endpoints"]
    assert (away["answers"], there["answers"]) == (False, True)
    assert (there["schema"], there["logprobs"], there["prompt_logprobs"]) == (False, False, "absent")


def test_a_server_that_has_gone_since_the_last_check_does_not_answer(tmp_path: Path) -> None:
    with ScriptedServer(server_of(-0.1)) as server:
        assert check(tmp_path, judge=server.url).exit_code == 0
    result = check(tmp_path, judge=server.url)
    assert result.exit_code == 4
    assert json.loads(result.stdout)["endpoints"][0]["answers"] is False


def test_text_names_every_endpoint_on_a_line_that_a_server_cannot_forge(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: status(401, "\x1b[2J\nother  json schema yes")) as server:
        check(tmp_path, judge=server.url)
        result = CliRunner().invoke(app, ["-C", str(tmp_path), "endpoint", "check"])
    assert result.exit_code == 4
    assert result.stdout.startswith("judge  does not answer\n")
    assert "\x1b" not in result.stdout and "\nother" not in result.stdout


def test_unknown_names_and_addresses_that_local_only_refuses_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "workbench.yaml").write_text(
        "local_only: true\nendpoints:\n  far: {base_url: 'https://models.example/v1', model: m}\n"
    )
    for arguments, words in ((["nobody"], "no endpoint 'nobody'; there are far"), ([], "`local_only` refuses")):
        result = CliRunner().invoke(app, ["-C", str(tmp_path), "endpoint", "check", *arguments])
        assert isinstance(result.exception, UsageError)
        with pytest.raises(UsageError, match=words):
            raise result.exception
