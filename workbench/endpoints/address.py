"""Addresses and keys of servers: where they come from, and what is refused before anything is sent.

    base_url: http://127.0.0.1:8000/v1                   -> fine, needs no key
    base_url: https://user:secret@host/v1                -> UsageError: secrets do not belong in a file
    base_url: null, OPENAI_BASE_URL=https://host/v1      -> https://host/v1
    base_url: https://host/v1, local_only: true          -> UsageError, and nobody is asked where `host` is
"""

from __future__ import annotations

import ipaddress
import os
import socket
from urllib.parse import urlsplit, urlunsplit

from workbench.core.config import EndpointConfig
from workbench.core.errors import PrerequisiteError, UsageError

_ADDRESS_VARIABLE = "OPENAI_BASE_URL"


def server_address(config: EndpointConfig) -> str:
    """The server's base URL without trailing slash; UsageError if there is none, or it is no plain http(s) address."""
    where = "endpoints: base_url" if config.base_url else _ADDRESS_VARIABLE
    address = (config.base_url or os.environ.get(_ADDRESS_VARIABLE, "")).strip().rstrip("/")
    if not address:
        raise UsageError(
            f"endpoint has no address: `base_url` is not set and neither is {_ADDRESS_VARIABLE}",
            where="endpoints",
            next_step="set base_url, such as http://127.0.0.1:8000/v1",
        )
    try:
        parts = urlsplit(address)
        host, user, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError:
        # without the reason, which may quote a piece of a password
        raise UsageError("address cannot be read: its host or its port is malformed", where=where) from None
    if user or parts.query or parts.fragment:
        raise UsageError(
            "address holds a user name, a query or a fragment, where secrets would end up in files",
            where=where,
            next_step="give the plain address; put the key in the environment variable named by api_key_env",
        )
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(f"{address!r} is no http or https address", where=where)
    if config.local_only:
        verified_local(address)
    return address


def verified_local(address: str) -> str:
    """The address with a name replaced by the loopback address it stands for, so that nobody can change it in between.

    UsageError unless it is this machine. Names other than `localhost` are refused without looking them up, which would
    ask another machine. A name under https is checked and kept, since the certificate is made out to it.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    if not is_loopback(address):
        raise _not_local(f"{host!r} is not this machine")
    if host != "localhost":
        return address
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, parts.port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise _not_local(f"{host!r} cannot be looked up: {error}") from None
    if elsewhere := [ip for ip in found if not ipaddress.ip_address(ip.partition("%")[0]).is_loopback]:
        raise _not_local(f"{host!r} leads to {elsewhere[0]}, which is not this machine")
    if parts.scheme == "https":
        return address
    # servers listen on the old protocol's address where they listen on one alone
    ip = next((ip for ip in found if ":" not in ip), f"[{found[0]}]")
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=f"{ip}{port}"))


def _not_local(problem: str) -> UsageError:
    return UsageError(
        f"{problem}, and `local_only` refuses every other",
        where="endpoints: base_url",
        next_step="give an address such as http://127.0.0.1:8000/v1, or take `local_only` out",
    )


def server_key(config: EndpointConfig, address: str) -> str:
    """The API key from the environment; empty for a server on this machine without one.

    PrerequisiteError if it is missing for any other server, or cannot be sent in a header.
    """
    key = os.environ.get(config.api_key_env, "").strip()
    if not key and not is_loopback(address):
        raise PrerequisiteError(
            f"no API key for {address}: the environment variable {config.api_key_env} is not set",
            where="endpoints: api_key_env",
            next_step=f"export {config.api_key_env}=... (any word, if that server wants no key)",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise PrerequisiteError(
            f"the API key in {config.api_key_env} holds characters that no header can carry",
            where="endpoints: api_key_env",
        )
    return key


def is_loopback(address: str) -> bool:
    """Whether the address is this machine."""
    return is_loopback_host(urlsplit(address).hostname or "")


def is_loopback_host(host: str) -> bool:
    """Whether the name or number is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
