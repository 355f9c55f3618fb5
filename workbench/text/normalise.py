"""One spelling per text: what exact duplicate search compares, what is compared loosely, the words everything else
counts, and the tokens in which decontamination looks for one text in another.

    same_text("Ｆｕｌｌ  width: 10⁶\\n")    ->  "full width: 10⁶"
    same_text("if x:\\n    a()\\nb()")     ->  "if x:\\n    a() b()"     where lines are indented says something
    normalised("Ｆｕｌｌ  width: 10⁶\\n")   ->  "full width: 106"
    words("Don't panic: 42!")               ->  ["don", "t", "panic", "42"]
    folded_tokens("DON’T pay $1,200.50")    ->  ["dont", "pay", "1200.50"]
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

WORD = re.compile(r"\w+")
_SIGN = re.compile(r"[-+*/=<>^%|&~$€£×÷±≤≥≠√²³]")
_TAG = re.compile(  # none reaches from one piece of a text into the next, as `text.grams` joins them
    r"</?(?:a|abbr|b|big|blockquote|body|br|center|cite|code|del|div|dd|dl|dt|em|font|h[1-6]|head|hr|html|i|img|ins|kbd|li"
    r"|mark|ol|p|pre|q|s|samp|section|small|span|strike|strong|su[bp]|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)"
    r"(?:[^\S\x1e][^<>=\x1e]{0,100}=[^<>\x1e]{0,1000})?[^\S\x1e]?/?>",
    re.IGNORECASE,
)
"""A tag of HTML that says how a text looks."""
_PRESENTATION_FORM = re.compile("[\ufb00-\uffef]")
_REMEMBERED_CHARS = 2000
"""Longer texts are not remembered: rows may have megabytes."""


def normalised(text: str) -> str:
    """`text` under NFKC and case folding, with every run of white space as one space and none at the ends.

    Loose: 10⁶ becomes 106 and indentation goes. What may be dropped for being the same is compared by `same_text`.
    Idempotent: folding can undo NFKC and NFKC can undo folding (Unicode standard, D146), so both run twice.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_CHARS else _normalised(text)


@lru_cache(maxsize=256)
def _remembered(text: str) -> str:
    """The last few texts are kept: those of a record are asked for several times within a short while."""
    return _normalised(text)


def _normalised(text: str) -> str:
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def same_text(text: str) -> str:
    """What texts share that say the same, character by character: their spelling but for case, width and white space.

    - Canonical equivalence (NFC) and case folding; full-width, half-width and presentation forms and ligatures as the
      plain letters. Other compatibility forms have a meaning of their own: 10⁶, 5², H₂O, ½, ①, ℝ and Ⅳ stay.
    - A run of white space is one space, and none at the ends; but what a line is indented by, in spaces and tabs, stays
      behind a line feed: in code it says what belongs where.

    Idempotent, as `normalised` is.
    """
    return _remembered_same(text) if len(text) <= _REMEMBERED_CHARS else _same_text(text)


@lru_cache(maxsize=256)
def _remembered_same(text: str) -> str:
    return _same_text(text)


def _same_text(text: str) -> str:
    folded = text.lower() if text.isascii() else _plain(text)
    if "\n " not in folded and "\n\t" not in folded:
        return " ".join(folded.split())
    pieces: list[str] = []
    for line in folded.split("\n"):
        bare = " ".join(line.split())
        if bare and pieces:
            indented = line[: len(line) - len(line.lstrip(" \t"))]
            pieces.append(f"\n{indented}" if indented else " ")
        if bare:
            pieces.append(bare)
    return "".join(pieces)


def _plain(text: str) -> str:
    if _PRESENTATION_FORM.search(text):
        text = text.translate(_plain_forms())
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return unicodedata.normalize("NFC", folded.casefold())


@lru_cache(maxsize=1)
def _plain_forms() -> dict[int, str]:
    """Ligatures, presentation forms, full-width and half-width characters to what they are forms of."""
    forms = [form for form in map(chr, range(0xFB00, 0xFFF0)) if unicodedata.decomposition(form).startswith("<")]
    return {ord(form): unicodedata.normalize("NFKC", form) for form in forms}


def words(text: str) -> list[str]:
    """The lower-cased runs of letters, digits and underscores."""
    return WORD.findall(text.lower())


def folded(text: str) -> str:
    """`text` without case and compatibility differences, marks as characters of their own (NFKD).

    Each character is folded by itself, but for the order of several marks on one letter, which no token depends on.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def without_tags(text: str) -> str:
    """`text` with spaces in place of tags that say how it looks; every other character stays where it is."""
    return _TAG.sub(lambda tag: " " * len(tag.group()), text) if "<" in text and ">" in text else text


def folded_tokens(text: str) -> list[str]:
    """The words of `text` as decontamination counts them: what formatting changes makes no difference.

    Tags of HTML, accents, apostrophes and invisible characters are left out, a number is one token with its decimal
    point and without commas between thousands, and in scripts without spaces each character is a token.
    """
    drop, pattern = _folding()
    found = (drop.sub("", match) for match in pattern.findall(folded(without_tags(text))))
    return [token for token in found if token]


def said(text: str) -> str:
    """What two texts share that say the same: words and signs such as + and -, without the punctuation of sentences."""
    found = _SIGN.sub(r" \g<0> ", folded(without_tags(text)))
    return " ".join(piece for part in found.split() for piece in ([part] if _SIGN.match(part) else folded_tokens(part)))


def folded_places(text: str) -> list[tuple[int, int]]:
    """Start and end of each of `folded_tokens(text)` in `text` itself, in characters."""
    drop, pattern = _folding()
    text = without_tags(text)
    spelling = folded(text)
    if text.isascii():
        origin: range | list[int] = range(len(text))
    else:
        origin = [position for position, character in enumerate(text) for _ in folded(character)]
    return [
        (origin[found.start()], origin[found.end() - 1] + 1)
        for found in pattern.finditer(spelling)
        if drop.sub("", found.group())
    ]


@lru_cache(maxsize=1)
def dropped_characters() -> str:
    """All characters that are no part of a token and do not end one: marks, invisible characters, apostrophes."""
    # Marks and format characters stand in the first two planes and in the block of tags and variation selectors.
    planes = (*range(0x20000), *range(0xE0000, 0xE0200))
    marks = (chr(code) for code in planes if unicodedata.category(chr(code)) in ("Mn", "Me", "Mc", "Cf"))
    return "".join(marks) + "'’‘ʼ"


@lru_cache(maxsize=1)
def _folding() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What is dropped from a token, and a token before that."""
    from workbench.text.shingles import UNSPACED_CHARACTER  # which counts the words of this module

    dropped = "".join(sorted(dropped_characters()))
    alone = UNSPACED_CHARACTER.pattern[1:-1]
    drop = re.compile(f"[,{re.escape(dropped)}]")
    thousands, decimals = r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", r"(?<=[0-9])\.(?=[0-9])"
    token = re.compile(rf"(?=\w)[{alone}]|(?:(?![{alone}])[\w{re.escape(dropped)}]|{thousands}|{decimals})+")
    return drop, token
