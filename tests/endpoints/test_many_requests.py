from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import pytest
from endpoints.asking import open_on, question, questions
from endpoints.scripted_server import ScriptedServer, Step, says, status

from workbench.core.errors import IncompleteError
from workbench.endpoints.cache import ResponseCache, cache_key
from workbench.endpoints.calls import CallFailed, ChatRequest, Reply


class MadeWhenAsked(Sequence[ChatRequest]):
    """Requests that are not in memory before they are looked at."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> ChatRequest: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[ChatRequest]: ...
    def __getitem__(self, place: int | slice) -> ChatRequest | Sequence[ChatRequest]:
        assert isinstance(place, int)
        if place >= self._count:
            raise IndexError(place)
        return question(f"q{place}")


def alive(kind: type) -> int:
    return sum(type(found) is kind for found in gc.get_objects())


def test_neither_requests_nor_answers_pile_up(tmp_path: Path) -> None:
    most = {ChatRequest: 0, Reply: 0}

    def watch(done: int) -> None:
        if done % 50 == 0:
            for kind in most:
                most[kind] = max(most[kind], alive(kind))

    with ScriptedServer(lambda request, _n: says(request["messages"][0]["content"].upper())) as server:
        answers = open_on(server.url, tmp_path, concurrency=4).chat(MadeWhenAsked(200), on_done=watch)
    assert most[ChatRequest] <= 10 and most[Reply] <= 10
    assert alive(Reply) <= 10
    assert [answer.text for answer in answers if isinstance(answer, Reply)] == [f"Q{n}" for n in range(200)]
    assert isinstance(answers[-1], Reply) and answers[-1].text == "Q199"


def test_a_reply_is_in_the_cache_before_anybody_hears_of_it(tmp_path: Path) -> None:
    kept: list[int] = []

    def look(_done: int) -> None:
        with ResponseCache(tmp_path) as cache:
            kept.append(sum(cache.get(cache_key(endpoint.name, request)) is not None for request in questions(6)))

    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        endpoint = open_on(server.url, tmp_path, concurrency=1)
        endpoint.chat(questions(6), on_done=look)
    assert kept == [1, 2, 3, 4, 5, 6]


def test_equal_requests_are_counted_and_answered_each_but_asked_once_also_when_they_fail(tmp_path: Path) -> None:
    done: list[int] = []

    def script(request: dict[str, Any], _number: int) -> Step:
        return status(400) if request["messages"][0]["content"] == "q1" else says("ok")

    with ScriptedServer(script) as server:
        answers = open_on(server.url, tmp_path, concurrency=2).chat(questions(3) * 3, on_done=done.append)
    assert [type(answer) for answer in answers] == [Reply, CallFailed, Reply] * 3
    assert not any(answer.cached for answer in answers if isinstance(answer, Reply))
    assert len(server.requests) == 3
    assert (done[-1], len(done)) == (9, 9)


def test_answers_stay_as_they_were_at_the_end_of_their_chat(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        first = open_on(server.url, tmp_path, max_requests=2, concurrency=1).chat(questions(4))
        open_on(server.url, tmp_path).chat(questions(4))
    assert [type(answer) for answer in first] == [Reply, Reply, CallFailed, CallFailed]
    assert [type(answer) for answer in first[1:3]] == [Reply, CallFailed]


def test_a_cache_that_vanishes_before_the_answers_are_read_is_an_error_not_a_missing_answer(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        answers = open_on(server.url, tmp_path).chat(questions(2))
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(IncompleteError, match="lost an answer"):
        list(answers)


def test_another_model_on_the_same_server_is_another_question(tmp_path: Path) -> None:
    request = question()
    assert cache_key("a at http://127.0.0.1/v1", request) != cache_key("b at http://127.0.0.1/v1", request)
