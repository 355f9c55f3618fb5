"""Texts as bytes, and what each character is: all that compiled code needs to find the tokens of `text.shingles`.

    packed(["Ab c", "é"])         ->  bytes "ab cé", offsets [0, 4, 6]
    character_classes()[ord("a")] ->  WORD;   [ord(" ")] -> OTHER;   [ord("字")] -> ALONE

A token is a run of WORD characters, or one ALONE character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from workbench.text.normalise import WORD as WORD_PATTERN
from workbench.text.shingles import UNSPACED_CHARACTER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OTHER = 0
"""Between tokens."""
WORD = 1
"""Part of a token."""
ALONE = 2
"""A token by itself: a letter of a script without spaces."""

_CODE_POINTS = 0x110000


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint8]:
    """`[0x110000] uint8`: OTHER, WORD or ALONE of every code point, as this Python's `re` sees it."""
    import numpy as np

    every = np.arange(_CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    classes = np.full(_CODE_POINTS, OTHER, dtype=np.uint8)
    for found in WORD_PATTERN.finditer(every):
        classes[found.start() : found.end()] = WORD
    for found in re.finditer(f"{UNSPACED_CHARACTER.pattern}+", every):
        here = classes[found.start() : found.end()]
        here[here == WORD] = ALONE
    return classes


def packed(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The lower-cased texts as one UTF-8 buffer `[n_bytes] uint8`, and where each begins: offsets `[n + 1] int64`.

    Lone surrogates are encoded like other characters. Every text is lower-cased by itself: a final sigma is one only
    at the end of a word.
    """
    import numpy as np

    parts = [text.lower().encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), dtype=np.uint8), offsets
