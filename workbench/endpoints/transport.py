"""How requests travel: aiohttp under the `openai` client, to spare processor time.

    openai.AsyncOpenAI(http_client=PlainClient(AiohttpTransport("http://127.0.0.1:8000/v1", ...)), ...)

Redirects are handed back, never followed. What goes wrong on the way is raised in httpx's words, as `openai` expects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# 0.2 s together: this module is imported when the first request is about to leave
import aiohttp
import httpx2

_ALREADY_THERE = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that the client above sets or leaves out on purpose."""
_HEADER_ENCODING = "latin-1"
"""Has a sign for every byte; where none is named, httpx tries to decode all headers whenever it looks at one."""
_SENT = frozenset({"authorization", "accept", "content-type", "user-agent"})
"""What `openai` would send beyond these tells of the machine, or comes from variables of the environment."""
_UNPACKED = "identity"
"""The only encoding that is taken: a few kilobytes of gzip can unpack to gigabytes."""
_LARGEST_BODY = 32 << 20
"""A server that never ends does not fill the memory."""


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """One session for the life of a client."""

    def __init__(self, address: str, *, connect_timeout_s: float, proxies: bool) -> None:
        """For a server at `address`. How long an answer may take is up to the caller. `proxies`: go through those that
        the environment names. Must be made in a running event loop."""
        # 20 ms and more for the certificates that the system trusts
        tls = httpx2.create_ssl_context() if address.startswith("https:") else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            skip_auto_headers=_ALREADY_THERE,
            # not `trust_env`, by which a ~/.netrc would put another key beside the one that is configured
            proxy=_proxy_of_environment(address) if proxies else None,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends one request and reads its answer whole. Raises httpx2.TransportError and httpx2.DecodingError."""
        with _told_in_httpx():
            async with self._session.request(
                request.method,
                str(request.url),
                data=request.content,
                headers=[*request.headers.multi_items(), ("Accept-Encoding", _UNPACKED)],
                allow_redirects=False,
            ) as answer:
                body = await _body(answer)
        response = httpx2.Response(answer.status, stream=httpx2.ByteStream(body), request=request)
        response.headers = httpx2.Headers(_headers(answer), encoding=_HEADER_ENCODING)
        response.read()
        return response

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._session.close()


class PlainClient(httpx2.AsyncClient):
    """What `openai` needs of httpx: requests go out with the headers that it gives them, and answers come back.

    httpx's own way would merge cookies, headers and addresses and look for redirects and credentials at every call.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._way = transport
        self._addresses: dict[str, httpx2.URL] = {}

    def build_request(self, method: str, url: httpx2.URL | str, **given: Any) -> httpx2.Request:
        """The request, with nothing added to it but its length, and without headers that no server needs."""
        if (address := self._addresses.get(str(url))) is None:
            address = self._addresses[str(url)] = httpx2.URL(url)
        # given as a stream, httpx neither looks for a form's boundary nor copies headers without their encoding
        request = httpx2.Request(method, address, stream=httpx2.ByteStream(given["content"]))
        wanted = [(name, value) for name, value in given["headers"] if name.lower() in _SENT]
        request.headers = httpx2.Headers(wanted, encoding=_HEADER_ENCODING)
        request.read()
        return request

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The answer, read whole, whatever its status."""
        return await self._way.handle_async_request(request)


def _proxy_of_environment(address: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for `address`."""
    parts = urlsplit(address)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


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
        raise httpx2.ConnectError(str(error.os_error)) from error
    except aiohttp.ClientHttpProxyError as error:  # whose text holds the proxy's address, and its password with it
        raise httpx2.ProxyError(f"the proxy says {error.status}: {error.message}") from error
    except aiohttp.InvalidURL as error:  # the same; the server's address was looked at before
        raise httpx2.UnsupportedProtocol("the proxy of the environment is no address like http://host:3128") from error
    except aiohttp.ClientError as error:
        raise httpx2.RemoteProtocolError(f"{type(error).__name__}: {error}") from error
