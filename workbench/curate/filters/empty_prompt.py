"""`empty_prompt`: an answer to nothing.

    user: " "   assistant: "Lima"                                   ->  drop  empty_prompt
    user: "..."   assistant: "Is there anything I can do?"          ->  nothing: somebody said something
"""

from __future__ import annotations

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops conversations whose last user turn is blank."""
    if subject.question is None or subject.question.strip():
        return []
    return [Verdict("empty_prompt", "drop", "the last user turn is empty")]


FILTER = Filter("empty_prompt", ("empty_prompt",), check)
