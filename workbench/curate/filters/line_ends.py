"""`line_ends`: lines end in a line feed and in nothing else.

    "one\\r\\ntwo\\rthree"  ->  repair  line_ends: "one\\ntwo\\nthree"

Carriage returns and Unicode's line and paragraph separators become line feeds, in everything that is said.
"""

from __future__ import annotations

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten

_OTHER_ENDS = {"\r\n": "CRLF", "\r": "CR", "\u2028": "U+2028", "\u2029": "U+2029"}


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Nothing: what can be wrong is repaired."""
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """CRLF, CR, U+2028 and U+2029 become line feeds."""
    found: dict[str, int] = {}

    def with_line_feeds(text: str) -> str:
        if "\r" in text or "\u2028" in text or "\u2029" in text:
            for end, name in _OTHER_ENDS.items():
                if count := text.count(end):
                    found[name] = found.get(name, 0) + count
                    text = text.replace(end, "\n")
        return text

    repaired = rewritten(record, with_line_feeds)
    if repaired is record:
        return []
    counts = ", ".join(f"{count} {name}" for name, count in found.items())
    return [Repair(repaired, "line_ends", f"line feeds instead of {counts}")]


FILTER = Filter("line_ends", ("line_ends",), check, repair)
