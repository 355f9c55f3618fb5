"""One spelling per text: what exact duplicate search compares, and the words everything else counts.

    normalised("Ｆｕｌｌ  width\\n")   ->  "full width"
    words("Don't panic: 42!")         ->  ["don", "t", "panic", "42"]
"""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """`text` under NFKC and case folding, with every run of white space as one space and none at the ends.

    Idempotent: folding can undo NFKC and NFKC can undo folding (Unicode standard, D146), so both run twice.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def words(text: str) -> list[str]:
    """The lower-cased runs of letters, digits and underscores."""
    return WORD.findall(text.lower())
