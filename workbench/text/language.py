"""Which language a text is written in, offline.

    identify("Wie weit ist es bis zum Bahnhof?")  ->  Language("de", 0.92)
    identify("오늘 날씨가 아주 좋네요")              ->  Language("ko", 1.0)        (the script decides)
    identify("x = [i ** 2 for i in range(10)]")   ->  None                       (code)
    identify("42"), identify("Yes."), identify("| 3 | 4 |")  ->  None              (nothing to tell by)

A script that one language alone is written in decides by itself; everything else is py3langid's naive Bayes model over
byte n-grams. The beginning of a text stands for the whole.
"""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

_READ = 1_500
"""Characters looked at, before code is cut out."""
_SAMPLES = (128, 320)
"""Bytes given to the model: more are only read if fewer leave it in doubt, and more than these change no decision."""
_NO_DOUBT = 0.99
"""Probability from which the first sample decides: then, of 18,900 real texts, none was given another language by
the second."""
_FEWEST_LETTERS = 15
"""Letters that a text in an alphabet must have."""
_FEWEST_SIGNS = 4
"""Characters that a text in a script of its own must have."""
_LETTERS_AT_LEAST = 0.8
"""Share of letters among all signs but digits, arithmetic and white space: below, it is code."""
_LETTERS_BESIDE_NUMBERS = 0.4
"""Share of letters among all but white space: below, it is a table or a formula."""
_CODE_SIGNS_AT_MOST = 0.04
"""Share of the signs that code is full of."""

_LEAST_PROBABILITY = 0.25
"""Below, the model knows no better than not to say."""

_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$\$.*?(?:\$\$|\Z)|<<?[^<>\n]{1,200}>>?", re.DOTALL)
"""Code, addresses, formulas, and anything in angle brackets: markup, or the arithmetic of GSM8K."""
_BEYOND_LATIN = re.compile(
    "[\u0370-\u1dff\u1f00-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufefc\uff66-\uffdc"
    "\U00020000-\U0003134f]+"
)
_LETTER_BYTES = string.ascii_letters.encode() + bytes(range(0x80, 0x100))
_CODE_BYTES = b"{}[]<>_;\\|&@^~="
_NUMBER_BYTES = b"0123456789$%+-*/=.,"
_SPACE_BYTES = b" \t\n\r\x0b\x0c"

_SCRIPTS: tuple[tuple[int, str], ...] = (
    (0x0370, "el"), (0x0400, "cyrillic"), (0x0530, "hy"), (0x0590, "he"), (0x0600, "arabic"), (0x0780, "dv"),
    (0x07C0, "other"), (0x0900, "devanagari"), (0x0980, "bengali"), (0x0A00, "pa"), (0x0A80, "gu"), (0x0B00, "or"),
    (0x0B80, "ta"), (0x0C00, "te"), (0x0C80, "kn"), (0x0D00, "ml"), (0x0D80, "si"), (0x0E00, "th"), (0x0E80, "lo"),
    (0x0F00, "bo"), (0x1000, "my"), (0x10A0, "ka"), (0x1100, "ko"), (0x1200, "ethiopic"), (0x13A0, "other"),
    (0x1780, "km"), (0x1800, "other"), (0x1F00, "el"), (0x2000, "other"), (0x3040, "kana"), (0x3100, "han"),
    (0x3130, "ko"), (0x3190, "han"), (0x31F0, "kana"), (0x3200, "han"), (0xA000, "other"), (0xAC00, "ko"),
    (0xD7B0, "other"), (0xF900, "han"), (0xFB1D, "he"), (0xFB50, "arabic"), (0xFE00, "other"), (0xFE70, "arabic"),
    (0xFF00, "kana"), (0xFFA0, "ko"), (0x20000, "han"),
)  # fmt: skip
"""First character of a run of blocks, and its script; a code of two letters where only that language uses it."""
_SCRIPT_STARTS = [start for start, _ in _SCRIPTS]
_BY_MODEL = frozenset({"cyrillic", "arabic", "devanagari", "bengali", "ethiopic", "other", "kana", "han"})


@dataclass(frozen=True, slots=True)
class Language:
    """What a text is written in."""

    code: str
    """ISO 639-1 code."""
    probability: float
    """Between 0 and 1: the model's, or the share of the letters that are in the script that decided."""


def identify(text: str) -> Language | None:
    """The language of `text`; None for code, numbers, tables and texts too short to tell."""
    return _identified(text[:_READ])


@lru_cache(maxsize=4000)
def _identified(beginning: str) -> Language | None:
    """Remembered, since a prompt is often asked about several times in a row."""
    text = _NOT_PROSE.sub(" ", beginning) if "`" in beginning or "<" in beginning or "/" in beginning else beginning
    data = text.encode("utf-8", "surrogatepass")
    letters = len(data) - len(data.translate(None, _LETTER_BYTES))
    if letters < _FEWEST_SIGNS or not _is_prose(data, letters):
        return None
    if not text.isascii():
        foreign = "".join(_BEYOND_LATIN.findall(text))
        latin = len(data) - len(data.translate(None, string.ascii_letters.encode()))
        if len(foreign) * 2 > latin:
            return _by_script(text, foreign, latin)
    return _by_model(text) if letters >= _FEWEST_LETTERS else None


def _is_prose(data: bytes, letters: int) -> bool:
    visible = data.translate(None, _SPACE_BYTES)
    without_numbers = len(visible.translate(None, _NUMBER_BYTES))
    code_signs = len(visible) - len(visible.translate(None, _CODE_BYTES))
    return (
        letters >= _LETTERS_AT_LEAST * without_numbers
        and letters >= _LETTERS_BESIDE_NUMBERS * len(visible)
        and code_signs <= _CODE_SIGNS_AT_MOST * len(visible)
    )


def _by_script(text: str, foreign: str, latin: int) -> Language | None:
    """Decides by the script if one language has it for itself; `latin`: Latin letters between the foreign ones."""
    scripts: Counter[str] = Counter()
    for character, times in Counter(foreign).items():
        scripts[_SCRIPTS[bisect_right(_SCRIPT_STARTS, ord(character)) - 1][1]] += times
    # A Latin word of five letters stands for a word, a Han character for half of one.
    total = len(foreign) + latin / 2
    east_asian = scripts["kana"] + scripts["han"]
    if scripts["kana"] * 10 >= east_asian > len(foreign) / 2:
        return Language("ja", min(1.0, east_asian / total)) if east_asian >= _FEWEST_SIGNS else None
    script, times = scripts.most_common(1)[0]
    if script == "han":
        return Language("zh", min(1.0, times / total)) if times >= _FEWEST_SIGNS else None
    if script not in _BY_MODEL:
        return Language(script, min(1.0, times / total)) if times >= _FEWEST_SIGNS else None
    return _by_model(text) if len(foreign) >= _FEWEST_LETTERS else None


def _by_model(text: str) -> Language | None:
    from workbench.text.language_model import NO_LANGUAGE, most_probable  # 0.3 s: numba; once ever 0.8 s more

    if text.isupper():
        text = text.lower()
    data = unicodedata.normalize("NFC", text[: _SAMPLES[-1]]).encode("utf-8", "surrogatepass")
    for size in _SAMPLES:
        code, probability = most_probable(data[:size])
        if probability >= _NO_DOUBT or size >= len(data):
            break
    return None if code == NO_LANGUAGE or probability < _LEAST_PROBABILITY else Language(code, probability)
