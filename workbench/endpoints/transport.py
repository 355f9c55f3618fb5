"""How requests travel: aiohttp under the `openai` client, to spare processor time.

    openai.DefaultAsyncHttpxClient(transport=AiohttpTransport(proxies=False), ...)

Redirects are handed back, never followed. What goes wrong on the way is raised in httpx's words, as `openai` expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# 0.2 s together: this module is imported when the first request is about to leave
import aiohttp
import httpx2

_ALREADY_THERE = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that the client above sets or leaves out on purpose."""
_UNPACKED = "identity"
"""The only encoding that is taken: a few kilobytes of gzip can unpack to gigabytes."""
_LARGEST_BODY = 32 << 20
"""A server that never ends does not fill the memory."""


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """One session for the life of a client."""

    def __init__(self, *, proxies: bool) -> None:
        """`proxies`: go through those that the environment names. Must be made in a running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=httpx2.create_ssl_context()),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ALREADY_THERE,
            trust_env=proxies,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request and reads its answer whole. Raises httpx2.TransportError and httpx2.DecodingError."""
        limits = request.extensions.get("timeout", {})
        timeout = aiohttp.ClientTimeout(
            total=None, connect=limits.get("pool"), sock_connect=limits.get("connect"), sock_read=limits.get("read")
        )
        sent = httpx2.Headers(request.headers)
        sent["Accept-Encoding"] = _UNPACKED
        with _told_in_httpx():
            async with self._session.request(
                request.method,
                str(request.url),
                data=await request.aread(),
                headers=sent.multi_items(),
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                body = await _body(answer)
        return httpx2.Response(answer.status, headers=_headers(answer), content=body)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._session.close()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    encoding = ", ".join(answer.headers.getall("Content-Encoding", [_UNPACKED]))
    if encoding.strip().lower() != _UNPACKED:
        raise httpx2.DecodingError(f"the answer is packed ({encoding}), which was not asked for")
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise httpx2.RemoteProtocolError(f"the answer is longer than {_LARGEST_BODY >> 20} MB")
    return bytes(body)


def _headers(answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Headers as they came, but for the character set, which may name anything and is always UTF-8 in JSON."""
    return [
        (name, value.partition(b";")[0] if name.lower() == b"content-type" else value)
        for name, value in answer.raw_headers
    ]


@contextmanager
def _told_in_httpx() -> Iterator[None]:
    """aiohttp's errors as httpx's: never reached, too slow, or broken off."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx2.ConnectTimeout(str(error)) from error
    except (aiohttp.ServerTimeoutError, TimeoutError) as error:
        raise httpx2.ReadTimeout(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx2.ConnectError(str(error)) from error
    except aiohttp.ClientError as error:
        raise httpx2.RemoteProtocolError(f"{type(error).__name__}: {error}") from error
