"""Messages: turns as chat servers take them.

    {"messages": [{"role": "user", "content": "Capital of Peru?"}, {"role": "assistant", "content": "Lima"}]}
    ->  user "Capital of Peru?", assistant "Lima"

Content may be a text or a list of parts; `tool_calls` and rows with a true or false `label` (KTO) are understood.
"""

from __future__ import annotations

from workbench.ingest.formats.shape import LABEL_COLUMNS, SYSTEM_COLUMNS, TOOL_COLUMNS, Format, Parsed, first_of
from workbench.ingest.formats.sharegpt import parse_turns
from workbench.ingest.rows import Row

_COLUMNS = ("messages",)


def fits(row: Row) -> bool:
    """A column `messages`."""
    return first_of(row, _COLUMNS) is not None


def parse(row: Row) -> Parsed:
    """A chat; turns may be spelled as role and content or as from and value."""
    return parse_turns(row, _COLUMNS)


FORMAT = Format("messages", (*_COLUMNS, *SYSTEM_COLUMNS, *LABEL_COLUMNS, *TOOL_COLUMNS), fits, parse)
