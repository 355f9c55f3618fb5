from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import KEY, FakeTime, open_on, question
from endpoints.scripted_server import DROP, HANG, TRUNCATE, ScriptedServer, Step, raw, refused_url, says, status

from workbench.core.errors import IncompleteError, PrerequisiteError
from workbench.endpoints.calls import CallFailed, ChatRequest, Reply, refuse_outage
from workbench.endpoints.probe import probe

PRICES = {"input_per_million": 1.0, "output_per_million": 1.0}


def one_answer(step: Step, directory: Path, request: ChatRequest | None = None, **settings: Any) -> Reply | CallFailed:
    with ScriptedServer(lambda _request, _number: step) as server:
        return open_on(server.url, directory, **settings).chat([request or question()])[0]


def test_sends_what_was_asked_and_reads_text_logprobs_and_usage(tmp_path: Path) -> None:
    logprobs = {"Lima": -0.1, "Quito": -2.5}
    with ScriptedServer(lambda _r, _n: says("Lima", logprobs=logprobs)) as server:
        request = question(temperature=0.5, seed=7, top_logprobs=3, schema={"type": "object"})
        (reply,) = open_on(server.url, tmp_path).chat([request])
    assert reply == Reply("Lima", "stop", logprobs, 20, 5, model="scripted")
    sent = server.requests[0]
    assert sent["messages"] == [{"role": "user", "content": "Capital of Peru?"}]
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["seed"]) == ("scripted", 8, 0.5, 7)
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 3)
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["accept-encoding"] == "identity"


def test_answers_come_in_the_order_of_the_requests_with_no_more_in_flight_than_allowed(tmp_path: Path) -> None:
    done: list[int] = []
    with ScriptedServer(lambda request, _n: says(request["messages"][0]["content"].upper())) as server:
        endpoint = open_on(server.url, tmp_path, concurrency=3)
        replies = endpoint.chat([question(f"q{number}") for number in range(20)], on_done=done.append)
    assert [reply.text for reply in replies if isinstance(reply, Reply)] == [f"Q{number}" for number in range(20)]
    assert server.peak_in_flight <= 3
    assert done == list(range(1, 21))


@pytest.mark.parametrize(
    ("step", "reason", "sent"),
    [
        (status(429), "rate_limited", 3),
        (status(500), "server_error", 3),
        (status(503), "server_error", 3),
        (DROP, "dropped", 3),
        (TRUNCATE, "dropped", 3),
        (status(400, "prompt too long"), "bad_request", 1),
        (status(401), "auth", 1),
        (status(404, "no such model"), "not_found", 1),
        (status(307, Location="http://elsewhere.example/v1"), "redirected", 1),
        (status(500, x_should_retry="false"), "server_error", 1),
        (Step(b"{broken"), "not_json", 1),
        (Step(b"[" * 100_000), "not_json", 1),
        (Step(b"<html>Bad gateway</html>", content_type="text/html"), "not_json", 1),
        (Step(b'{"created": ' + b"9" * 5000 + says("A").body[1:]), "not_json", 1),
        (Step(b"9" * 5000, 500), "server_error", 3),
        (Step(b"no", 500, content_type="application/json; charset=hex"), "server_error", 3),
        (raw({"choices": [{"message": {}, "finish_reason": "\ud800"}]}), "no_content", 1),
        (raw({"choices": None, "usage": {"prompt_tokens": 10**400, "completion_tokens": 10**400}}), "no_choices", 1),
        (Step(gzip.compress(says("A").body), headers={"Content-Encoding": "gzip"}), "dropped", 3),
        (raw({}), "no_choices", 1),
        (raw({"choices": None}), "no_choices", 1),
        (raw({"choices": []}), "no_choices", 1),
        (raw({"choices": 3}), "bad_reply", 1),
        (raw(["not", "an", "object"]), "bad_reply", 1),
        (raw({"choices": [{"message": {"content": 5}}]}), "bad_reply", 1),
        (says(None), "no_content", 1),
        (says(None, refusal="I cannot help with that"), "refusal", 1),
        (says("", finish_reason="content_filter"), "refusal", 1),
        (says("A", logprobs={"A": float("nan")}), "bad_logprobs", 1),
        (says("A", logprobs={"A": 0.7}), "bad_logprobs", 1),
    ],
)
def test_every_bad_answer_is_a_failure_with_its_reason_and_only_passing_ones_are_tried_again(
    tmp_path: Path, step: Step, reason: str, sent: int
) -> None:
    with ScriptedServer(lambda _request, _number: step) as server:
        answer = open_on(server.url, tmp_path, prices=PRICES).chat([question()])[0]
    assert isinstance(answer, CallFailed)
    assert answer.reason == reason, answer
    assert json.dumps(answer.message).isascii() and "\ud800" not in answer.message
    assert len(server.requests) == sent


