"""Text: one document.

{"text": "The Amazon rises in Peru."}  ->  a document
"""

from __future__ import annotations

from workbench.ingest.formats.shape import Format, Parsed, column_names, column_text, first_of, refuse_media
from workbench.ingest.rows import Row, RowProblem

_COLUMNS = ("text", "content")


def fits(row: Row) -> bool:
    """A column `text` or `content`."""
    return first_of(row, _COLUMNS) is not None


def parse(row: Row) -> Parsed:
    """A document. Raises RowProblem `no_answer` if it is blank."""
    refuse_media(row)
    column = first_of(row, _COLUMNS)
    if column is None:
        raise RowProblem("missing_column", f"no column {_COLUMNS[0]!r}; the row has {column_names(row)}")
    text = column_text(row, column)
    if not text.strip():
        raise RowProblem("no_answer", f"{column} is blank")
    return Parsed("document", text=text)


FORMAT = Format("text", _COLUMNS, fits, parse)
