"""`merged_instruction`: two tasks in one example, as a generator numbered them and nobody took them apart.

    assistant: "It depends.\\n##\\n18. Instruction: Find the noun.\\n18. Input:\\nApple\\n18. Output:\\nApple"
        ->  drop  merged_instruction
    assistant: "Lima.\\n\\nInstruction: Name a river.\\nInput: Peru\\nOutput: Amazon"   ->  drop  merged_instruction
    assistant: "1. Instruction: Heat it.\\n2. Instruction: Stir."                      ->  nothing: a list
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import without_code

_NUMBERED = re.compile(r"\n\s{0,8}(?:#{2,3}\s{0,8})?(\d{1,3})[.)] ?Instruction ?:", re.IGNORECASE)
_BARE = re.compile(
    r"\n[ \t]{0,4}Instruction ?:[^\n]*\n(?:[^\n]*\n){0,30}?[ \t]{0,4}Output ?:", re.IGNORECASE
)
_ASKED_FOR = re.compile(
    r"\b(?:instructions?|tasks?|prompts?|examples?|few-shot|templates?|datasets?|alpaca)\b", re.IGNORECASE
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops conversations in whose answer, or last question, another numbered task begins."""
    if subject.record.kind == "document" or "instruction" not in subject.lowered:
        return []
    for place, text in (("answer", without_code(subject.answer)), ("prompt", subject.question or "")):
        if found := _numbered(text):
            return [Verdict("merged_instruction", "drop", f"{found!r} in the {place}")]
    if _BARE.search(without_code(subject.answer)) and not _ASKED_FOR.search(subject.question or ""):
        return [Verdict("merged_instruction", "drop", "'Instruction:' and 'Output:' after the answer")]
    return []


def _numbered(text: str) -> str | None:
    """The number and heading of another task, unless it is one step of a numbered list."""
    found = _NUMBERED.search(text)
    if found is None or not text[: found.start()].strip():
        return None
    number = int(found.group(1))
    neighbours = re.search(rf"(?:\A|\n)\s{{0,8}}(?:{number - 1}|{number + 1})[.)] ", text)
    has_output = re.search(rf"\n\s{{0,8}}{number}[.)] ?(?:Input|Output) ?:", text, re.IGNORECASE)
    return found.group().strip() if has_output or not neighbours else None


FILTER = Filter("merged_instruction", ("merged_instruction",), check)
