"""How many tokens plain texts have, fast: words seen before are not encoded again.

    TextTokens(tokenizer.backend_tokenizer.to_str()).counts(["Capital of Peru?", "Lima"])   ->  [4, 2]

A byte-level tokenizer cuts a text into words before it looks for tokens, and a space between two words always begins a
new one. So the tokens of "Capital of Peru?" are those of "Capital", " of" and " Peru?", each of which is counted once
and remembered. Tokenizers of which this cannot be shown from their definition (`cuts_at_spaces`) encode whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from workbench.text.compiling import numba_is_used

_MOST_REMEMBERED = 1 << 19
"""Pieces: half of the table's slots."""
_SPACE = "Ġ"
"""A space in the alphabet of byte-level tokens."""
_LONGEST_REMEMBERED = 48
"""Bytes: what is longer rarely comes again."""
_WORD_PATTERNS = frozenset(
    {
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        "'(?i:[sdmt]|ll|ve|re)",
        "'s|'t|'re|'ve|'m|'ll|'d",
        r" ?\p{L}+",
        r" ?\p{N}+",
        r"\p{N}",
        r"\p{N}+",
        r"\p{N}{1,3}",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",
        r" ?[^\s\p{L}\p{N}]+",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s+",
    }
)
"""Alternatives of published word patterns (GPT-2, Llama 3, Qwen). In none can a space follow a character that is no
white space, none looks back, and only white space looks ahead: a match never depends on both sides of a cut."""


class TextTokens:
    """Counts the tokens of texts as `workbench.models.chat.text_ids` encodes them."""

    def __init__(self, definition: str) -> None:
        """`definition`: the JSON of a `tokenizers.Tokenizer`; ValueError if it is none."""
        # 0.05 s, and 0.1 s for a vocabulary of 49,152
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # control tokens in a text are the characters they consist of
        self._tokenizer.encode_special_tokens = True
        parsed = json.loads(definition)
        # not compiled, cutting takes longer than encoding
        self._cuts = numba_is_used() and cuts_at_spaces(parsed)
        self._marks_spaces = _marks_spaces(parsed)
        vocabulary = self._tokenizer.get_vocab() if self._marks_spaces else {}
        self._spaced = frozenset(number for token, number in vocabulary.items() if token.startswith(_SPACE))
        """Tokens that begin with a space."""
        self._known: _Known | None = None

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without beginning and end tokens."""
        if not self._cuts:
            return self._encoded(texts)
        if self._known is None or self._known.is_full():
            self._known = _Known()
        return self._known.counts(texts, self._of_pieces)

    def _encoded(self, texts: Sequence[str]) -> list[int]:
        return [len(found) for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _of_pieces(self, pieces: Sequence[str]) -> list[int]:
        """Tokens of each piece; those with one space are encoded as one text, which takes half the time."""
        alike = [piece for piece in pieces if self._marks_spaces and _is_space_and_word(piece)]
        (whole,) = self._tokenizer.encode_batch_fast(["".join(alike)], add_special_tokens=False)
        begins = [place for place, token in enumerate(whole.ids) if token in self._spaced]
        assert len(begins) == len(alike), "every space begins a token, and nothing else does"
        counted = dict(zip(alike, _gaps([*begins, len(whole)]), strict=True))
        others = [piece for piece in pieces if piece not in counted]
        counted |= zip(others, self._encoded(others), strict=True)
        return [counted[piece] for piece in pieces]


def _is_space_and_word(piece: str) -> bool:
    """Whether a piece is a space and then characters of which neither the first nor the last is white space, nor any
    another space."""
    return piece.count(" ") == 1 and piece[0] == " " and not piece[-1].isspace() and not piece[1].isspace()


def _gaps(places: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(places)]


class _Known:
    """Tokens of the pieces met so far."""

    def __init__(self) -> None:
        from workbench.models.token_kernel import empty_table

        self._keys, self._tokens = empty_table()
        self.size = 0

    def is_full(self) -> bool:
        """Whether no further piece should be remembered: frequent words are soon met again in a new table."""
        return self.size >= _MOST_REMEMBERED

    def counts(self, texts: Sequence[str], encoded: Callable[[Sequence[str]], list[int]]) -> list[int]:
        """Tokens of each text; `encoded` gives those of pieces that are not known."""
        import numpy as np

        from workbench.models.token_kernel import look_up, remember

        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        whole = b"".join(parts)
        data = np.frombuffer(whole, dtype=np.uint8)
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        sums = np.zeros(len(parts), dtype=np.int64)
        unknown = np.empty((whole.count(b" ") + len(parts), 3), dtype=np.int64)
        unknown = unknown[: look_up(data, offsets, self._keys, self._tokens, sums, unknown)]
        if len(unknown):
            pieces = [whole[start:end].decode("utf-8", "surrogatepass") for _, start, end in unknown.tolist()]
            distinct = list(dict.fromkeys(pieces))
            tokens = dict(zip(distinct, encoded(distinct), strict=True))
            counted = np.array([tokens[piece] for piece in pieces], dtype=np.int64)
            np.add.at(sums, unknown[:, 0], counted)
            self.size += remember(data, unknown, counted, _LONGEST_REMEMBERED, self._keys, self._tokens)
        found: list[int] = sums.tolist()
        return found


def cuts_at_spaces(definition: Mapping[str, Any]) -> bool:
    """Whether a single space between two words always begins a new word, whatever stands on either side.

    Shown from the definition alone: no or canonical normalising, words cut by known patterns, byte-pair encoding
    within words, and no added token with white space in it or eating what is around it.
    """
    normalizer, model, splitters = definition["normalizer"], definition["model"], _splitters(definition)
    return (
        (normalizer is None or normalizer["type"] == "NFC")
        and all(map(_is_local, splitters))
        and any(map(_is_word_pattern, splitters))
        and model.get("type") == "BPE"
        and not model.get("dropout")
        and not any(
            token["lstrip"] or token["rstrip"] or re.search(r"\s", token["content"])
            for token in definition["added_tokens"]
        )
    )


def _splitters(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What cuts a text into words, one after the other."""
    words = definition["pre_tokenizer"]
    if words is None:
        return []
    return list(words["pretokenizers"]) if words["type"] == "Sequence" else [words]


def _is_local(part: Mapping[str, Any]) -> bool:
    """Whether a splitter decides about a place from one side of a space."""
    if part["type"] == "ByteLevel":
        return not part["add_prefix_space"]
    return part["type"] == "Digits" or _is_word_pattern(part)


def _is_word_pattern(part: Mapping[str, Any]) -> bool:
    if part["type"] == "ByteLevel":
        return bool(part.get("use_regex", True))
    if part["type"] != "Split" or part["invert"] or part["behavior"] != "Isolated":
        return False
    return _is_known_pattern(part["pattern"].get("Regex", ""))


def _marks_spaces(definition: Mapping[str, Any]) -> bool:
    """Whether tokens show the spaces they stand for, as byte-level ones do."""
    return any(part["type"] == "ByteLevel" for part in _splitters(definition))


def _is_known_pattern(pattern: str) -> bool:
    """Whether a pattern consists of known alternatives, matches every character, and so cuts at every space."""
    rest = pattern
    found = set()
    while rest:
        known = max((one for one in _WORD_PATTERNS if _begins(rest, one)), key=len, default=None)
        if known is None:
            return False
        found.add(known)
        rest = rest[len(known) + 1 :]
    return r"\s+" in found and any(r"[^\s\p{L}\p{N}]" in one for one in found)


def _begins(pattern: str, alternative: str) -> bool:
    return pattern == alternative or pattern.startswith(alternative + "|")
