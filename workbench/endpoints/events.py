"""An answer as server-sent events, the way clients of OpenAI read them (`stream: true`).

    data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Li"}, ...}], ...}
    data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], ...}
    data: [DONE]
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from workbench.endpoints.calls import Reply


class EventStream:
    """Pieces of one answer, written as they come. Nothing is sent before the first of them, so that until then a
    refusal can have a status of its own."""

    def __init__(self, begin: Callable[[], object], write: Callable[[bytes], object], head: dict[str, Any]) -> None:
        """`begin` sends what comes before the first event; `head` stands in every event."""
        self._begin = begin
        self._write = write
        self._head = head | {"object": "chat.completion.chunk"}
        self.begun = False

    def piece(self, text: str) -> None:
        """The next piece of the text."""
        self._start()
        self._choice({"content": text}, None)

    def end(self, reply: Reply, usage: dict[str, int] | None) -> None:
        """Why the text ends; with `usage`, an event of its own for it."""
        self._start()
        self._choice({}, reply.finish_reason)
        if usage is not None:
            self._event(self._head | {"choices": [], "usage": usage})
        self._write(b"data: [DONE]\n\n")

    def fail(self, error: dict[str, Any]) -> None:
        """What went wrong after the first piece; clients raise it."""
        self._event(error)

    def _start(self) -> None:
        if not self.begun:
            self.begun = True
            self._begin()
            self._choice({"role": "assistant", "content": ""}, None)

    def _choice(self, delta: dict[str, str], finish_reason: str | None) -> None:
        self._event(self._head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    def _event(self, document: dict[str, Any]) -> None:
        self._write(f"data: {json.dumps(document)}\n\n".encode())
