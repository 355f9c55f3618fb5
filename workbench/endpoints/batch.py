"""The distinct requests of one `chat` and their answers so far: equal requests are asked once, cached ones not at all.

    batch = Batch("model at address", requests, cache, on_done)
    for key in batch.missing(): batch.finish(key, ask(batch.requests[key]))
    batch.in_order()    # one answer per request
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from workbench.endpoints.cache import ResponseCache, cache_key
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Reply
from workbench.endpoints.replies import usable


class Batch:
    """Answers what the cache knows at once; the rest is `missing`."""

    def __init__(
        self,
        served_by: str,
        requests: Sequence[ChatRequest],
        cache: ResponseCache,
        on_done: Callable[[int], object] | None,
    ) -> None:
        self._keys = [cache_key(served_by, request) for request in requests]
        self._multiplicity = Counter(self._keys)
        self._cache = cache
        self._on_done = on_done
        self._finished = 0
        self.requests = dict(zip(self._keys, requests, strict=True))
        self.answers: dict[str, Answer] = {}
        for key, request in self.requests.items():
            if (reply := cache.get(key)) is not None:
                self._note(key, usable(request, reply))

    def missing(self) -> list[str]:
        """Keys without an answer, in the order of the requests."""
        return [key for key in self.requests if key not in self.answers]

    def finish(self, key: str, answer: Answer) -> None:
        """Takes an answer; a reply is in the cache when this returns."""
        if isinstance(answer, Reply):
            self._cache.put(key, answer)
            answer = usable(self.requests[key], answer)
        self._note(key, answer)

    def cancel_rest(self) -> None:
        """Marks what has no answer as cancelled."""
        for key in self.missing():
            self.answers[key] = CallFailed("cancelled", "stopped by the user before it was answered")

    def in_order(self) -> list[Answer]:
        """One answer per request, in their order."""
        return [self.answers[key] for key in self._keys]

    def _note(self, key: str, answer: Answer) -> None:
        self.answers[key] = answer
        self._finished += self._multiplicity[key]
        if self._on_done is not None:
            self._on_done(self._finished)
