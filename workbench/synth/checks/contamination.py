"""`contamination`: no evaluation document in a candidate, whole or for the greater part.

    suite asks "Which planet of the solar system has the shortest day?"   candidate asks the same   ->  fails

Candidates are searched as curated rows are: what drops a row rejects a candidate, what flags a row is left to
`evaluation_overlap`.
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft


def check(draft: Draft, desk: Desk) -> Check:
    """Score: largest share of an evaluation document among those that reject the candidate; 0 if none does."""
    worst = max(desk.leaks(draft, "drop"), key=lambda leak: leak.share, default=None)
    return Check(
        name="contamination",
        passed=worst is None,
        score=worst.share if worst else 0.0,
        threshold=desk.evaluation.data.settings.drop_at,
        detail=worst.detail if worst else "",
    )
