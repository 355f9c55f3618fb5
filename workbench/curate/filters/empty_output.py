"""`empty_output`: there is nothing to learn.

    user: "Name a prime."   assistant: ""                ->  drop  empty_output
    user: "Name a prime."   assistant: "N/A"             ->  drop  empty_output
    prompt: "Name a prime."  chosen: "7"  rejected: ""   ->  flag  empty_rejected
    user: "Name a prime."   assistant: "7"               ->  nothing: short is not empty
    user: "Weather?"        assistant: "" + a tool call  ->  nothing: the call is the answer
"""

from __future__ import annotations

from workbench.core.config import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.normalise import normalised

_SAYS_NOTHING = frozenset({"", "n/a", "<nooutput>", "<no output>", "nooutput", "no output"})


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops records whose answer is blank or only says that there is none; flags a blank rejected ending."""
    rejected = subject.record.rejected
    verdicts = []
    if normalised(subject.answer) in _SAYS_NOTHING and not subject.calls_tools:
        shown = f"says only {subject.answer.strip()!r}" if subject.answer.strip() else "is empty"
        verdicts.append(Verdict("empty_output", "drop", f"the answer {shown}"))
    if rejected and not rejected.content.strip() and not rejected.tool_calls:
        verdicts.append(Verdict("empty_rejected", "flag", "the rejected ending is empty"))
    return verdicts


FILTER = Filter("empty_output", check)
