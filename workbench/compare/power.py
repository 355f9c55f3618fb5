"""Before training: is there any chance that a suite can show a loss as small as its margin?

refuse_small_margins([agreement: margin 0.05], {"agreement": 120})
-> ["Suite agreement: 120 documents find losses from 8.1 points up, and the margin is 5 points. ..."]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from workbench.compare.statistics.effect import detectable_effect, documents_needed
from workbench.core.suites import Suite

ASSUMED_FLIP_RATE = 0.10
"""Share of answers that change between a base and its fine-tune: 6 to 20% is usual."""
ASSUMED_NATS_SD = 0.25
"""Standard deviation over documents of the difference in nats per token."""
ASSUMED_WIN_SD = 0.40
"""Standard deviation over documents of the judged preference; 0.5 without any tie."""

_BYTES_PER_TOKEN = 4
"""Of English text, roughly."""


def refuse_small_margins(
    suites: Sequence[Suite],
    documents: Mapping[str, int],
    *,
    alpha: float = 0.05,
    flip_rate: float = ASSUMED_FLIP_RATE,
    nats_sd: float = ASSUMED_NATS_SD,
) -> list[str]:
    """A plain sentence for every gated suite whose margin lies below the effect its documents can detect.

    `documents` holds the number of documents per suite; a suite that is not in it is left out. Effects are for 80%
    power at two-sided `alpha` and independent documents: clusters make them larger. Frozen regression items are judged
    by allowed failures and have no margin of this kind. An empty list means that nothing stands in the way.
    """
    sentences = []
    for suite in suites:
        n = documents.get(suite.name)
        if n is None or not suite.gated or suite.kind == "regression":
            continue
        if n < 1:
            sentences.append(f"Suite {suite.name}: there are no documents, so the run could not pass.")
            continue
        spread, assumption = _spread(suite, flip_rate, nats_sd)
        effect = detectable_effect(spread / math.sqrt(n), alpha)
        if effect > suite.margin:
            sentences.append(_sentence(suite, n, effect, assumption))
    return sentences


def _spread(suite: Suite, flip_rate: float, nats_sd: float) -> tuple[float, str]:
    """Standard deviation of a document's difference, and the words for what it rests on."""
    if suite.counts_tokens:
        return nats_sd, f"if the difference varies by {nats_sd:g} nats per token between documents"
    if suite.primary_metric == "bits_per_byte":
        bits_sd = nats_sd / math.log(2) / _BYTES_PER_TOKEN
        return bits_sd, f"if the difference varies by {bits_sd:.2g} bits per byte between documents"
    if suite.kind == "judge":
        return ASSUMED_WIN_SD, f"if the preference varies by {ASSUMED_WIN_SD:g} between documents"
    return math.sqrt(flip_rate), f"if {flip_rate:.0%} of the answers change"


def _sentence(suite: Suite, n: int, effect: float, assumption: str) -> str:
    found = f"{n} documents find losses from {_size(suite, effect)} up, {assumption}"
    needed = documents_needed(effect, n, suite.margin)
    more = f"give it {needed} documents, " if needed else ""
    return (
        f"Suite {suite.name}: {found}, and the margin is {_size(suite, suite.margin)}; "
        f"{more}raise its margin to {math.ceil(effect * 1000) / 1000:g} or set `gated: false`."
    )


def _size(suite: Suite, value: float) -> str:
    if suite.counts_tokens:
        return f"{value:.3g} nats per token"
    return f"{value:.3g} bits per byte" if suite.primary_metric == "bits_per_byte" else f"{value * 100:.3g} points"
