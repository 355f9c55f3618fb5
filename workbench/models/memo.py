"""Results of batches kept from earlier, as the code that computes a batch sees them.

    batch_key("continuation_nll", rows=[[[1, 2], [3]]])  ->  {"kind": "continuation_nll", "rows": [[[1, 2], [3]]]}

The unit is the batch, never the row: in bf16 and NF4 the numbers of a row depend on the rows beside it, so a row kept
from another batch would differ from the same row computed here. A batch is taken from the memo whole or computed whole,
and a resumed run therefore gives the same bytes as one that was never stopped.
"""

from __future__ import annotations

from typing import Any, Protocol


class BatchMemo(Protocol):
    """Finished batches of one arm: model, adapter, precision and machine are the memo's to tell apart."""

    def get(self, batch: object) -> Any | None:
        """The result kept for `batch`, every float bit for bit; None where there is none."""

    def put(self, batch: object, result: Any) -> None:
        """Keeps `result`, which JSON can hold, before anybody uses it."""


def batch_key(kind: str, **decides: Any) -> dict[str, Any]:
    """Describes a batch: the computation, named with its version, and all that decides its numbers besides the arm.

    `decides` holds token ids, targets and decoding settings as lists, numbers, strings and None; order of rows counts.
    """
    return {"kind": kind, **decides}
