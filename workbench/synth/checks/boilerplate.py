"""`boilerplate`: no refusals, no talk about being a model, no control tokens.

    "I'm sorry, but I cannot help with that."   ->  fails: "I'm sorry"
    "Lima.<|im_end|>"                           ->  fails: "<|im_end|>"
"""

from __future__ import annotations

import re

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_OPENING = re.compile(
    r"(?:i['’]?m sorry|i am sorry|i apologi[sz]e|sorry, |i (?:can(?:not|['’]t)|am unable to|am not able to) "
    r"(?:help|assist|answer|provide|fulfil)|as an ai\b|as a (?:large )?language model)",
    re.IGNORECASE,
)
_ANYWHERE = re.compile(r"<\|[A-Za-z_]{2,40}\|>|\bas an ai (?:language )?model\b|\[/?INST\]", re.IGNORECASE)


def check(draft: Draft, desk: Desk) -> Check:
    """Searches question and answer."""
    found = next(
        (
            hit
            for text in (draft.answer, draft.question)
            if (hit := _OPENING.match(text.strip()) or _ANYWHERE.search(text)) is not None
        ),
        None,
    )
    return Check(name="boilerplate", passed=found is None, detail=f"says {found[0]!r}" if found else "")
