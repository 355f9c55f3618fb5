"""Shingles: the overlapping word n-grams whose sets are compared.

    shingles("the cat sat on the mat", 5)  ->  {"the cat sat on the", "cat sat on the mat"}
    shingles("the cat", 5)                 ->  {"the cat"}        (under n words: one shingle)
    shingles("...", 5)                     ->  set()              (no words: nothing to compare)

Scripts written without spaces have no words to count: there every character is a token, so their shingles are
character n-grams, also inside mixed text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from workbench.text.compiling import numba_is_used
from workbench.text.normalise import WORD, words

# Han, Hiragana, Katakana (full and half width), Thai, Lao, Tibetan, Myanmar, Khmer.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f"
)
UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
"""A character of a script without spaces: a token by itself if it is a letter."""
_WORD_OR_NOT = bytes(0x77 if WORD.match(chr(code)) else 0x20 for code in range(256))
"""ASCII with a `w` for each character of a word and a space for all others."""
_TOKEN = re.compile(rf"(?=\w)[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")


def tokens(text: str) -> list[str]:
    """The words of `text`; characters where the script has no spaces."""
    if text.isascii() or UNSPACED_CHARACTER.search(text) is None:
        return words(text)
    return _TOKEN.findall(text.lower())


def token_count(text: str) -> int:
    """`len(tokens(text))` in a fraction of the time."""
    if text.isascii():
        return (b" " + text.encode().translate(_WORD_OR_NOT)).count(b" w")
    return _counted(text) if numba_is_used() else len(tokens(text))


def _counted(text: str) -> int:
    import numpy as np

    from workbench.text.kernel import count_tokens  # 0.3 s: numba
    from workbench.text.tokenising import character_classes

    data = np.frombuffer(text.lower().encode("utf-8", "surrogatepass"), dtype=np.uint8)
    return int(count_tokens(data, character_classes()))


def token_places(text: str) -> list[tuple[int, int]]:
    """Start and end of each of `tokens(text)` in `text` itself, in characters."""
    lowered = text.lower()
    # Lower-casing may lengthen a text (U+0130 becomes two characters): `origin` leads back.
    origin = [position for position, character in enumerate(text) for _ in character.lower()]
    pattern = _TOKEN if UNSPACED_CHARACTER.search(text) else WORD
    return [(origin[found.start()], origin[found.end() - 1] + 1) for found in pattern.finditer(lowered)]


def ngrams(sequence: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` neighbouring tokens, in order; the whole sequence if it is shorter, nothing if it is empty."""
    if len(sequence) <= n:
        return [tuple(sequence)] if sequence else []
    return list(zip(*(sequence[offset:] for offset in range(n)), strict=False))


def shingles(text: str, n: int) -> set[str]:
    """The set of token n-grams of `text`, each joined by spaces."""
    found = tokens(text)
    if len(found) <= n:
        return {" ".join(found)} if found else set()
    return {" ".join(found[start : start + n]) for start in range(len(found) - n + 1)}


def jaccard(left: Set[str], right: Set[str]) -> float:
    """Size of the intersection over size of the union; 0 if both are empty."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 0.0