def test_what_surrounds_an_answer_is_bounded_and_can_be_stored(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10**400, "completion_tokens": -1}
    step = raw({"choices": [{"message": {"content": "A"}, "finish_reason": "\ud800" * 400}], "usage": usage})
    answer = one_answer(step, tmp_path, prices=PRICES)
    assert isinstance(answer, Reply)
    assert answer.finish_reason == "\ufffd" * 300 + "..."
    assert (answer.prompt_tokens, answer.completion_tokens) == (1 << 24, 0)


def test_log_probabilities_that_nobody_asked_for_are_not_used(tmp_path: Path) -> None:
    answer = one_answer(says("B", logprobs={"A": -0.01, "B": -5.0}), tmp_path)
    assert answer == Reply("B", "stop", None, 20, 5, model="scripted")


def test_a_json_answer_cut_off_by_the_length_limit_is_a_failure_and_is_not_paid_twice(tmp_path: Path) -> None:
    request = question(schema={"type": "object"})
    with ScriptedServer(lambda _r, _n: says('{"question": "Wh', finish_reason="length")) as server:
        for _ in range(2):
            answer = open_on(server.url, tmp_path).chat([request])[0]
            assert isinstance(answer, CallFailed)
            assert answer.reason == "length"
    assert len(server.requests) == 1


def test_a_server_that_hangs_is_bounded_by_the_timeout(tmp_path: Path) -> None:
    answer = one_answer(HANG, tmp_path, timeout_s=0.2, max_retries=0)
    assert isinstance(answer, CallFailed)
    assert answer.reason == "timeout"


@pytest.mark.parametrize("first", [status(500), status(429, Retry_After="2"), DROP, TRUNCATE])
def test_a_passing_failure_then_an_answer_gives_exactly_one_reply(tmp_path: Path, first: Step) -> None:
    with ScriptedServer(lambda _r, number: says("Lima") if number else first) as server:
        endpoint = open_on(server.url, tmp_path)
        assert list(endpoint.chat([question()])) == [Reply("Lima", "stop", None, 20, 5, model="scripted")]
    assert len(server.requests) == 2
    assert endpoint.budget.requests == 2


def test_a_long_retry_after_holds_everybody_and_then_goes_on(tmp_path: Path) -> None:
    time = FakeTime()
    with ScriptedServer(lambda _r, number: says("ok") if number else status(429, Retry_After="300")) as server:
        answers = open_on(server.url, tmp_path, time, concurrency=1).chat([question("a"), question("b")])
    assert all(isinstance(answer, Reply) for answer in answers)
    assert time.slept == [300]
    assert len(server.requests) == 3


def test_a_retry_after_beyond_all_patience_is_reported_not_waited_for(tmp_path: Path) -> None:
    time = FakeTime()
    answer = one_answer(status(429, Retry_After="7200"), tmp_path, time=time)
    assert isinstance(answer, CallFailed)
    assert "7200 s" in answer.message
    assert time.slept == []


def test_an_unreachable_server_fails_every_call_and_stops_trying_after_three(tmp_path: Path) -> None:
    time = FakeTime()
    endpoint = open_on(refused_url(), tmp_path, time, concurrency=1)
    answers = endpoint.chat([question(f"q{number}") for number in range(50)])
    assert {answer.reason for answer in answers if isinstance(answer, CallFailed)} == {"unreachable"}
    assert len(answers) == 50
    assert endpoint.budget.requests == 3 * 3
    with pytest.raises(PrerequisiteError, match="50 of 50 calls failed"):
        refuse_outage(answers, where="synth")


def test_an_outage_halfway_is_refused_and_a_few_failures_are_not() -> None:
    reply, failed = Reply("a", "stop", None, 1, 1), CallFailed("timeout", "slow")
    refuse_outage([reply] * 9 + [failed], where="synth")
    for reason in ("timeout", "auth"):
        with pytest.raises(IncompleteError, match="2 of 10 calls failed"):
            refuse_outage([reply] * 8 + [CallFailed(reason, "no")] * 2, where="synth")


def test_the_request_budget_stops_exactly_there_and_a_larger_one_continues_without_paying_twice(tmp_path: Path) -> None:
    requests = [question(f"q{number}") for number in range(12)]
    with ScriptedServer(lambda _r, _n: says("fine")) as server:
        first = open_on(server.url, tmp_path, max_requests=5).chat(requests)
        assert len(server.requests) == 5
        second = open_on(server.url, tmp_path, max_requests=7).chat(requests)
        assert len(server.requests) == 12
        third = open_on(server.url, tmp_path, max_requests=1).chat(requests)
        assert len(server.requests) == 12
    assert sum(isinstance(answer, Reply) for answer in first) == 5
    stopped = [answer for answer in first if isinstance(answer, CallFailed)]
    assert {answer.reason for answer in stopped} == {"budget"}
    assert all(isinstance(answer, Reply) for answer in second)
    assert all(isinstance(answer, Reply) and answer.cached for answer in third)


