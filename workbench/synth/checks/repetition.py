"""`repetition`: the answer does not go round in circles.

    "It is. It is. It is. It is. It is."   ->  share of repeated 4-grams 0.71: fails at 0.3
"""

from __future__ import annotations

from workbench.core.records import Check
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft
from workbench.text.shingles import ngrams, tokens

_NGRAM = 4
_MOST = 0.3


def check(draft: Draft, desk: Desk) -> Check:
    """Score: share of the answer's word 4-grams that occurred before in it; passes up to 0.3."""
    grams = ngrams(tokens(draft.answer), _NGRAM)
    share = 1 - len(set(grams)) / len(grams) if grams else 0.0
    return Check(name="repetition", passed=share <= _MOST, score=share, threshold=_MOST)
