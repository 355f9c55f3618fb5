"""`endings`: a preference between two endings that are the same.

    chosen: "Lima"   rejected: "Lima"      ->  drop  identical_endings: nothing to prefer
    chosen: "Lima."  rejected: " lima. "   ->  flag  ends_equal: but for case and white space
    chosen: "Lima"   rejected: "Cusco"     ->  nothing
"""

from __future__ import annotations

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.normalise import same_text


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops preferences whose endings are equal; flags those whose endings differ in spelling alone."""
    chosen, rejected = subject.record.chosen, subject.record.rejected
    if chosen is None or rejected is None or chosen.tool_calls != rejected.tool_calls:
        return []
    if chosen.content.strip() == rejected.content.strip():
        return [Verdict("identical_endings", "drop", "the chosen and the rejected ending are the same")]
    if same_text(chosen.content) == same_text(rejected.content):
        return [Verdict("ends_equal", "flag", "the endings differ in case, width and white space alone")]
    return []


FILTER = Filter("endings", ("identical_endings", "ends_equal"), check)
