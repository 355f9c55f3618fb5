"""ShareGPT: turns under `conversations`, usually as from and value.

    {"system": "Be brief.", "conversations": [{"from": "human", "value": "Capital of Peru?"},
                                              {"from": "gpt", "value": "Lima"}]}
    ->  system "Be brief.", user "Capital of Peru?", assistant "Lima"

`human`, `gpt`, `function_call` and `observation` are the user, the assistant, a tool call of the assistant and the
result of it.
"""

from __future__ import annotations

from workbench.ingest.formats.shape import (
    LABEL_COLUMNS,
    SYSTEM_COLUMNS,
    TOOL_COLUMNS,
    Format,
    Parsed,
    column_names,
    first_of,
    label_of,
    refuse_media,
    system_of,
    tools_of,
)
from workbench.ingest.formats.turns import checked_chat, conversation, with_system
from workbench.ingest.rows import Row, RowProblem

_COLUMNS = ("conversations", "conversation")


def fits(row: Row) -> bool:
    """A column `conversations`."""
    return first_of(row, _COLUMNS) is not None


def parse(row: Row) -> Parsed:
    """A chat; turns may be spelled as from and value or as role and content."""
    return parse_turns(row, _COLUMNS)


def parse_turns(row: Row, columns: tuple[str, ...]) -> Parsed:
    """A chat from the first of `columns` that the row has."""
    refuse_media(row)
    column = first_of(row, columns)
    if column is None:
        raise RowProblem("missing_column", f"no column {columns[0]!r}; the row has {column_names(row)}")
    turns = with_system(system_of(row), conversation(row[column], column))
    return Parsed("chat", checked_chat(turns), label=label_of(row), tools=tools_of(row))


FORMAT = Format("sharegpt", (*_COLUMNS, *SYSTEM_COLUMNS, *LABEL_COLUMNS, *TOOL_COLUMNS), fits, parse)
