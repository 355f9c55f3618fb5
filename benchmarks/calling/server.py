"""A chat server with a fixed latency that counts what it was asked and what it answered.

    python -m calling.server 0.05      prints its port; GET /counts gives {"asked": {"q1": 1}, "answered": {"q1": 1}}
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

_USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def _response(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


class Server:
    """What all connections share."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()

    async def serve(self) -> None:
        """Prints the port and answers until the process ends."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get"):
                    writer.write(_response({"asked": self._asked, "answered": self._answered}))
                    continue
                length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
                text = json.loads(await reader.readexactly(length))["messages"][0]["content"]
                self._asked[text] += 1
                await asyncio.sleep(self._latency_s)
                if reader.at_eof():
                    return  # whoever asked is dead
                message = {"role": "assistant", "content": f"answer to {text}"}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                writer.write(_response({"model": "counted", "choices": [choice], "usage": _USAGE}))
                await writer.drain()
                self._answered[text] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


if __name__ == "__main__":
    asyncio.run(Server(float(sys.argv[1])).serve())
