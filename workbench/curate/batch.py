"""The rows of one curation and everything found out about them.

    batch = Batch.of(records)
    batch.add(3, "length", "too_long", "drop", "2417 words, at most 2000 wanted")
    batch.kept_rows()  ->  [0, 1, 2, 4, ...]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.core.records import Drop, Finding, Record


@dataclass
class Batch:
    """All rows of the node and what has been found out about them so far."""

    original: list[Record]
    """As read: what is kept of a dropped row."""
    records: list[Record]
    """As repaired: what is examined and passed on."""
    findings: list[list[Finding]]
    """What was found about each row."""

    def add(self, row: int, name: str, reason: str, action: Literal["drop", "flag", "repair"], detail: str) -> None:
        """Writes down one finding."""
        found = Finding(
            record_id=self.original[row].id, row=row, filter=name, reason=reason, action=action, detail=detail
        )
        self.findings[row].append(found)

    def count(self, row: int, action: str) -> int:
        """Findings of one action on a row."""
        return sum(finding.action == action for finding in self.findings[row])

    def kept_rows(self) -> list[int]:
        """Rows without a reason to be dropped."""
        return [row for row in range(len(self.records)) if not self.count(row, "drop")]

    def drops(self) -> list[Drop]:
        """Every row that goes, as it was read, with everything found about it."""
        kept = set(self.kept_rows())
        return [
            Drop(row=row, record=record, findings=tuple(self.findings[row]))
            for row, record in enumerate(self.original)
            if row not in kept
        ]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Batch:
        """Rows about which nothing is known yet."""
        return cls(list(records), list(records), [[] for _ in records])
