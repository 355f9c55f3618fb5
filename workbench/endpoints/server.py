"""Any OpenAI-compatible server, through the `openai` client, with what that client leaves to its caller: a bound on the
whole request, every malformed reply as a failure, rates, budgets, a cache, one waiting line, keys kept out of texts.

    ServerEndpoint(config, base_url, model, key, cache_dir).chat([request, ...])  ->  [Reply | CallFailed, ...]

A reply is in the cache before anybody sees it, and answers are read back from there: what is held in memory are the
calls in flight and a key per request.
"""

from __future__ import annotations

import asyncio
import copy
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.core.config import EndpointConfig
from workbench.core.wire import printable
from workbench.endpoints.address import is_loopback, verified_local
from workbench.endpoints.batch import CANCELLED, Answers, Batch
from workbench.endpoints.budget import Budget, estimated_tokens
from workbench.endpoints.cache import ResponseCache
from workbench.endpoints.calls import (
    Abilities,
    Answer,
    CallFailed,
    ChatRequest,
    Endpoint,
    FailureReason,
    Reply,
    ServerChanged,
    never_cancelled,
    nobody,
)
from workbench.endpoints.projection import Projection
from workbench.endpoints.replies import EchoedPrompt, read_completion, read_echo, server_said, shortened
from workbench.endpoints.retry import LONGEST_WAIT_S, Attempt, Pauses, Rates, retry_after_s

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, RequestOptions

T = TypeVar("T")
_POLL_S = 0.2
_CONNECT_TIMEOUT_S = 10.0
_GIVE_UP_AFTER_UNREACHABLE = 3
"""Calls in a row that found no server, after which the rest is not tried."""
_AS_IT_IS: RequestOptions = {
    "params": {},
    "headers": {},
    "max_retries": 0,
    "timeout": None,
    "security": {"bearer_auth": True},
}
"""What `openai` would take anyway, said because it copies its defaults deeply for every request."""
_HIDDEN_KEY = "[key]"
_ESCAPED = '"\\/'
"""Characters that JSON may write with a backslash before them."""
_SHORTEST_SECRET = 8
"""Shorter keys are stand-ins such as `none`, for servers that want no key."""


