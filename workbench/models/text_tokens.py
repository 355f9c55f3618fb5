"""How many tokens plain texts have, fast: words seen before are not encoded again.

    TextTokens(tokenizer.backend_tokenizer.to_str()).counts(["Capital of Peru?", "Lima"])   ->  [4, 2]

A byte-level tokenizer cuts a text into words before it looks for tokens, and a space between two words always begins a
new one. So the tokens of "Capital of Peru?" are those of "Capital", " of" and " Peru?", each of which is counted once
and remembered. Tokenizers of which this cannot be shown from their definition (`cuts_at_spaces`) encode whole texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

_CUT = re.compile(r" (?<=\S )(?=\S)")
"""A single space between characters that are none. What Python takes for white space includes all that Unicode does."""
_REMEMBERED_PIECES = 150_000
"""About 40 MB."""
_LONGEST_REMEMBERED = 40
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
        self._cuts = cuts_at_spaces(json.loads(definition))
        self._first: dict[str, int] = {}
        """Tokens of a piece at the beginning of a text."""
        self._later = _Pieces()
        """Tokens of a space and the piece, which has no white space at its ends."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without beginning and end tokens."""
        if not self._cuts:
            return self._encoded(texts)
        if len(self._first) + len(self._later) > _REMEMBERED_PIECES:
            _forget_half(self._first)
            _forget_half(self._later)
        later, begins, sums, ends = self._later, [], [], [0]
        later.unknown = []
        for text in texts:
            # Known pieces have no white space at their ends: if the others have none either, every space is a cut.
            begin, *rest = text.split(" ")
            known = sum(map(later.__getitem__, rest))
            if not all(map(_is_bare, (begin, *later.unknown[ends[-1] :]))):
                del later.unknown[ends[-1] :]
                begin, *rest = _CUT.split(text)
                known = sum(map(later.__getitem__, rest))
            begins.append(begin)
            sums.append(known)
            ends.append(len(later.unknown))
        new_begins = self._tokens(set(begins) - self._first.keys(), "")
        new = self._tokens(set(later.unknown), " ")
        of_unknown = [new[piece] for piece in later.unknown]
        self._first.update(new_begins)
        later.update(_rememberable(new))
        counted = [
            self._first[begin] + known + sum(of_unknown[start:end])
            for begin, known, (start, end) in zip(begins, sums, pairwise(ends), strict=True)
        ]
        for begin in new_begins.keys() - _rememberable(new_begins).keys():
            del self._first[begin]
        return counted

    def _tokens(self, pieces: Collection[str], before: str) -> dict[str, int]:
        """Tokens of each piece with `before` in front of it."""
        return dict(zip(pieces, self._encoded([before + piece for piece in pieces]), strict=True))

    def _encoded(self, texts: Sequence[str]) -> list[int]:
        return [len(found) for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class _Pieces(dict[str, int]):
    """Tokens of pieces; one that is not known counts nothing and is noted."""

    unknown: list[str]

    def __missing__(self, piece: str) -> int:
        self.unknown.append(piece)
        return 0


def _is_bare(piece: str) -> bool:
    """Whether there is something between the ends of a piece, and no white space at them."""
    return piece != "" and not piece[0].isspace() and not piece[-1].isspace()


def _rememberable(pieces: Mapping[str, int]) -> dict[str, int]:
    return {
        piece: count for piece, count in pieces.items() if len(piece) <= _LONGEST_REMEMBERED and _is_bare(piece)
    }


def _forget_half(known: dict[str, int]) -> None:
    """Forgets what was learned last: frequent words are met, and so learned, first."""
    for piece in list(known)[len(known) // 2 :]:
        del known[piece]


def cuts_at_spaces(definition: Mapping[str, Any]) -> bool:
    """Whether a single space between two words always begins a new word, whatever stands on either side.

    Shown from the definition alone: no or canonical normalising, words cut by known patterns, byte-pair encoding
    within words, and no added token with white space in it or eating what is around it.
    """
    normalizer, words, model = definition["normalizer"], definition["pre_tokenizer"], definition["model"]
    return (
        (normalizer is None or normalizer["type"] == "NFC")
        and words is not None
        and _cuts_words(words)
        and model.get("type") == "BPE"
        and not model.get("dropout")
        and not any(
            token["lstrip"] or token["rstrip"] or re.search(r"\s", token["content"])
            for token in definition["added_tokens"]
        )
    )


def _cuts_words(words: Mapping[str, Any]) -> bool:
    """Whether a word splitter, or one of a sequence that all look at nothing beyond a space, begins words at spaces."""
    parts = words["pretokenizers"] if words["type"] == "Sequence" else [words]
    return all(_is_local(part) for part in parts) and any(_is_word_pattern(part) for part in parts)


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
