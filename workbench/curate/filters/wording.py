"""Lists of words as regular expressions.

    any_of("images? photos? audio~clips?")  ->  "(?:images?|photos?|audio clips?)"
"""

from __future__ import annotations


def any_of(entries: str) -> str:
    """A pattern for any of the entries, which stand apart by white space; `~` is a space within an entry.

    The first entry that fits wins, as always: longer ones go before their own beginnings.
    """
    return f"(?:{'|'.join(entries.split())})".replace("~", " ")
