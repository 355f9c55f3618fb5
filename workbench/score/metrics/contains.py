"""Does the answer contain a right one? "It is Lima, of course." against "Lima" is 1; "Limassol" is not Lima."""

from __future__ import annotations

import re

from workbench.score.metrics.metric import Answered, Metric, Reading, Settings, each


def _measure(answer: Answered, settings: Settings) -> Reading:
    flags = re.IGNORECASE if settings.get("ignore_case", False) else re.NOFLAG
    patterns = [rf"(?<!\w){re.escape(text.strip())}(?!\w)" for text in answer.references if text.strip()]
    if not patterns:
        return Reading(None, error="the right answer is empty")
    return Reading(float(any(re.search(pattern, answer.text, flags) for pattern in patterns)))


CONTAINS = Metric("contains", each(_measure), settings={"ignore_case": bool})
