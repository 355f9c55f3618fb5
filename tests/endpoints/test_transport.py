from __future__ import annotations

import asyncio

from workbench.endpoints.transport import AiohttpTransport, PlainClient

TOGETHER = 8
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class AnswersAllAtOnce:
    """A server that waits for the last of `TOGETHER` requests and then answers every one."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._waiting: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(2)
        self._waiting.append(writer)
        if len(self._waiting) == TOGETHER:
            for waiting in self._waiting:
                waiting.write(ANSWER)


async def rounds_of_the_loop(answers: AnswersAllAtOnce) -> list[int]:
    """In which round of the event loop each of the askers got its answer."""
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
    transport = AiohttpTransport(url, connect_timeout_s=10, proxies=False)
    client = PlainClient(transport)
    headers = [("authorization", "Bearer none"), ("x-stainless-os", "Linux"), ("x-stainless-arch", "x64")]
    now, got = 0, []

    async def count() -> None:
        nonlocal now
        while True:
            now += 1
            await asyncio.sleep(0)

    async def ask() -> None:
        response = await client.send(client.build_request("POST", url, headers=headers, content=b"{}"))
        assert (response.status_code, response.content) == (200, b"{}")
        got.append(now)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(ask() for _ in range(TOGETHER)))
    counting.cancel()
    await transport.aclose()
    server.close()
    return got


def test_answers_that_come_together_are_handed_on_one_a_round_of_the_loop() -> None:
    got = asyncio.run(rounds_of_the_loop(AnswersAllAtOnce()))
    assert len(set(got)) == TOGETHER


def test_a_request_says_nothing_about_the_machine_it_comes_from() -> None:
    answers = AnswersAllAtOnce()
    asyncio.run(rounds_of_the_loop(answers))
    for head in answers.heads:
        assert b"authorization: Bearer none" in head and b"stainless" not in head.lower()
