"""`bracket_placeholder`: a gap in brackets that the reader is to fill in.

    assistant: "Dear [Recipient's Name], ... Sincerely, [Your Name]"   ->  flag  bracket_placeholder
    user: "Write a template." assistant: "Dear [Name],"                ->  nothing: asked for
    "See [Your Name](https://...)", "rows[name]", "[1]", "[x]"         ->  nothing: links, code, references, boxes
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import without_code

_GAP = re.compile(
    r"(?<![\w)\]\"'`])\[(?:(?:insert|enter|add|fill in|your|my|the|recipient|recipient['’]s|sender|sender['’]s"
    r"|customer|client|company|employer|hiring|manager"
    r"|candidate|employee|contact|event|project|product|job|street|website|friend|guest|school|university|team"
    r"|department|city|phone|email"
    r"|start|end|current|today['’]s|first|last|full) ?(?:[\w'’/,&-]+ ?){0,5}"
    r"|name|names|date|time|address|location|title|position|company|city|state|phone|email|signature|recipient|sender"
    r"|link|url|number|amount)\](?![(\[])",
    re.IGNORECASE,
)
_ASKED_FOR = re.compile(
    r"\b(?:templates?|placeholders?|fill[- ]in|blanks?|brackets?|boilerplate|mad libs?)\b", re.IGNORECASE
)
_SPEAKS = re.compile(r"\[(?:the|my) |\[(?:end|start|time|number)\]", re.IGNORECASE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags answers with gaps that the prompt neither has nor asks for."""
    if subject.record.kind == "document" or "[" not in subject.answer:
        return []
    gaps = [found.group() for found in _GAP.finditer(without_code(subject.answer)) if not _SPEAKS.match(found.group())]
    if not gaps:
        return []
    prompt = subject.record.prompt()
    gaps = [gap for gap in dict.fromkeys(gaps) if gap not in prompt]
    if not gaps or _ASKED_FOR.search(prompt):
        return []
    return [Verdict("bracket_placeholder", "flag", f"{', '.join(gaps[:3])} in the answer")]


FILTER = Filter("bracket_placeholder", ("bracket_placeholder",), check)