class ServerEndpoint:
    """One model on one server."""

    def __init__(
        self,
        config: EndpointConfig,
        *,
        base_url: str,
        model: str,
        key: str,
        cache_dir: Path,
        say: Callable[[str], object] = nobody,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`say` hears what all calls will take, after the first of them. Sends nothing."""
        self.name = f"{model} at {base_url}"
        self.budget = Budget(config, clock)
        self._config = config
        self._base_url = base_url
        self._model = model
        self._key = key
        self._secret = _spelled(key) if len(key) >= _SHORTEST_SECRET else None
        self._cache_dir = cache_dir
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._rates = Rates(config)
        self._dialect = _Dialect()
        self._before_asking: Callable[[], None] | None = None

    def chat(
        self,
        requests: Sequence[ChatRequest],
        on_done: Callable[[int], object] | None = None,
        cancelled: Callable[[], bool] = never_cancelled,
    ) -> Answers:
        """Answers in the order of `requests`. Equal requests are asked once; cached ones not at all.

        As `abilities`, it may raise before the first call that is not cached.
        """
        with ResponseCache(self._cache_dir) as cache:
            batch = Batch(self.name, requests, cache, on_done)
            if batch.unanswered:
                if self._before_asking is not None:
                    self._before_asking()
                    self._before_asking = None
                asyncio.run(self._ask_all(batch, cancelled))
            return batch.answers()

    def abilities(self, wanted: Sequence[str], trial: Callable[[Endpoint], Abilities], *, anew: bool) -> Abilities:
        """As the protocol says; kept in the cache, beside the answers whose form follows from them."""
        with ResponseCache(self._cache_dir) as cache:
            known = {name: seen for name in wanted if (seen := cache.ability(self.name, name)) is not None}
            if known and len(known) == len(wanted) and not anew:
                self._before_asking = partial(self._look_again, known, trial)
                return known
            found = self._seen(trial)
            for name, ability in found.items():
                cache.put_ability(self.name, name, ability)
        return found

    def _seen(self, trial: Callable[[Endpoint], Abilities]) -> Abilities:
        """What works now: the project's cache would tell what stood behind the address on another day."""
        other = copy.copy(self)
        other._before_asking = None
        with TemporaryDirectory() as directory:
            other._cache_dir = Path(directory)
            return trial(other)

    def _look_again(self, known: Abilities, trial: Callable[[Endpoint], Abilities]) -> None:
        """ServerChanged if something known to work does not work any more. What has begun to work is left alone: in
        another form, answers that are kept would be asked for again."""
        found = self._seen(trial)
        lost = {name: now for name, now in found.items() if known[name].works and not now.works}
        with ResponseCache(self._cache_dir) as cache:
            for name, ability in lost.items():
                cache.put_ability(self.name, name, ability)
        if lost:
            raise ServerChanged(
                f"the server has changed since it was last used: {'; '.join(now.remark for now in lost.values())}",
                where=self.name,
                next_step="run the same command again: all is asked anew, in a form that the server understands",
            )
        if gained := [name for name, now in found.items() if now.works and not known[name].works]:
            self._say(
                f"{self.name}: {' and '.join(gained)} work by now; what it is asked keeps its form, so that nothing is "
                "asked twice (`workbench endpoint check` has it changed)"
            )

    async def _ask_all(self, batch: Batch, cancelled: Callable[[], bool]) -> None:
        """Runs `concurrency` workers over the missing requests; on cancellation the rest is marked, not awaited."""
        todo = batch.missing()
        shared = _Shared(
            Pauses(self._rates, self._clock, self._sleep, self._say_of_server),
            random.Random(batch.unanswered),
            Projection(
                self.budget,
                batch.unanswered,
                self._say,
                in_flight=self._config.concurrency,
                fastest_s=lambda all_calls: self._rates.fastest_s(all_calls.requests, all_calls.tokens),
            ),
        )
        async with self._client() as client:
            workers = [
                asyncio.create_task(self._work(client, batch, shared, todo))
                for _ in range(min(self._config.concurrency, batch.unanswered))
            ]
            try:
                while not all(worker.done() for worker in workers):
                    if cancelled():
                        batch.stop(CANCELLED)
                        break
                    await asyncio.wait(workers, timeout=_POLL_S, return_when=asyncio.FIRST_EXCEPTION)
                    for worker in workers:
                        if worker.done():
                            worker.result()
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if shared.stopped is not None:
            batch.stop(shared.stopped)

    async def _work(
        self, client: AsyncOpenAI, batch: Batch, shared: _Shared, todo: Iterator[tuple[str, ChatRequest]]
    ) -> None:
        for key, request in todo:
            began = self._clock()
            answer = shared.stopped or await self._answer(client, shared, request)
            batch.finish(key, answer)
            shared.note(answer, self._clock() - began)
            if shared.stopped is not None:
                return

    async def _answer(self, client: AsyncOpenAI, shared: _Shared, request: ChatRequest) -> Answer:
        """One request with its retries; each attempt is paid from the budget."""
        attempts = 1 + self._config.max_retries
        for number in range(attempts):
            if not await shared.pauses.wait_for_turn(estimated_tokens(request), self.budget.seconds_left):
                return self.budget.out_of_time()
            if refusal := self.budget.refusal(request):
                return refusal
            attempt = await self._attempt(client, "chat/completions", self._parameters(request), read_completion)
            used = self.budget.settle(request, attempt.failure if isinstance(attempt, Attempt) else attempt)
            self._rates.correct(used - estimated_tokens(request), self._clock())
            if isinstance(attempt, Reply):
                return attempt
            if number + 1 == attempts or not await shared.pauses.after(attempt, number, shared.jitter):
                return _reported(attempt, number + 1)
        raise AssertionError("the last attempt always returns")

    def echo(self, text: str) -> EchoedPrompt | CallFailed:
        """The server's own tokens of `text` and their log-probabilities, from `/completions` with `echo`; one request,
        neither cached nor tried again."""
        sent = {"model": self._model, "prompt": text, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}

        async def asked() -> EchoedPrompt | Attempt:
            async with self._client() as client:
                return await self._attempt(client, "completions", sent, read_echo)

        found = asyncio.run(asked())
        return found.failure if isinstance(found, Attempt) else found

    async def _attempt(
        self, client: AsyncOpenAI, path: str, sent: dict[str, Any], read: Callable[[bytes], T | CallFailed]
    ) -> T | Attempt:
        """One HTTP request. Nothing the server or the network does raises."""
        # 0.5 s: only runs that call a server pay for it
        import httpx2
        import openai

        answer: T | CallFailed
        try:
            async with asyncio.timeout(self._config.timeout_s):
                # not `chat.completions.create`, which makes objects that nobody reads; whole addresses are read once
                raw = await client.post(
                    f"{client.base_url}{path}", body=sent, cast_to=httpx2.Response, options=_AS_IT_IS
                )
                answer = read(self._public_bytes(raw.content))
        except TimeoutError:
            answer = CallFailed("timeout", f"no complete answer within {self._config.timeout_s:g} s")
        except openai.APIStatusError as error:
            return self._refused(error, sent)
        except openai.APIConnectionError as error:
            answer = self._broken(error)
        except openai.OpenAIError as error:
            answer = CallFailed("bad_reply", shortened(self._public(str(error))))
        return Attempt(answer) if isinstance(answer, CallFailed) else answer

    def _parameters(self, request: ChatRequest) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
            self._dialect.length_limit: request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.top_logprobs:
            parameters |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        return parameters

    def _say_of_server(self, text: str) -> None:
        self._say(f"{self.name}: {text}")

    def _refused(self, error: APIStatusError, sent: dict[str, Any]) -> Attempt:
        """A reply with another status than 200, as a failure."""
        status, headers = error.status_code, error.response.headers
        said = shortened(self._public(server_said(error.response.text)))
        if status == 400 and "max_tokens" in sent and "max_completion_tokens" in said:
            # newer models know the length limit under this name alone: same question, other word
            self._dialect.length_limit = "max_completion_tokens"
            return Attempt(CallFailed("server_error", f"{status}: {said}"), retry_after_s=0)
        if 300 <= status < 400:
            target = self._public(printable(headers.get("location", "another address")))
            said = f"the server redirects to {target}; redirects are not followed, put the right address in base_url"
        failure = CallFailed(_reason_of(status), f"{status}: {said}")
        return Attempt(failure, retry_after_s(headers), headers.get("x-should-retry", "").lower() != "false")

    def _broken(self, error: Exception) -> CallFailed:
        cause = error.__cause__ or error
        kind = type(cause).__name__
        never_there = kind in {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}
        reason: FailureReason = "unreachable" if never_there else "dropped"
        return CallFailed(reason, shortened(self._public(f"{kind}: {cause}")))

    def _public(self, text: str) -> str:
        """`text` without the key: a server that echoes it gets it into no file, message or record."""
        return text if self._secret is None else self._secret.sub(_HIDDEN_KEY, text)

    def _public_bytes(self, body: bytes) -> bytes:
        if self._secret is None:
            return body
        return self._public(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _client(self) -> AsyncOpenAI:
        """A client for one event loop. Redirects are not followed: the key goes to the configured address alone."""
        import openai

        from workbench.endpoints.transport import AiohttpTransport, PlainClient

        address = verified_local(self._base_url) if self._config.local_only else self._base_url
        key = self._key or "none"
        return openai.AsyncOpenAI(
            base_url=address,
            api_key=key,
            max_retries=0,
            # said here, too: in OPENAI_CUSTOM_HEADERS another one would take its place
            default_headers={"Authorization": f"Bearer {key}"},
            http_client=PlainClient(
                AiohttpTransport(
                    address,
                    connect_timeout_s=min(_CONNECT_TIMEOUT_S, self._config.timeout_s),
                    # a proxy from the environment cannot reach this machine's own loopback
                    proxies=not is_loopback(address),
                )
            ),
        )


@dataclass(slots=True)
class _Dialect:
    """What a server taught by refusing."""

    length_limit: str = "max_tokens"
    """Name of the parameter."""


class _Shared:
    """What the workers of one `chat` share."""

    def __init__(self, pauses: Pauses, jitter: random.Random, projection: Projection) -> None:
        self.pauses = pauses
        self.jitter = jitter
        self._projection = projection
        self.stopped: CallFailed | None = None
        """Once set, the remaining requests get this answer without being sent."""
        self._unreachable_in_a_row = 0

    def note(self, answer: Answer, took_s: float) -> None:
        """Draws the conclusion that the rest would fail in the same way."""
        if self.stopped is not None:
            return
        self._projection.note(took_s)
        unreachable = isinstance(answer, CallFailed) and answer.reason == "unreachable"
        self._unreachable_in_a_row = self._unreachable_in_a_row + 1 if unreachable else 0
        if isinstance(answer, CallFailed) and (
            answer.reason in {"auth", "budget"} or self._unreachable_in_a_row == _GIVE_UP_AFTER_UNREACHABLE
        ):
            self.stopped = answer


def _spelled(key: str) -> re.Pattern[str]:
    """Finds the key in every spelling that JSON has for it: `s` may stand as `\\u0073`, `/` behind a backslash."""
    return re.compile("".join(map(_spellings, key)))


def _spellings(sign: str) -> str:
    backslash = r"\\?" if sign in _ESCAPED else ""
    return rf"(?:{backslash}{re.escape(sign)}|\\u(?i:{ord(sign):04x}))"


def _reason_of(status: int) -> FailureReason:
    if status in (401, 403):
        return "auth"
    if 300 <= status < 400:
        return "redirected"
    named: dict[int, FailureReason] = {404: "not_found", 408: "timeout", 429: "rate_limited"}
    return named.get(status, "server_error" if status >= 500 else "bad_request")


def _reported(attempt: Attempt, attempts: int) -> CallFailed:
    """The failure with what was tried."""
    failure, wait = attempt.failure, attempt.retry_after_s
    if wait is not None and wait > LONGEST_WAIT_S:
        asked = f"the server asks to wait {wait:.0f} s, longer than {LONGEST_WAIT_S:.0f} s"
        return CallFailed(failure.reason, f"{failure.message}; {asked}")
    return failure if attempts == 1 else CallFailed(failure.reason, f"{failure.message} (after {attempts} attempts)")
