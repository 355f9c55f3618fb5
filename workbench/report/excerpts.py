"""Shortened texts, and addresses without credentials: whatever goes on a page passes here first.

excerpt("abcdefghij", 4)                         ->  "abcd… (6 more characters)"
without_credentials("http://me:secret@host/v1")  ->  "http://host/v1"
"""

from __future__ import annotations

import re
from typing import Any

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]*@")


def excerpt(text: str, limit: int) -> str:
    """`text` if it has at most `limit` characters, else its start and how much is missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def one_line(text: str, limit: int) -> str:
    """As `excerpt`, with every run of white space as one space."""
    return excerpt(" ".join(text[: limit * 4].split()), limit)


def without_credentials(value: Any) -> Any:
    """`value` (JSON-like) with the `user:password@` part of every address in it removed."""
    if isinstance(value, str):
        return _CREDENTIALS.sub("", value)
    if isinstance(value, dict):
        return {key: without_credentials(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_credentials(entry) for entry in value]
    return value
