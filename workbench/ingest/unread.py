"""Columns that say something and that no format reads: counted, so that nothing vanishes without a word.

    {"instruction": "2 + 2?", "output": "4", "hint": "Count.", "id": 7}   ->  hint      (an id is known to say nothing)
    {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}, ...]}  ->  nothing   the text is in the record
    {"system": "Be kind.", "messages": [{"role": "system", "content": "Be brief."}, ...]}   ->  system
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.ingest.formats.shape import LABEL_COLUMNS, MEDIA_COLUMNS, SYSTEM_COLUMNS, Format, Parsed, first_of
from workbench.ingest.rows import Row

_ABOUT_ROWS = frozenset(
    {
        *("source", "src", "dataset", "data_source", "datasource", "origin", "model", "generator", "title", "task"),
        *("type", "topic", "category", "subject", "domain", "part_of", "split", "difficulty", "level", "quality"),
        *("tag", "tags"),
        *("author", "created", "updated", "modified", "created_at", "updated_at", "num_turns", "turn", "file", "path"),
        *("model_name", "task_name", "task_type", "dataset_name", "file_name", "score_chosen", "score_rejected"),
    }
)
"""Names of columns that tell about a row, and are not what is to be learned."""
_ABOUT_ROWS_LAST = frozenset(
    {
        *("id", "ids", "uuid", "guid", "idx", "index", "url", "urls", "uri", "score", "scores", "rating", "ratings"),
        *("hash", "md5", "sha1", "sha256", "timestamp", "date", "time", "license", "licence", "language", "lang"),
        *("locale", "tokens", "length", "version", "count", "meta", "metadata"),
    }
)
"""The same as the last word of a name: `conversation_id`, `num_tokens`."""
_WORD = re.compile(r"[A-Za-z][a-z0-9]*|[0-9]+")
_UNNAMED = re.compile(r"(?:column \d+|Unnamed: \d+|__index_level_\d+__)?")
_KNOWN_SIGNATURES = 256


class UnreadColumns:
    """What was left out of rows; what a format reads is found out once for all rows with the same columns."""

    def __init__(self) -> None:
        self._unread: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, row: Row, shape: Format, parsed: Parsed) -> list[str]:
        """Columns of a row that say something and were not read."""
        signature = (shape.name, *[name for name, value in row.items() if value is not None])
        unread = self._unread.get(signature)
        if unread is None:
            unread = _unread(row, shape)
            if len(self._unread) < _KNOWN_SIGNATURES:
                self._unread[signature] = unread
        found = [name for name in unread if says_something(name, row[name]) and not _is_in(row[name], parsed)]
        return found + _overruled(row, parsed, unread)


def says_something(name: str, value: Any) -> bool:
    """Whether a column has content: it is not empty, and its name is not one of those that tell about rows."""
    if value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip()):
        return False
    if _UNNAMED.fullmatch(name) and str(value).isdecimal():  # the numbers of the rows, as pandas writes them
        return False
    words = _WORD.findall(name)
    return name.lower() not in _ABOUT_ROWS and not (words and words[-1].lower() in _ABOUT_ROWS_LAST)


class _Watched(dict[str, Any]):
    """A row that remembers which columns were asked for."""

    def __init__(self, row: Row) -> None:
        super().__init__(row)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


def _unread(row: Row, shape: Format) -> tuple[str, ...]:
    watched = _Watched(row)
    shape.parse(watched)
    known = (*watched.read, *MEDIA_COLUMNS)
    return tuple(name for name, value in row.items() if value is not None and name not in known)


def _overruled(row: Row, parsed: Parsed, unread: tuple[str, ...]) -> list[str]:
    """Columns that were read and left out: a system prompt where the turns have their own, a label that is none."""
    found = []
    system = first_of(row, SYSTEM_COLUMNS)
    if system and says_something(system, row[system]) and system not in unread and not _is_in(row[system], parsed):
        found.append(system)
    if parsed.label is None:
        found += [name for name in LABEL_COLUMNS if name not in unread and says_something(name, row.get(name))]
    return found


def _is_in(value: Any, parsed: Parsed) -> bool:
    """Whether all texts of a value stand in the record."""
    turns = [*parsed.messages, *(ending for ending in (parsed.chosen, parsed.rejected) if ending)]
    said = "\n".join([parsed.text or "", *(turn.content for turn in turns)])
    return all(text.strip() in said for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value; of messages what they say."""
    if isinstance(value, dict):
        said = [value[key] for key in ("content", "value") if key in value]
        for inner in said or value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
    elif value is not None:
        yield repr(value)
