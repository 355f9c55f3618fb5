"""Numbers between numpy and Arrow by their bytes alone.

    arrow_numbers(np.array([1, 2], dtype=np.uint64))   ->  pyarrow UInt64Array [1, 2]
    numpy_numbers(table.column("band_000"))            ->  array([...], dtype=uint64)

pyarrow's own conversions import pandas if it is installed: 50 MB and half a second that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def arrow_numbers(values: NDArray[Any]) -> Any:
    """A pyarrow array of the integers `values`, whose type it has."""
    import numpy as np
    import pyarrow as pa

    kind = pa.type_for_alias(values.dtype.name)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def arrow_strings(values: Sequence[str]) -> Any:
    """A pyarrow array of strings, less than 2 GB of UTF-8 in all."""
    import numpy as np
    import pyarrow as pa

    encoded = [value.encode() for value in values]
    ends = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(value) for value in encoded], out=ends[1:])
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def numpy_numbers(column: Any) -> NDArray[Any]:
    """The integers of a pyarrow array or chunked array without nulls."""
    import numpy as np

    chunks = getattr(column, "chunks", [column])
    parts = [np.empty(0, dtype=str(column.type))]
    for chunk in chunks:
        whole = np.frombuffer(chunk.buffers()[1], dtype=str(column.type)) if len(chunk) else parts[0]
        parts.append(whole[chunk.offset : chunk.offset + len(chunk)])
    return np.concatenate(parts) if len(chunks) != 1 else parts[1]
