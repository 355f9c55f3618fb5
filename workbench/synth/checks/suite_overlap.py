"""`suite_overlap`: thirteen words in a row in common with a suite document are for a person to look at.

    a quotation that suite and candidate share   ->  fails, which means review, not rejection
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft

_NGRAM = 13


def check(draft: Draft, desk: Desk) -> Check:
    """Passes if no word 13-gram is shared; shorter suite documents are left to `contamination`."""
    matches = desk.suites.by_13_grams.search(f"{draft.question}\n{draft.answer}")
    found = next((match for match in matches if match.words >= _NGRAM), None)
    detail = ""
    if found is not None:
        document = desk.suites.texts[found.needle]
        detail = f"document {document.doc_hash} of suite {document.suite}: {found.span[:160]!r}"
    return Check(name="suite_overlap", passed=found is None, detail=detail)
