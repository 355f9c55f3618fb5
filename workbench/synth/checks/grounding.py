"""`grounding`: the answer's words come from the source.

    source "dedent removes leading whitespace"   answer "It removes tabs"   ->  1 of 3 words: fails at 0.8
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft
from workbench.text.shingles import tokens


def check(draft: Draft, desk: Desk) -> Check:
    """Score: share of the answer's words that the source has; passes from `synth.grounding_min`."""
    answer = tokens(draft.answer)
    source = set(tokens(draft.passage))
    missing = [word for word in answer if word not in source]
    share = 1 - len(missing) / len(answer) if answer else 1.0
    least = desk.synth.grounding_min
    passed = share >= least
    detail = "" if passed else "not in the source: " + ", ".join(dict.fromkeys(missing[:8]))
    return Check(name="grounding", passed=passed, score=share, threshold=least, detail=detail)
