"""What was meant by a name that is not known.

    did_you_mean("exact_mtach", ["exact_match", "f1"])   ->  "; did you mean 'exact_match'?"
    did_you_mean("xyz", ["exact_match", "f1"])           ->  ""
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a message about an unknown name; empty if no known one is like it (`cutoff`: difflib's ratio)."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""
