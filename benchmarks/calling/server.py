"""A chat server with a fixed latency that counts what it was asked and what it answered.

    python -m calling.server 0.05      prints its port; GET /counts gives {"asked": {"q1": 1}, "answered": {"q1": 1},
                                       "latency_ms": 50.1}

It is written on bare sockets, so that it needs little of a core: what is measured is the client.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
import time
from collections import Counter

_LATE_S = 0.00015
"""A timer's answer leaves so much later than it should; `latency_ms` tells whether this is right."""
_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def _response(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


class Counts:
    """What all connections share."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.waited_s = 0.0
        """From the reading of every request to the sending of its answer."""

    def document(self) -> dict[str, object]:
        """What /counts says."""
        latency_ms = 1000 * self.waited_s / max(1, self.answered.total())
        return {"asked": self.asked, "answered": self.answered, "latency_ms": latency_ms}


class Connection(asyncio.Protocol):
    """One connection; a request follows the answer to the one before."""

    def __init__(self, counts: Counts, loop: asyncio.AbstractEventLoop) -> None:
        self._counts = counts
        self._loop = loop
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers after the latency, once a request is complete."""
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET"):
            self._read = b""
            self._transport.write(_response(self._counts.document()))
            return
        if len(body) < int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]):
            return
        self._read = b""
        text = json.loads(body)["messages"][0]["content"]
        self._counts.asked[text] += 1
        self._loop.call_later(max(0.0, self._counts.latency_s - _LATE_S), self._answer, text, time.perf_counter())

    def _answer(self, text: str, began: float) -> None:
        if self._transport.is_closing():
            return  # whoever asked is dead
        message = {"role": "assistant", "content": f"answer to {text}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._transport.write(_response({"model": "counted", "choices": [choice], "usage": _USAGE}))
        self._counts.answered[text] += 1
        self._counts.waited_s += time.perf_counter() - began


async def serve(latency_s: float) -> None:
    """Prints the port and answers until the process ends."""
    loop, counts = asyncio.get_running_loop(), Counts(latency_s)
    server = await loop.create_server(lambda: Connection(counts, loop), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    # epoll knows whole milliseconds only, and would let answers of one millisecond leave together
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(float(sys.argv[1])))
