"""White space in UTF-8, for compiled loops: what `str.isspace` says, byte by byte.

Import inside functions only: brings numba (0.3 s).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.text.compiling import compiled

Bytes = NDArray[np.uint8]


@compiled
def white_size(data: Bytes, at: int) -> int:
    """How many bytes the white space character at `data[at]` has, where a character begins; 0 for any other."""
    first = data[at]
    if first < 0x80:
        return int(first == 0x20 or 0x09 <= first <= 0x0D or 0x1C <= first <= 0x1F)
    if first == 0xC2:
        return 2 * int(data[at + 1] == 0x85 or data[at + 1] == 0xA0)
    if first < 0xE1 or first > 0xE3:
        return 0
    second, third = data[at + 1], data[at + 2]
    if first == 0xE2 and second == 0x80:
        return 3 * int(third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    return 3 * int(
        (first == 0xE1 and second == 0x9A and third == 0x80)
        or (first == 0xE2 and second == 0x81 and third == 0x9F)
        or (first == 0xE3 and second == 0x80 and third == 0x80)
    )


@compiled
def white_before(data: Bytes, at: int) -> bool:
    """Whether the character that ends before `data[at]` is white space. There is one."""
    start = at - 1
    while 0x80 <= data[start] < 0xC0:
        start -= 1
    return bool(white_size(data, start) > 0)