def test_the_token_budget_counts_what_the_server_reports_and_failed_attempts_too(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, _n: says("fine")) as server:
        endpoint = open_on(server.url, tmp_path, max_total_tokens=100, concurrency=1)
        answers = endpoint.chat([question(f"q{number}") for number in range(20)])
    # 25 tokens a call are reported; a call reserves 2 // 3 + 8 + 8 = 16, so four calls fit and a fifth would not
    assert sum(isinstance(answer, Reply) for answer in answers) == 4
    assert endpoint.budget.tokens == 100
    assert len(server.requests) == 4


def test_equal_requests_are_asked_once_and_another_seed_is_another_request(tmp_path: Path) -> None:
    with ScriptedServer(lambda _r, number: says(f"answer {number}")) as server:
        endpoint = open_on(server.url, tmp_path, concurrency=1)
        a, b, c = endpoint.chat([question("q"), question("q"), question("q", seed=1)])
    assert a == b
    assert a != c
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"temperature": 0.5}, {"max_tokens": 9}, {"top_logprobs": 2}, {"schema": {"type": "object"}}],
)
def test_whatever_can_change_an_answer_is_part_of_the_cache_key(tmp_path: Path, change: dict[str, Any]) -> None:
    with ScriptedServer(lambda _r, _n: says("{}")) as server:
        endpoint = open_on(server.url, tmp_path)
        endpoint.chat([question()])
        endpoint.chat([question(**change)])
    assert len(server.requests) == 2


def test_two_servers_do_not_share_answers(tmp_path: Path) -> None:
    def script(text: str) -> Callable[[dict[str, Any], int], Step]:
        return lambda _r, _n: says(text)

    with ScriptedServer(script("one")) as first, ScriptedServer(script("two")) as second:
        texts = [open_on(server.url, tmp_path).chat([question()])[0] for server in (first, second)]
    assert [reply.text for reply in texts if isinstance(reply, Reply)] == ["one", "two"]


def test_cancelling_leaves_the_rest_unasked_and_keeps_what_was_answered(tmp_path: Path) -> None:
    done: list[int] = []
    requests = [question(f"q{number}") for number in range(30)]
    with ScriptedServer(lambda _r, number: says("ok") if number < 3 else HANG) as server:
        endpoint = open_on(server.url, tmp_path, concurrency=1)
        answers = endpoint.chat(requests, on_done=done.append, cancelled=lambda: len(done) >= 3)
        assert [type(answer) for answer in answers[:3]] == [Reply, Reply, Reply]
        assert {answer.reason for answer in answers[3:] if isinstance(answer, CallFailed)} == {"cancelled"}
        assert len(server.requests) <= 4
    with ScriptedServer(lambda _r, _n: says("ok")) as server:
        assert all(isinstance(a, Reply) for a in open_on(server.url, tmp_path).chat(requests))


def test_a_lone_surrogate_in_an_answer_is_replaced_and_stored(tmp_path: Path) -> None:
    body = b'{"choices": [{"message": {"content": "bad \\ud800 text"}, "finish_reason": "stop"}]}'
    first = one_answer(Step(body), tmp_path)
    assert isinstance(first, Reply)
    assert first.text == "bad \ufffd text"
    assert first.prompt_tokens == 0


def test_a_newer_model_gets_the_length_limit_under_its_new_name(tmp_path: Path) -> None:
    def script(request: dict[str, Any], _number: int) -> Step:
        if "max_tokens" in request:
            return status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return says("ok")

    with ScriptedServer(script) as server:
        answers = open_on(server.url, tmp_path, concurrency=4).chat([question(f"q{number}") for number in range(8)])
    assert all(isinstance(answer, Reply) for answer in answers)
    assert server.requests[-1]["max_completion_tokens"] == 8


