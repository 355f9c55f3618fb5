from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import FakeTime, open_on, question, questions
from endpoints.scripted_server import DROP, ScriptedServer, Step, raw, refused_url, says, status
from pydantic import ValidationError

from workbench.core.config import EndpointConfig
from workbench.core.errors import IncompleteError
from workbench.endpoints.budget import Budget
from workbench.endpoints.calls import CallFailed, Reply, refuse_outage
from workbench.endpoints.projection import Projection
from workbench.endpoints.retry import Pauses, Rates

PRICES = {"input_per_million": 1000.0, "output_per_million": 10_000.0}
"""A call of 20 and 5 tokens costs 0.02 + 0.05."""


def turns(tokens: int, workers: int, each: int, **rates: float) -> list[float]:
    """When `workers` of them, taking `each` turns one after the other, were let through."""
    time, passed = FakeTime(), []

    async def work(pauses: Pauses) -> None:
        for _ in range(each):
            assert await pauses.wait_for_turn(tokens, lambda: float("inf"))
            passed.append(time.now)

    async def all_of_them() -> None:
        pauses = Pauses(Rates(EndpointConfig(**rates)), time.clock, time.sleep)
        await asyncio.gather(*(work(pauses) for _ in range(workers)))

    asyncio.run(all_of_them())
    return passed


def test_requests_leave_at_even_distances_however_many_workers_there_are() -> None:
    assert turns(10, workers=4, each=3, requests_per_minute=30) == [2.0 * number for number in range(12)]
    assert set(turns(10, workers=4, each=3)) == {0.0}


def test_those_who_come_together_leave_one_by_one() -> None:
    now, passed = 0, []

    async def work(pauses: Pauses) -> None:
        assert await pauses.wait_for_turn(1, lambda: float("inf"))
        passed.append(now)

    async def all_of_them() -> None:
        nonlocal now
        pauses = Pauses(Rates(EndpointConfig()))
        workers = [asyncio.create_task(work(pauses)) for _ in range(8)]
        while not all(worker.done() for worker in workers):
            await asyncio.sleep(0)
            now += 1

    asyncio.run(all_of_them())
    assert len(set(passed)) == 8, "no two in one round of the event loop"


def test_tokens_a_minute_hold_the_next_request_back_for_as_long_as_the_last_one_takes() -> None:
    assert turns(50, workers=2, each=2, tokens_per_minute=600) == [0.0, 5.0, 10.0, 15.0]
    # the slower of two rates decides
    assert turns(50, workers=2, each=2, tokens_per_minute=600, requests_per_minute=6) == [0.0, 10.0, 20.0, 30.0]


def test_the_token_rate_is_put_right_by_what_the_server_reports(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, _n: says("fine")) as server:
        endpoint = open_on(server.url, tmp_path, time, tokens_per_minute=60, concurrency=1)
        endpoint.chat(questions(3))
    assert time.now == pytest.approx(2 * 25)  # the server reports 25 tokens a call, 16 were estimated


def test_another_try_is_held_to_the_rate_too(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, number: says("ok") if number else status(429, Retry_After="0")) as server:
        open_on(server.url, tmp_path, time, requests_per_minute=1).chat([question()])
    assert time.now == pytest.approx(60)


def test_money_ends_before_more_is_spent_and_the_same_command_asks_only_what_is_left(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("fine")) as server:
        endpoint = open_on(server.url, tmp_path, concurrency=1, prices=PRICES, max_cost=0.4)
        answers = endpoint.chat(questions(10))
        # a call may cost up to 8 + 8 * 10 thousandths, so the fifth, with 0.28 spent, fits and the sixth does not
        assert [isinstance(answer, Reply) for answer in answers] == [True] * 5 + [False] * 5
        assert endpoint.budget.cost == pytest.approx(5 * 0.07)
        left = r"0\.35 of 0\.4 spent.* 5 of 10 calls are answered, 5 are left"
        with pytest.raises(IncompleteError, match=left) as said:
            refuse_outage(answers, where="judge")
        assert "run the same command again" in str(said.value)
        open_on(server.url, tmp_path, concurrency=1, prices=PRICES, max_cost=0.4).chat(questions(10))
    asked = [request["messages"][0]["content"] for request in server.requests]
    assert asked == [f"q{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("step", "cost"),
    [
        # 16 characters make 5 + 8 tokens of prompt; an answer may have 8
        (status(500), 13 * 1e-3),
        (status(429), 13 * 1e-3),
        (DROP, 13 * 1e-3 + 8 * 1e-2),
        (raw({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}), 7 * 1e-3 + 3 * 1e-2),
        (says(None, refusal="no"), 20 * 1e-3 + 5 * 1e-2),
    ],
)
def test_a_failed_call_is_a_cost(tmp_path: Path, step: Step, cost: float) -> None:
    with ScriptedServer(lambda _r, _n: step) as server:
        endpoint = open_on(server.url, tmp_path, prices=PRICES, max_retries=0)
        (failed,) = endpoint.chat([question()])
    assert isinstance(failed, CallFailed)
    assert endpoint.budget.cost == pytest.approx(cost)


