"""The golden set, and what it says about a judge: may its verdicts count?

    suite document: {"prompt": "What does `len` do?", "reference": "Return the number of items in a container."}
    golden pair:    right "Return the number of items in a container."
                    wrong "Remove any common leading whitespace ..."      (another document's reference)

The set is made by rule, so it is synthetic and called so. A judge that fails it cannot tell an answer from another
question's; one that passes it is not thereby as good as people. Each document gives one pair, so pairs are independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.rates import wilson
from workbench.core.results import Interval, JudgeTrust
from workbench.core.suites import Suite, SuiteDocument
from workbench.text.normalise import normalised

_CONFIDENCE = 0.95
_RESAMPLES = 4999
_VERDICTS = (0, 1, "tie", "none")
Verdict = Literal[0, 1, "tie", "none"]
"""Which answer of a pair won in both orders; `tie` if the orders disagree, `none` if a call gave no verdict."""


@dataclass(frozen=True, slots=True)
class GoldenPair:
    """A right and a wrong answer to one prompt."""

    doc_hash: str
    occurrence: int
    prompt: str
    answers: tuple[str, str]
    right: Literal[0, 1]
    """Position of the right answer in `answers`: half of the pairs each."""


@dataclass(frozen=True, slots=True)
class PairCalls:
    """What a judge said of one pair: preference for the answer shown second, in both orders; None without a verdict."""

    in_order: float | None
    swapped: float | None

    def winners(self) -> tuple[Verdict, Verdict]:
        """The winner of each call, as a position in the pair."""
        return _winner(self.in_order, second=1), _winner(self.swapped, second=0)

    def verdict(self) -> Verdict:
        """The winner both orders agree on."""
        first, second = self.winners()
        if "none" in (first, second):
            return "none"
        return first if first == second else "tie"


@dataclass(frozen=True, slots=True)
class Calls:
    """How the judge's calls went, for the report."""

    judge: str
    total: int
    unread: int
    """Replies without a verdict in them."""
    failed: tuple[str, ...]
    """Reasons of the calls that were not answered."""


def golden_pairs(documents: Sequence[SuiteDocument], suite: Suite, count: int, seed: int) -> list[GoldenPair]:
    """At most `count` pairs, drawn by the seed. Documents without prompt or reference, and copies, give none."""
    usable = [found for found in documents if _text(found, "prompt") and _text(found, "reference")]
    usable.sort(key=lambda document: _draw(seed, document, "order"))
    pairs: list[GoldenPair] = []
    for place, document in enumerate(usable):
        if len(pairs) == count:
            break
        if document.occurrence:
            continue
        others = (usable[(place + step) % len(usable)] for step in range(1, len(usable)))
        stranger = next((other for other in others if _differs(document, other, suite.cluster)), None)
        if stranger is None:
            continue
        right, wrong = _text(document, "reference"), _text(stranger, "reference")
        # drawn order already is random, so every second one balances the positions exactly
        answers, position = ((right, wrong), 0) if len(pairs) % 2 == 0 else ((wrong, right), 1)
        pairs.append(
            GoldenPair(
                doc_hash=document.doc_hash,
                occurrence=document.occurrence,
                prompt=_text(document, "prompt"),
                answers=answers,
                right=0 if position == 0 else 1,
            )
        )
    return pairs


def measured_trust(
    pairs: Sequence[GoldenPair],
    said: Sequence[PairCalls],
    calls: Calls,
    *,
    suite: str,
    min_kappa: float,
    seed: int,
    warnings: Sequence[str] = (),
) -> JudgeTrust:
    """Agreement, kappa and position effects of a judge on the golden set; trusted if kappa's lower limit is enough.

    A pair without a verdict, or with verdicts that change with the order, counts against the judge.
    """
    verdicts = [found.verdict() for found in said]
    right = [pair.right for pair in pairs]
    agreed = sum(verdict == truth for verdict, truth in zip(verdicts, right, strict=True))
    kappa = kappa_interval(right, verdicts, seed)
    both = [found.winners() for found in said if "none" not in found.winners()]
    decided = [call for found in said for call in (found.in_order, found.swapped) if call is not None and call != 0.5]
    trusted = bool(pairs) and kappa.low >= min_kappa
    return JudgeTrust(
        judge=calls.judge,
        golden_set=f"{suite}: synthetic, {len(pairs)} references against another document's, made by rule",
        pairs=len(pairs),
        agreement=wilson(agreed, len(pairs)),
        kappa=kappa,
        required_kappa=min_kappa,
        position_inconsistent=wilson(sum(first != second for first, second in both), len(both)),
        first_preferred=wilson(sum(call < 0.5 for call in decided), len(decided)),
        parse_failures=calls.unread,
        calls=calls.total,
        trusted=trusted,
        reasons=(*_reasons(len(pairs), kappa, calls, min_kappa, trusted), *warnings),
    )


