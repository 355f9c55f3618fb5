"""The formats, in the order in which a row is tried, and what a card may say about columns.

detect({"chosen": "Lima", "rejected": "Cusco", "prompt": "Capital?"})   ->  preference
detect({"instruction": "Say hi", "output": "Hi."})                      ->  alpaca
detect({"input_ids": [1, 2]})                                           ->  RowProblem("unsupported_shape")
"""

from __future__ import annotations

import difflib
from functools import lru_cache

from workbench.core.cards import Card
from workbench.core.errors import UsageError
from workbench.ingest.formats import alpaca, messages, preference, prompt_completion, sharegpt, text
from workbench.ingest.formats.shape import Format, column_names
from workbench.ingest.rows import Row, RowProblem

FORMATS: tuple[Format, ...] = (
    preference.FORMAT,
    messages.FORMAT,
    sharegpt.FORMAT,
    prompt_completion.FORMAT,
    alpaca.FORMAT,
    text.FORMAT,
)
SHARED_COLUMNS = ("topic", "part_of", "split")
"""Columns of any format: what a record is about, what it was cut from, and its split."""
_USUAL_COLUMNS = 100
_UNSUPPORTED = {
    "input_ids": "rows of token ids cannot be read; give the text",
    "segments": "rows of masked segments cannot be read; give messages",
    "tokens": "rows of tokens cannot be read; give the text",
}


def named(name: str) -> Format:
    """The format of that name."""
    return next(found for found in FORMATS if found.name == name)


def detect(row: Row) -> Format:
    """The first format that fits. Raises RowProblem `unsupported_shape` or `unknown_shape`."""
    columns = tuple([name for name, value in row.items() if value is not None])
    if found := _fitting(columns) if len(columns) <= _USUAL_COLUMNS else _fitting.__wrapped__(columns):
        return found
    for column, advice in _UNSUPPORTED.items():
        if row.get(column) is not None:
            raise RowProblem("unsupported_shape", advice)
    raise RowProblem("unknown_shape", f"columns fit no known shape: {column_names(row)}")


@lru_cache(maxsize=256)
def _fitting(columns: tuple[str, ...]) -> Format | None:
    """The first format for rows that have these columns: what fits is judged by the columns alone."""
    row = dict.fromkeys(columns, "")
    return next((candidate for candidate in FORMATS if candidate.fits(row)), None)


def check_columns(card: Card) -> None:
    """UsageError if the card's `columns` maps a name that its format does not know."""
    formats = FORMATS if card.format == "auto" else (named(card.format),)
    known = sorted({column for one in formats for column in one.columns} | set(SHARED_COLUMNS))
    for canonical in card.columns:
        if canonical not in known:
            close = difflib.get_close_matches(canonical, known, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"names there are: {', '.join(known)}"
            raise UsageError(
                f"columns: {canonical!r} is no column of format {card.format}; {advice}",
                where=f"dataset card {card.name}",
                next_step="write the program's name first, yours second: columns: {prompt: your_column}",
            )


def renamed(row: Row, columns: dict[str, str]) -> Row:
    """`row` with the card's columns under their canonical names; one that this row lacks is left out."""
    if not columns:
        return row
    taken = set(columns.values()) | set(columns)
    return {name: value for name, value in row.items() if name not in taken} | {
        canonical: row[own] for canonical, own in columns.items() if own in row
    }
