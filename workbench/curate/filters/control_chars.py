"""`control_chars`: characters that nobody sees and a model would learn.

    "a\\x00b\\x1b[31mred\\x1b[0m"      ->  repair  control_chars: "abred", removed U+0000 and 2 escape sequences
    "zero\\u200bwidth\\ufeff"         ->  repair  control_chars: "zerowidth"
    "👨\\u200d👩\\u200d👧", Persian "می\\u200cخواهم"  ->  nothing: there they are part of the spelling

Out go C0 and C1 controls except tab and line feed (a form feed becomes a line feed), terminal escape sequences with
all that belongs to them, byte order marks, soft hyphens, noncharacters, and invisible tags. Joiners stay in emoji and
in the scripts that are spelled with them, zero-width spaces in scripts that are written without spaces, direction marks
in texts with right-to-left script; direction overrides stay nowhere.
"""

from __future__ import annotations

import re
from collections import Counter

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten

_ASCII_CONTROLS = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
_ESCAPE_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,32}[ -/]{0,8}[@-~]|\x1b\\][^\x07\x1b\n]{0,1000}(?:\x07|\x1b\\\\)|\x1b[()*+][0-9A-Z]"
    "|\x1b[=>78cDEHMNOZ]"
)
_PAGE_BREAK = re.compile("[\x0b\x0c]")
_SEPARATES_NOTHING = (
    "\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u00ad\u2060-\u2064\u202d\u202e\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
)
_TAGS = "\U000e0000-\U000e007f"
_JOINING = (  # Arabic to N'Ko, the Indic scripts, Tibetan and Myanmar, Khmer, Mongolian, Javanese and its neighbours
    "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1aad\ua840-\ua87f\ua980-\ua9df\uaa60-\uaa7f\ufb50-\ufdff\ufe70-\ufefc"
    "\U00011000-\U000114df"
)
_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\uaa60-\uaa7f"
_EMOJI = "\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_INVISIBLE = re.compile(f"[{_SEPARATES_NOTHING}\u200b-\u200f\u202a-\u202c\u2066-\u2069{_TAGS}]")
_HARMFUL = re.compile(
    f"[{_SEPARATES_NOTHING}]"
    f"|(?<![{_UNSPACED}])\u200b(?![{_UNSPACED}])"
    f"|(?<![{_JOINING}])\u200c(?![{_JOINING}])"
    f"|(?<![{_JOINING}{_EMOJI}])\u200d|\u200d(?![{_JOINING}{_EMOJI}])(?<![{_JOINING}]\u200d)"
    f"|(?<![\U0001f3f4{_TAGS}])[{_TAGS}]+"
)
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202c\u2066-\u2069]")


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Nothing: what can be wrong is repaired."""
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Everything that is said, without the characters that say nothing."""
    removed: Counter[str] = Counter()

    def clean(text: str) -> str:
        return _cleaned(text, removed) if _is_suspect(text) else text

    repaired = rewritten(record, clean)
    if repaired is record:
        return []
    named = [f"{count} {name}" for name, count in removed.most_common(5)]
    more = ", ..." if len(removed) > len(named) else ""
    return [Repair(repaired, "control_chars", f"removed {', '.join(named)}{more}")]


def _is_suspect(text: str) -> bool:
    """Whether there is anything to look at; for ASCII in a fraction of what a regular expression takes."""
    if text.isascii():
        return len(text.encode().translate(None, _ASCII_CONTROLS)) < len(text)
    return _INVISIBLE.search(text) is not None


def _cleaned(text: str, removed: Counter[str]) -> str:
    def gone(found: re.Match[str]) -> str:
        removed[f"U+{ord(found.group()[0]):04X}"] += len(found.group())
        return ""

    def page(found: re.Match[str]) -> str:
        removed[f"U+{ord(found.group()):04X}"] += 1
        return "\n"

    text, sequences = _ESCAPE_SEQUENCE.subn("", text)
    if sequences:
        removed["escape sequences" if sequences > 1 else "escape sequence"] += sequences
    text = _HARMFUL.sub(gone, _PAGE_BREAK.sub(page, text))
    return text if _RIGHT_TO_LEFT.search(text) else _DIRECTIONS.sub(gone, text)


FILTER = Filter("control_chars", ("control_chars",), check, repair)