def test_what_a_probe_learns_and_spends_is_known_to_the_calls_after_it(tmp_path: Path) -> None:
    def script(request: dict[str, Any], _number: int) -> Step:
        return status(400, "use max_completion_tokens") if "max_tokens" in request else says("ok")

    with ScriptedServer(script) as server:
        endpoint = open_on(server.url, tmp_path / "own")
        probe(endpoint, logprobs=False, schema=False)
        assert (len(server.requests), endpoint.budget.requests) == (2, 2)
        endpoint.chat([question()])
        endpoint.chat([question()])
    assert [sorted({"max_tokens", "max_completion_tokens"} & set(sent)) for sent in server.requests] == [
        ["max_tokens"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
    ]


@pytest.mark.parametrize(
    "step",
    [
        status(401, f"Incorrect API key provided: {KEY}"),
        status(400, "x" * 290 + KEY),
        Step(b"x" * 110 + KEY.encode()),
        says(f"your key is {KEY}"),
        raw({"choices": None, "key": KEY}),
        Step(says(f"your key is {KEY}").body.replace(b"sk-", b"\\u0073k-")),
        Step(raw({"choices": None, "key": KEY}).body.replace(b"sk-", b"s\\u006B-")),
        Step(raw({"model": KEY, "choices": [{"message": {"content": "A"}}]}).body.replace(b"sk-", b"\\u0073\\u006b-")),
        Step(raw({"error": {"message": KEY}}).body.replace(b"sk-", b"\\u0073k-"), 500),
        status(302, Location=f"http://elsewhere.example/?key={KEY}"),
    ],
)
def test_the_key_reaches_no_message_answer_or_file_even_if_the_server_echoes_it(tmp_path: Path, step: Step) -> None:
    answer = one_answer(step, tmp_path)
    assert KEY[3:12] not in repr(answer)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY[3:12].encode() not in path.read_bytes(), path


def test_the_cache_is_readable_by_its_owner_alone_and_holds_no_prompt(tmp_path: Path) -> None:
    one_answer(says("Lima"), tmp_path, question("a private passage"))
    (cache,) = [path for path in tmp_path.iterdir() if path.suffix == ".sqlite"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert b"a private passage" not in cache.read_bytes()


def test_an_answer_that_does_not_end_is_broken_off(tmp_path: Path) -> None:
    answer = one_answer(Step(b" " * (33 << 20)), tmp_path, max_retries=0)
    assert isinstance(answer, CallFailed)
    assert answer.reason == "dropped" and "longer than 32 MB" in answer.message


def test_a_damaged_cache_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "responses.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(IncompleteError, match="response cache cannot be used"):
        one_answer(says("Lima"), tmp_path)


def test_proxies_of_the_environment_are_not_asked_for_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, refused_url().removesuffix("/v1"))
    answer = one_answer(says("Lima"), tmp_path)
    assert isinstance(answer, Reply)


def through_proxy(proxy: str, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """An environment that names a proxy, and a ~/.netrc that knows every host."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        patch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, "127.0.0.1")
    netrc = directory / "netrc"
    netrc.write_text("default login somebody password of-another-service\n", encoding="utf-8")
    netrc.chmod(0o600)
    patch.setenv("NETRC", str(netrc))


def test_a_proxy_of_the_environment_is_asked_for_another_host_and_no_key_is_taken_from_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(lambda _r, _n: says("Lima")) as proxy:
        through_proxy(proxy.url.removesuffix("/v1").replace("//", "//me:pass@"), tmp_path, monkeypatch)
        (answer,) = open_on("http://models.example/v1", tmp_path, max_retries=0).chat([question()])
    assert isinstance(answer, Reply)
    (headers,) = proxy.headers
    assert headers["host"] == "models.example" and headers["authorization"] == f"Bearer {KEY}"
    assert headers["proxy-authorization"] == "Basic bWU6cGFzcw=="  # printf me:pass | base64


@pytest.mark.parametrize("malformed", [False, True])
def test_a_proxy_that_cannot_be_used_is_said_without_its_password(
    malformed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(lambda _r, _n: says("Lima")) as proxy:  # knows no CONNECT
        address = proxy.url.removeprefix("http://").removesuffix("/v1")
        through_proxy(("" if malformed else "http://") + f"me:pass@{address}", tmp_path, monkeypatch)
        (answer,) = open_on("https://models.example/v1", tmp_path, max_retries=0).chat([question()])
    assert isinstance(answer, CallFailed) and answer.reason == "unreachable"
    assert ("http://host:3128" if malformed else "501") in answer.message and "pass@" not in answer.message


def test_a_host_of_no_proxy_is_asked_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.endpoints.server.is_loopback", lambda address: False)
    with ScriptedServer(lambda _r, _n: says("Lima")) as server:
        through_proxy(refused_url().removesuffix("/v1"), tmp_path, monkeypatch)
        (answer,) = open_on(server.url, tmp_path, max_retries=0).chat([question()])
    assert isinstance(answer, Reply)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_terminal_control_characters_of_a_server_reach_no_message(tmp_path: Path) -> None:
    answer = one_answer(Step(b"\x1b]52;c;aGk=\x07 {broken"), tmp_path)
    assert isinstance(answer, CallFailed)
    assert "\x1b" not in answer.message
    json.dumps(answer.message)