def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    endpoint = open_on(refused_url(), tmp_path, prices=PRICES, max_retries=0)
    endpoint.chat([question()])
    assert (endpoint.budget.requests, endpoint.budget.tokens, endpoint.budget.cost) == (1, 0, 0.0)


def test_time_ends_the_calls_and_a_pause_that_would_outlast_it_is_not_waited_for(tmp_path: Path) -> None:
    time = FakeTime()

    def slow(_request: dict[str, Any], number: int) -> Step:
        time.now += 40
        return says("ok") if number < 2 else status(429, Retry_After="300")

    with ScriptedServer(slow) as server:
        answers = list(open_on(server.url, tmp_path, time, max_seconds=180, concurrency=1).chat(questions(5)))
        assert [type(answer) for answer in answers] == [Reply, Reply, *[CallFailed] * 3]
        assert "stopped at the budget: 120 of 180 s" in str(answers[2])
        assert time.slept == []
        with pytest.raises(IncompleteError, match="2 of 5 calls are answered, 3 are left"):
            refuse_outage(answers, where="judge")
    assert len(server.requests) == 3


def test_after_a_twentieth_of_the_calls_it_says_what_all_of_them_will_take(tmp_path: Path) -> None:
    time = FakeTime()

    def ticking(_request: dict[str, Any], _number: int) -> Step:
        time.now += 2
        return says("ok")

    with ScriptedServer(ticking) as server:
        endpoint = open_on(server.url, tmp_path, time, concurrency=1, prices=PRICES, max_requests=45)
        endpoint.chat(questions(60))
    assert time.said == [
        "3 of 60 calls took 3 requests, 75 tokens, 0.21 by `prices` and 6 s: all of them would take about 60 requests, "
        "1,500 tokens, 4.2 by `prices` and 120 s; the budget (max_requests 45) will end them before"
    ]


def test_what_is_cached_is_not_projected(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        open_on(server.url, tmp_path, concurrency=1).chat(questions(40))
        open_on(server.url, tmp_path, time, concurrency=1).chat(questions(80))
    assert len(time.said) == 1 and time.said[0].startswith("2 of 40 calls took 2 requests, 50 tokens and 0 s")


def test_equal_pieces_of_one_job_are_projected_once(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        endpoint = open_on(server.url, tmp_path, time, concurrency=1)
        for piece in range(3):
            endpoint.chat(questions(90)[30 * piece : 30 * piece + 30])
    assert len(time.said) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_cost": 1.0}, "`max_cost` needs `prices`"),
        ({"kind": "in_process", "requests_per_minute": 5}, "in_process has no rates"),
        ({"prices": {"input_per_million": -1, "output_per_million": 0}}, "greater than or equal to 0"),
    ],
)
def test_limits_that_cannot_work_are_refused_on_reading(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EndpointConfig.model_validate(settings)


def test_calls_in_flight_are_not_counted_as_done_nor_the_filling_of_the_line_as_many_times_as_calls_fill_it() -> None:
    time = FakeTime()
    budget = Budget(EndpointConfig(concurrency=8), time.clock)
    projection = Projection(budget, 80, time.said.append, in_flight=8)
    for _ in range(8):
        assert budget.refusal(question()) is None
    time.now = 10.0  # the first eight answers come together
    for _ in range(4):
        budget.settle(question(), Reply("ok", "stop", None, 20, 5))
        projection.note(10.0)
    assert time.said == [
        "4 of 80 calls took 4 requests, 100 tokens and 10 s: all of them would take about 80 requests, 2,000 tokens "
        "and 100 s"
    ]


@pytest.mark.parametrize(
    ("rates", "seconds"), [({"requests_per_minute": 60}, 60), ({"tokens_per_minute": 1000}, 90), ({}, 0)]
)
def test_what_rates_allow_is_the_least_that_all_calls_take(
    rates: dict[str, float], seconds: int, tmp_path: Path
) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        open_on(server.url, tmp_path, time, concurrency=4, **rates).chat(questions(60))
    assert time.said[0].endswith(f"1,500 tokens and {seconds} s")
