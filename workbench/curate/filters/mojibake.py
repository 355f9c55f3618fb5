"""`mojibake`: text that was decoded with the wrong encoding.

    "Itâ€™s a cafÃ©"              ->  repair  mojibake: "Itâ€™s a cafÃ©" became "It’s a café"
    "It\\x92s"                     ->  repair  mojibake: "It\\x92s" became "It’s"
    "What is â€™ in UTF-8?"        ->  flag    mojibake: the text speaks of encodings, perhaps it means what it says
    "The caf\\ufffd is closed."    ->  flag    mojibake: a character was lost, nobody can bring it back

ftfy decides, and it decides only where the characters would make no sense in any language. What it would have to guess
(`replace_lossy_sequences`) stays as it is. A text that is right is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten

_CONTINUATION = (
    "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a\u201c-\u201e\u2020-\u2022"
    "\u2026\u2030\u2039\u203a\u20ac\u2122"
)
_CYRILLIC_CONTINUATION = "\u00a0-\u00bf\u0401-\u040f\u0451-\u045f\u0490\u0491\u2013-\u203a\u20ac\u2116\u2122"
_SUSPECT = re.compile(
    f"[\u00c2-\u00f4\u0102\u0139][{_CONTINUATION}]"  # UTF-8 read as Latin-1, Windows-1252 or 1250
    f"|(?:[РС][{_CYRILLIC_CONTINUATION}]){{2}}|вЂ"  # as Windows-1251
    "|[\u201a\u221a\u00ac][^\\x00-\\x7f\\s]|[├┬Γ][^\\x00-\\x7f\\s]"  # as Mac Roman, as code page 437
    "|[\u00c3\u00c2\u00e0] |[\u0080-\u009f]"  # a no-break space that became a space; Windows-1252 read as Latin-1
)
_SPEAKS_OF_ENCODINGS = re.compile(
    r"\b(?:mojibake|utf-?\s?(?:7|8|16|32)|unicode|latin-?1|iso-?8859|cp-?125\d|windows-125\d|charsets?"
    r"|character sets?|code ?pages?"
    r"|(?:text|character|wrong|file|bad|double)[- ](?:encod|decod)\w+|(?:en|de)code\(|encoding (?:error|problem|issue"
    r"|of|is)s?|кодировк\w+)\b"
    r"|乱码|文字化け|字符编码",
    re.IGNORECASE,
)
_SUSPECT_START = re.compile("[\u0080-\u009f\u00ac\u00c2-\u00f4\u0102\u0139\u0393\u0420\u0421\u0432\u201a\u221a├┬]")
"""What a match of `_SUSPECT` begins with: looking for it first is five times as fast."""
_SHOWN = 24
"""Characters shown on both sides of the first difference."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags what looks wrong but was left alone, and replacement characters."""
    text = subject.whole
    if text.isascii():
        return []
    if "\ufffd" in text and not _SPEAKS_OF_ENCODINGS.search(text):
        count = text.count("\ufffd")
        lost = "1 character was" if count == 1 else f"{count} characters were"
        return [Verdict("mojibake", "flag", f"{lost} lost in decoding (U+FFFD)")]
    if _is_suspect(text) and _SPEAKS_OF_ENCODINGS.search(text) and (fixed := _fix()(text)) != text:
        return [Verdict("mojibake", "flag", f"{_difference(text, fixed)}, but the text speaks of encodings")]
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Text that was certainly decoded wrongly, decoded rightly; texts about encodings are left alone."""
    changes: list[tuple[str, str]] = []

    def fixed(text: str) -> str:
        if not _is_suspect(text) or _SPEAKS_OF_ENCODINGS.search(text):
            return text
        better = _fix()(text)
        if better != text:
            changes.append((text, better))
        return better

    repaired = rewritten(record, fixed)
    if repaired is record or any(_SPEAKS_OF_ENCODINGS.search(turn.content) for turn in record.messages):
        return []
    return [Repair(repaired, "mojibake", _difference(*changes[0]))]


def _is_suspect(text: str) -> bool:
    if text.isascii():
        return False
    return any(_SUSPECT.match(text, found.start()) for found in _SUSPECT_START.finditer(text))


@cache
def _fix() -> Callable[[str], str]:
    """ftfy's repair of encodings alone, without its guesses."""
    import ftfy  # 15 ms: its tables are built at import

    settings = ftfy.TextFixerConfig(
        replace_lossy_sequences=False, restore_byte_a0=True, decode_inconsistent_utf8=True, unescape_html=False
    )

    def fix(text: str) -> str:
        return str(ftfy.fixes.fix_c1_controls(ftfy.fix_encoding(text, settings)))

    return fix


def _difference(before: str, after: str) -> str:
    """Both texts around the first character that differs."""
    start = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(after))
    start = max(0, start - _SHOWN // 2)
    return f"{_excerpt(before, start)} became {_excerpt(after, start)}"


def _excerpt(text: str, start: int) -> str:
    end = start + 2 * _SHOWN
    shown = ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
    return repr(shown)


FILTER = Filter("mojibake", ("mojibake",), check, repair)
