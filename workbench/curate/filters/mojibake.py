"""`mojibake`: text that was decoded with the wrong encoding.

    "Itâ€™s a cafÃ©"              ->  repair  mojibake: "Itâ€™s a cafÃ©" became "It’s a café"
    "It\\x92s"                     ->  repair  mojibake: "It\\x92s" became "It’s"
    "What is â€™ in UTF-8?"        ->  flag    mojibake: the text speaks of encodings, perhaps it means what it says
    "Ã is A with a tilde."         ->  flag    mojibake: à or Ã? A letter by itself is no evidence
    "The caf\\ufffd is closed."    ->  flag    mojibake: a character was lost, nobody can bring it back

ftfy decides, and it decides only where the characters would make no sense in any language. What it would have to guess
(`replace_lossy_sequences`) stays as it is. One place at least must be certain: it stands beside a letter or a digit,
or nobody speaks of letters or of what something means, and it is not Ã or Â before a space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
_SPEAKS_OF_CHARACTERS = re.compile(
    r"\b(?:letters?|characters?|symbols?|signs?|alphabet\w*|tilde|circumflex|diacritics?|accents?|accented|umlauts?"
    r"|mean(?:s|ing)?|stands? for|entit(?:y|ies)|buchstaben?|zeichen|bedeute[tn]|zirkumflex|letras?|caracter(?:es)?"
    r"|significa|signifie|lettres?|caractères?|acentos?|símbolos?|буквы?|символы?|знаки?)\b|字符|文字|字母",
    re.IGNORECASE,
)
_SUSPECT_START = re.compile("[\u0080-\u009f\u00ac\u00c2-\u00f4\u0102\u0139\u0393\u0420\u0421\u0432\u201a\u221a├┬]")
"""What a match of `_SUSPECT` begins with: looking for it first is five times as fast."""
_REST = re.compile(f"\\A[{_CONTINUATION}]{{1,2}}")
"""What may follow the first two characters of a sequence."""
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
    if not _is_suspect(text):
        return []
    if _SPEAKS_OF_ENCODINGS.search(text):
        why = "the text speaks of encodings"
    elif not _is_certain(text, text):
        why = "it may be right"
    else:
        return []
    fixed = _fix()(text)
    return [Verdict("mojibake", "flag", f"{_difference(text, fixed)}, but {why}")] if fixed != text else []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Text that was certainly decoded wrongly, decoded rightly; texts about encodings are left alone."""
    changes: list[tuple[str, str]] = []
    turns = (*record.messages, record.chosen, record.rejected)
    said = [record.text or "", *(turn.content for turn in turns if turn is not None)]

    def fixed(text: str) -> str:
        if not _is_suspect(text) or _SPEAKS_OF_ENCODINGS.search(text) or not _is_certain(text, "\n".join(said)):
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
    return next(_suspects(text), None) is not None


def _suspects(text: str) -> Iterator[re.Match[str]]:
    for found in _SUSPECT_START.finditer(text):
        if suspect := _SUSPECT.match(text, found.start()):
            yield suspect


def _is_certain(text: str, said: str) -> bool:
    """Whether any place of `text` cannot be right; `said` is everything in the record."""
    alone = False
    for suspect in _suspects(text):
        if suspect.group().endswith(" "):
            continue
        if _touches_a_word(text, suspect):
            return True
        alone = True
    return alone and not _SPEAKS_OF_CHARACTERS.search(said)


def _touches_a_word(text: str, suspect: re.Match[str]) -> bool:
    """Whether letters or digits stand on either side; digits also across a space, as in `20 Â°`."""
    if len(suspect.group()) == 1:
        return True
    before = text[max(0, suspect.start() - 2) : suspect.start()]
    after = _REST.sub("", text[suspect.end() : suspect.end() + 4])
    return before[-1:].isalnum() or after[:1].isalnum() or before.strip().isdigit() or after.strip()[:1].isdigit()


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
