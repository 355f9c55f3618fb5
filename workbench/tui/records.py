"""A record as people read it: every turn under its role, whatever the text contains.

shown_record(record)   ->  "user\\nName a prime.\\n\\nassistant\\n7\\n"
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from workbench.core.records import Message, Record
from workbench.tui.signs import one_line, plain

SHOWN_CHARS = 60_000


def parts_of(record: Record) -> Iterator[tuple[str, str]]:
    """Heading and text of everything in a record, in the order in which a model would read it."""
    if record.tools is not None:
        yield "tools", record.tools
    for turn in record.messages:
        yield turn.role, _said(turn)
    if record.chosen is not None:
        yield f"chosen ({record.chosen.role})", _said(record.chosen)
    if record.rejected is not None:
        yield f"rejected ({record.rejected.role})", _said(record.rejected)
    if record.text is not None:
        yield "document", record.text


def _said(turn: Message) -> str:
    calls = "\n".join(f"calls {call.name} with {call.arguments}" for call in turn.tool_calls)
    return "\n".join(part for part in (turn.content, calls) if part)


def shown_parts(record: Record, most_chars: int = SHOWN_CHARS) -> list[tuple[str, str]]:
    """The same, printable, and no more than `most_chars` characters; what is left out is said."""
    shown: list[tuple[str, str]] = []
    left = most_chars
    parts = list(parts_of(record))
    for place, (heading, text) in enumerate(parts):
        if left <= 0:
            shown.append(("", f"… {len(parts) - place:,} more parts, whole in the artifact"))
            break
        cut = plain(text[:left])
        more = len(text) - left
        shown.append((heading, f"{cut}\n… {more:,} more characters, whole in the artifact" if more > 0 else cut))
        left -= len(text)
    return shown


def shown_record(record: Record) -> Text:
    """All of it under headings."""
    text = Text()
    for heading, said in shown_parts(record):
        text.append(f"{heading}\n", "bold cyan").append(f"{said or '(empty)'}\n\n", "" if said else "dim")
    text.rstrip()
    return text


def where_from(record: Record, row_number: int) -> Text:
    """Where the record came from and what is known about it, one fact a line."""
    source = record.source
    facts = {
        "dataset": one_line(source.dataset, 80) + (f", split {source.split}" if source.split else ""),
        "file": plain(source.file) if source.file else "",
        "row": "" if source.row is None else f"{source.row:,}, counted from 0",
        "line": "" if source.line is None else f"{source.line:,}",
        "part of": one_line(source.part_of or "", 200),
        "row in curate": f"{row_number:,}",
        "kind": record.kind,
        "label": "" if record.label is None else "good (thumbs up)" if record.label else "bad (thumbs down)",
        "topic": one_line(record.topic or "", 80),
        "id": record.id,
    }
    text = Text()
    for name, value in facts.items():
        if value:
            text.append(f"{name:<14}", "dim").append(f"{value}\n")
    text.rstrip()
    return text


def whole_text(record: Record) -> str:
    """Headings and texts as one string, for comparing two records."""
    return "\n\n".join(f"{heading}\n{said}" for heading, said in shown_parts(record)).rstrip()