def cohen_kappa(right: Sequence[int], verdicts: Sequence[Verdict]) -> float:
    """Cohen's kappa (1960), unweighted: (observed - expected agreement) / (1 - expected); 1 if both are constant."""
    return float(_kappas(_table(right, verdicts)[None])[0])


def kappa_interval(right: Sequence[int], verdicts: Sequence[Verdict], seed: int) -> Interval:
    """Kappa with its 95% percentile bootstrap interval over pairs (4,999 resamples).

    Without a single disagreement every resample gives 1; then the lower limit is Wilson's, carried over to balanced
    positions (2 p - 1). Without pairs nothing is known: 0 in [-1, 1].
    """
    if not right:
        return Interval(value=0.0, low=-1.0, high=1.0)
    # 0.1 s: only the judge's node needs it
    import numpy as np

    table = _table(right, verdicts)
    value = cohen_kappa(right, verdicts)
    if value == 1.0:
        return Interval(value=1.0, low=2 * wilson(len(right), len(right)).low - 1, high=1.0)
    draws = np.random.default_rng(seed).multinomial(len(right), table.ravel() / len(right), size=_RESAMPLES)
    resampled = _kappas(draws.reshape(-1, *table.shape))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high))


def _table(right: Sequence[int], verdicts: Sequence[Verdict]) -> Any:
    """Counts by truth and verdict, `[4, 4] int64`; the truth is never `tie` or `none`."""
    import numpy as np

    table = np.zeros((len(_VERDICTS), len(_VERDICTS)), dtype=np.int64)
    for truth, verdict in zip(right, verdicts, strict=True):
        table[truth, _VERDICTS.index(verdict)] += 1
    return table


def _kappas(tables: Any) -> Any:
    """Kappa of each table, `[n, 4, 4] -> [n] float64`."""
    import numpy as np

    total = tables.sum(axis=(1, 2))
    observed = tables.trace(axis1=1, axis2=2) / total
    expected = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1) / total**2
    room = 1 - expected
    return np.where(room > 0, (observed - expected) / np.where(room > 0, room, 1), 1.0)


def _reasons(pairs: int, kappa: Interval, calls: Calls, min_kappa: float, trusted: bool) -> list[str]:
    reasons = []
    if pairs == 0:
        reasons.append("no golden pair could be made: the suite's documents hold no two different references")
    elif not trusted:
        reasons.append(
            f"kappa against the golden set is {kappa.value:.2f}, between {kappa.low:.2f} and {kappa.high:.2f}: "
            f"its lower limit does not reach {min_kappa:g}"
        )
    if calls.unread:
        reasons.append(f"{calls.unread} of {calls.total} replies hold no verdict")
    if calls.failed:
        kinds = ", ".join(f"{reason} {calls.failed.count(reason)}" for reason in dict.fromkeys(calls.failed))
        reasons.append(f"{len(calls.failed)} of {calls.total} calls failed: {kinds}")
    return reasons


def _winner(preference: float | None, second: Literal[0, 1]) -> Verdict:
    if preference is None:
        return "none"
    if preference == 0.5:
        return "tie"
    return second if preference > 0.5 else (0 if second == 1 else 1)


def _differs(left: SuiteDocument, right: SuiteDocument, cluster: str | None) -> bool:
    """Another text, and not of the same cluster of dependent documents."""
    if normalised(_text(left, "reference")) == normalised(_text(right, "reference")):
        return False
    if cluster is None or left.fields.get(cluster) is None:
        return True
    return bool(left.fields[cluster] != right.fields.get(cluster))


def _text(document: SuiteDocument, field: str) -> str:
    value = document.fields.get(field)
    return value.strip() if isinstance(value, str) else ""


def _draw(seed: int, document: SuiteDocument, purpose: str) -> str:
    name = f"{seed}\x1f{purpose}\x1f{document.doc_hash}\x1f{document.occurrence}"
    return hashlib.sha256(name.encode()).hexdigest()
