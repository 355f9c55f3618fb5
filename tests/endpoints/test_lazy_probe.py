"""A server is tried before the first call that the cache cannot answer, and not before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import open_on, question, questions
from endpoints.scripted_server import DROP, HANG, ScriptedServer, Step, refused_url, says, status

from workbench.core.errors import PrerequisiteError
from workbench.endpoints.calls import Reply, ServerChanged
from workbench.endpoints.probe import Capabilities, probe

ALL = {"logprobs": True, "schema": True}
REFUSED = "does not follow a JSON schema; answers are asked for in tagged lines instead"


def server_that(*, schema: bool = True, logprobs: bool = True) -> Callable[[dict[str, Any], int], Step]:
    def script(request: dict[str, Any], _number: int) -> Step:
        if "response_format" in request:
            return says('{"workbench_probe_colour": "cerulean"}' if schema else "I like blue.")
        return says("ready", logprobs={"ready": -0.1} if logprobs and request.get("logprobs") else None)

    return script


def asked(server: ScriptedServer) -> list[str]:
    return [request["messages"][0]["content"] for request in server.requests]


class Swapped:
    """A server behind which another one can be put."""

    def __init__(self, **abilities: bool) -> None:
        self.script = server_that(**abilities)

    def __call__(self, request: dict[str, Any], number: int) -> Step:
        return self.script(request, number)


def test_an_unknown_server_is_tried_at_once_on_the_budget_and_nothing_of_it_is_an_answer(tmp_path: Path) -> None:
    with ScriptedServer(server_that()) as server:
        endpoint = open_on(server.url, tmp_path)
        assert probe(endpoint, **ALL) == Capabilities(True, True)
        assert endpoint.budget.requests == len(server.requests) == 2
        endpoint.chat([question("Reply with the single word: ready")])
    assert len(server.requests) == 3


def test_a_repeat_whose_answers_are_all_kept_needs_no_server(tmp_path: Path) -> None:
    with ScriptedServer(server_that(logprobs=False)) as server:
        endpoint = open_on(server.url, tmp_path)
        first = probe(endpoint, **ALL)
        endpoint.chat(questions(3))
        count = len(server.requests)
    again = open_on(server.url, tmp_path, max_retries=0)
    assert probe(again, **ALL) == first and first.remarks
    assert all(isinstance(answer, Reply) and answer.cached for answer in again.chat(questions(3)))
    assert (again.budget.requests, len(server.requests)) == (0, count)
    with pytest.raises(PrerequisiteError, match="does not answer"):
        again.chat(questions(4))


def test_a_resumed_run_tries_the_server_once_right_before_the_first_missing_answer(tmp_path: Path) -> None:
    with ScriptedServer(server_that()) as server:
        endpoint = open_on(server.url, tmp_path)
        probe(endpoint, **ALL)
        endpoint.chat(questions(3))
        again = open_on(server.url, tmp_path, concurrency=1)
        probe(again, **ALL)
        again.chat(questions(3))
        before = len(server.requests)
        again.chat(questions(5))
        again.chat(questions(6))
    probes = ["Reply with the single word: ready", "Name a colour. Answer as JSON."]
    assert asked(server)[before:] == [*probes, "q3", "q4", "q5"]


@pytest.mark.parametrize("lost", ["schema", "logprobs"])
def test_a_server_that_lost_an_ability_is_noticed_before_a_question_and_the_next_run_does_without(
    lost: str, tmp_path: Path
) -> None:
    script = Swapped()
    with ScriptedServer(script) as server:
        probe(open_on(server.url, tmp_path), **ALL)
        script.script = server_that(**{lost: False})
        endpoint = open_on(server.url, tmp_path)
        assert probe(endpoint, **ALL) == Capabilities(True, True)
        with pytest.raises(ServerChanged, match="has changed since"):
            endpoint.chat([question("never sent")])
        found = probe(open_on(server.url, tmp_path), **ALL)
    assert "never sent" not in asked(server)
    assert (found.schema, found.logprobs) == (lost != "schema", lost != "logprobs")


def test_a_server_that_gained_an_ability_goes_on_in_the_form_of_the_kept_answers_until_it_is_tried_anew(
    tmp_path: Path,
) -> None:
    script = Swapped(schema=False)
    with ScriptedServer(script) as server:
        probe(open_on(server.url, tmp_path), **ALL)
        script.script = server_that()
        endpoint = open_on(server.url, tmp_path)
        for _ in range(2):
            assert not probe(endpoint, **ALL).schema
            endpoint.chat([question("sent")])
        assert probe(open_on(server.url, tmp_path), **ALL, anew=True).schema
        assert probe(open_on(server.url, tmp_path), **ALL).schema


def test_one_ability_more_than_is_known_is_tried_at_once(tmp_path: Path) -> None:
    with ScriptedServer(server_that()) as server:
        probe(open_on(server.url, tmp_path), logprobs=True, schema=False)
        assert len(server.requests) == 1
        assert probe(open_on(server.url, tmp_path), **ALL) == Capabilities(True, True)
        assert len(server.requests) == 3
        assert probe(open_on(server.url, tmp_path), logprobs=False, schema=True).schema
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("step", "said"),
    [(status(429, "slow down"), "slow down"), (status(503, "loading"), "loading"), (DROP, "does not"), (HANG, "0.3 s")],
    ids=["429", "503", "drop", "hang"],
)
def test_a_busy_server_is_not_remembered_as_one_that_knows_no_schema(step: Step, said: str, tmp_path: Path) -> None:
    script = Swapped()

    def busy(request: dict[str, Any], number: int) -> Step:
        return step if "response_format" in request else server_that()(request, number)

    with ScriptedServer(script) as server:
        script.script = busy
        with pytest.raises(PrerequisiteError, match=said):
            probe(open_on(server.url, tmp_path, max_retries=0, timeout_s=0.3), **ALL)
        script.script = server_that()
        assert probe(open_on(server.url, tmp_path), **ALL).schema
        script.script = busy
        resumed = open_on(server.url, tmp_path, max_retries=0, timeout_s=0.3)
        assert probe(resumed, **ALL).schema
        with pytest.raises(PrerequisiteError, match=said):
            resumed.chat([question("never sent")])
        assert probe(open_on(server.url, tmp_path), **ALL).schema
    assert "never sent" not in asked(server)


@pytest.mark.parametrize("code", [400, 500, 501])
def test_a_server_that_refuses_a_schema_is_remembered(code: int, tmp_path: Path) -> None:
    def refuses(request: dict[str, Any], number: int) -> Step:
        return status(code, "no grammar") if "response_format" in request else server_that()(request, number)

    with ScriptedServer(refuses) as server:
        for _ in range(2):
            assert probe(open_on(server.url, tmp_path, max_retries=0), **ALL) == Capabilities(
                True, False, (f"scripted at {server.url}: {REFUSED}",)
            )
    assert len(server.requests) == 2


def test_another_model_or_address_is_another_server(tmp_path: Path) -> None:
    with ScriptedServer(server_that()) as server:
        probe(open_on(server.url, tmp_path), **ALL)
    with pytest.raises(PrerequisiteError):
        probe(open_on(refused_url(), tmp_path, max_retries=0), **ALL)
