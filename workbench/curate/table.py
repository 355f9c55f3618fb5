"""What is kept in memory of each row: a few numbers, a hundred bytes, whatever the text.

    table = Numbers.of([batch.numbers for batch in examined])
    table.order_by_id()      # [n]: place of each row when sorted by record id; the order of the input decides nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


NO_SEQUENCE = -1


@dataclass(slots=True)
class Numbers:
    """Arrays with one entry per row, of one batch or of all rows."""

    record_id: NDArray[np.uint64]
    """Id of the record as it was read."""
    content_id: NDArray[np.uint64]
    """Id of the record as repaired; the same for most rows."""
    exact_key: NDArray[np.uint64]
    """`[n, 2]`: 128-bit hash of everything that exact duplicates share."""
    written: NDArray[np.uint64]
    """Hash of the signs of what is compared: texts of the same words that differ in it say something else."""
    place: NDArray[np.uint64]
    """`[n, 3]`: number of the dataset, hash of the file, row in it."""
    chars: NDArray[np.int32]
    """Length of what is compared."""
    dropped: NDArray[np.bool_]
    """Whether there is a reason to drop the row."""
    flags: NDArray[np.uint16]
    """Reasons to flag it, but for those that say nothing about the row."""
    restored: NDArray[np.bool_]
    """Whether a person took it back."""
    saved: NDArray[np.bool_]
    """Whether there would be a reason to drop it, had nobody taken it back."""
    lengths: NDArray[np.int32]
    """`[n, 2]`: tokens (or words) of prompt and answer; `NO_SEQUENCE` where the template takes no such row."""
    keyed: dict[str, NDArray[np.bool_]]
    """Dataset filter to whether it looks at the row."""
    keys: dict[str, NDArray[np.uint64]]
    """Dataset filter to `[n, width]`: its numbers of the row."""

    def __len__(self) -> int:
        return len(self.record_id)

    @classmethod
    def of(cls, parts: Sequence[Numbers]) -> Numbers:
        """All batches, one after the other; they are used up, so that no more than one column is there twice."""
        import numpy as np

        def joined(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            for part in parts:
                delattr(part, name)
            if isinstance(values[0], dict):
                return {key: np.concatenate([value[key] for value in values]) for key in values[0]}
            return np.concatenate(values)

        return cls(**{field.name: joined(field.name) for field in fields(cls)})

    def order_by_id(self) -> NDArray[np.int64]:
        """`[n]` int64: each row's place in the order of content id, id as read and, among copies, place in the data."""
        import numpy as np

        dataset, file, row = self.place.T
        # The last key is the first to decide; equal places cannot be, but a total order needs no luck.
        order = np.lexsort((np.arange(len(self)), row, file, dataset, self.record_id, self.content_id))
        places = np.empty(len(self), dtype=np.int64)
        places[order] = np.arange(len(self))
        return places
