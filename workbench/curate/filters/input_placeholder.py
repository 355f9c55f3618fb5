"""`input_placeholder`: a note that there is no input, in the place of the input.

    user: "Name a river.\\n<noinput>"          ->  repair  input_placeholder: "Name a river."
    user: "Name a river.\\nN/A"                ->  repair  input_placeholder: "Name a river."
    user: "Translate this word.\\nNone"        ->  nothing: the word may be the input
    user: "Pick one:\\nRed\\nGreen\\nNone"       ->  nothing: not the whole input

`<noinput>`, "No input" and their like go wherever they are the last line. Words that mean something else too (N/A,
none, null) go only if they are all that follows the first line, and if that line neither points at an input nor asks
about such words.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten

_NO_INPUT = re.compile(
    r"(?:###? ?)?(?:input\s?:\s{0,8})?"
    r"(?:[<\[({]\s?no[ _-]?input(?: (?:needed|required|given|provided|necessary))?\s?[.]?\s?[>\])}]"
    r"|no ?input(?: (?:is )?(?:needed|required|given|provided|necessary))?"
    r"|[<\[(（]?(?:无输入|無輸入|没有输入|沒有輸入)[>\])）]?)[.。]?\Z",
    re.IGNORECASE,
)
_SAYS_NOTHING = re.compile(
    r"(?:input\s?:\s{0,8})?(?:[<\[(]?(?:n/a|none|null|nan|nil|empty|not applicable)[>\])]?|无|無)[.。]?\Z",
    re.IGNORECASE,
)
_NEEDS_INPUT = re.compile(
    r"[:：]\s*\Z|\b(?:following|given|below|above|this|these|that|those|provided|supplied|it|input|abbreviation"
    r"|acronym|word|words|term|terms"
    r"|phrase|sentence|text|passage|value|values|string|list|variable|option|options|type|keyword|data|null|none|nan"
    r"|nil|n/a)\b"
    r"|以下|下面|给定|給定|这|這|该|該",
    re.IGNORECASE,
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Nothing: what can be wrong is repaired."""
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """The user's turns without a last line that only says that there is no input."""
    if record.kind == "document":
        return []
    notes: list[str] = []

    def noteless(text: str) -> str:
        instruction, _, last = text.rstrip().rpartition("\n")
        if instruction.strip() and len(last) < 80 and _is_note(instruction.strip(), last.strip()):
            notes.append(last.strip())
            return instruction.rstrip()
        return text

    repaired = rewritten(record, noteless, roles=("user",))
    return [Repair(repaired, "input_placeholder", f"removed {notes[0]!r}")] if notes else []


def _is_note(instruction: str, last: str) -> bool:
    if _NO_INPUT.match(last):
        return True
    return bool(_SAYS_NOTHING.match(last)) and "\n" not in instruction and not _NEEDS_INPUT.search(instruction)


FILTER = Filter("input_placeholder", ("input_placeholder",), check, repair)
