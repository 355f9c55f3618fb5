"""`standalone`: the question makes sense to someone who has not seen the source.

    "What does the passage say about it?"   ->  fails: "the passage"
"""

from __future__ import annotations

import re

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_CODE = re.compile(r"`[^`]*`")
_POINTS_ELSEWHERE = re.compile(
    r"\b(?:the|this|that) (?:given |provided |above |following )?"
    r"(?:passage|text|excerpt|paragraph|article|author|section|snippet|context)\b"
    r"|\b(?:mentioned|described|shown|listed|discussed) (?:above|below|here)\b",
    re.IGNORECASE,
)


def check(draft: Draft, desk: Desk) -> Check:
    """Fails on words that point at a source; names in backticks are not searched."""
    found = _POINTS_ELSEWHERE.search(_CODE.sub("", draft.question))
    return Check(name="standalone", passed=found is None, detail=f"the question says {found[0]!r}" if found else "")
