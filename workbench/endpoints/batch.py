"""The requests of one `chat` and what became of them: equal requests are asked once, cached ones not at all.

    batch = Batch("model at address", requests, cache, on_done)
    for key, request in batch.missing(): batch.finish(key, ask(request))
    batch.answers()    # one answer per request

Of every request 32 bytes are held, its key; replies are in the cache, and are read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

from workbench.core.errors import IncompleteError
from workbench.endpoints.cache import ResponseCache, cache_key
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Reply
from workbench.endpoints.replies import usable

_KEY_BYTES = 32
CANCELLED = CallFailed("cancelled", "stopped by the user before it was answered")


class Batch:
    """Knows what the cache knows; the rest is `missing`."""

    def __init__(
        self,
        served_by: str,
        requests: Sequence[ChatRequest],
        cache: ResponseCache,
        on_done: Callable[[int], object] | None,
    ) -> None:
        self._requests = requests
        self._cache = cache
        self._on_done = on_done
        self._since = cache.latest()
        self._keys = bytearray()
        self._in_flight: set[str] = set()
        self._failures: dict[str, CallFailed] = {}
        self._left: CallFailed | None = None
        self._finished = 0
        any_stored = self._since > 0
        for request in requests:
            key = cache_key(served_by, request)
            self._keys += bytes.fromhex(key)
            self._finished += any_stored and cache.get(key) is not None
        self.unanswered = len(requests) - self._finished
        """Requests that the cache did not know, equal ones counted each."""
        if self._finished and on_done is not None:
            on_done(self._finished)

    def __iter__(self) -> Iterator[tuple[str, ChatRequest]]:
        """Every request with its key, in their order."""
        for position, request in enumerate(self._requests):
            yield _key(self._keys, position), request

    def missing(self) -> Iterator[tuple[str, ChatRequest]]:
        """Requests that nobody has answered or taken yet; who takes one must `finish` it."""
        for key, request in self:
            reply = self._cache.get(key, self._since)
            if reply is None and key not in self._in_flight and key not in self._failures:
                self._in_flight.add(key)
                yield key, request
            elif reply is None or not reply.cached:
                self._note()  # the same question stood before

    def answered(self, key: str) -> bool:
        """Whether there is an answer or a failure."""
        return key in self._failures or self._cache.get(key) is not None

    def finish(self, key: str, answer: Answer) -> None:
        """Takes an answer; a reply is in the cache when this returns."""
        if isinstance(answer, Reply):
            self._cache.put(key, answer)
        else:
            self._failures[key] = answer
        self._in_flight.discard(key)
        self._note()

    def stop(self, failure: CallFailed) -> None:
        """Gives what has no answer this failure."""
        self._left = failure

    def answers(self) -> Answers:
        """One answer per request, in their order."""
        written = (self._since, self._cache.latest())
        return Answers(
            self._requests, bytes(self._keys), self._cache.directory, written, self._failures, self._left
        )

    def _note(self) -> None:
        self._finished += 1
        if self._on_done is not None:
            self._on_done(self._finished)


class Answers(Sequence[Answer]):
    """Answers in the order of their requests, read from the cache when they are looked at, as they stood at the end of
    their chat."""

    def __init__(
        self,
        requests: Sequence[ChatRequest],
        keys: bytes,
        cache_dir: Path,
        written: tuple[int, int],
        failures: dict[str, CallFailed],
        left: CallFailed | None,
    ) -> None:
        self._requests = requests
        self._keys = keys
        self._cache_dir = cache_dir
        self._since, self._until = written
        self._failures = failures
        self._left = left

    def __len__(self) -> int:
        return len(self._keys) // _KEY_BYTES

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> list[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | list[Answer]:
        chosen = range(len(self))[place]
        with ResponseCache(self._cache_dir) as cache:
            if isinstance(chosen, int):
                return self._answer(cache, chosen, self._requests[chosen])
            return [self._answer(cache, position, self._requests[position]) for position in chosen]

    def __iter__(self) -> Iterator[Answer]:
        with ResponseCache(self._cache_dir) as cache:
            for position, request in enumerate(self._requests):
                yield self._answer(cache, position, request)

    def _answer(self, cache: ResponseCache, position: int, request: ChatRequest) -> Answer:
        key = _key(self._keys, position)
        if (failure := self._failures.get(key)) is not None:
            return failure
        if (reply := cache.get(key, self._since, self._until)) is not None:
            return usable(request, reply)
        if self._left is None:
            raise IncompleteError(
                "the response cache lost an answer that was in it a moment ago",
                where=str(self._cache_dir),
                next_step="leave the file alone while a command runs, and run it again",
            )
        return self._left


def _key(keys: bytes | bytearray, position: int) -> str:
    return keys[position * _KEY_BYTES : (position + 1) * _KEY_BYTES].hex()
