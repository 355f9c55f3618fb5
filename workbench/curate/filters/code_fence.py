"""`code_fence`: a code block that was cut off.

    assistant: "Use this:\\n```python\\nprint(1)"              ->  drop  unclosed_code_fence
    document:  "Use this:\\n```python\\nprint(1)"              ->  flag  unclosed_code_fence: a piece of a page
    assistant: "Use this:\\n```python\\nprint(1)\\n```"         ->  nothing
    assistant: "Use ```print(1)``` or\\n```\\nprint(2)\\n```"   ->  nothing: the first is closed in its line
    assistant: "It is simple.\\n```"                          ->  flag  unclosed_code_fence: a stray fence
    user: "Go on:\\n```python\\nfor"  assistant: " x in y:\\n```"   ->  nothing: the prompt opened it
"""

from __future__ import annotations

import re
from typing import Literal

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import shape

_FENCE = re.compile(r"^[ \t>]{0,40}(?:[-*+] |\d{1,3}[.)] )?[ \t]{0,40}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers, and flags documents, in which the last code fence is never closed."""
    answer = subject.answer
    if "`" not in answer and "~" not in answer:
        return []
    opened = _open_fence(answer)
    if opened is None or _open_fence(subject.record.prompt()) is not None:
        return []
    is_stray = not answer[opened.end() :].strip()
    action: Literal["drop", "flag"] = "flag" if is_stray or subject.record.kind == "document" else "drop"
    return [Verdict("unclosed_code_fence", action, f"{opened.group().strip()[:40]!r} is never closed")]


def _open_fence(text: str) -> re.Match[str] | None:
    """The fence that is open at the end of `text`, as CommonMark pairs them (section 4.5).

    An even number of fences is taken for closed in any case: blocks nested in a block are common, and not what
    CommonMark makes of them. A first fence without a language, below code, closes a block that began earlier.
    """
    if "```" not in text and "~~~" not in text:
        return None
    opened: re.Match[str] | None = None
    for found in _FENCE.finditer(text):
        fence, info = found.group(1), found.group(2).strip()
        if opened is not None:
            opened = None if fence.startswith(opened.group(1)) and not info else opened
        elif fence[0] not in info:
            opened = found
    if opened is None or len(re.findall(f"{opened.group(1)[0]}{{3,}}", text)) % 2 == 0:
        return None
    before = text[: opened.start()]
    return None if not opened.group(2).strip() and "```" not in before and shape(before) == "code" else opened


FILTER = Filter("code_fence", ("unclosed_code_fence",), check)
