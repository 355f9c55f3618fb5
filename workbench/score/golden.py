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
from typing import Literal

from workbench.core.rates import wilson
from workbench.core.results import Interval, JudgeTrust, PeopleAgreement
from workbench.core.suites import Suite, SuiteDocument
from workbench.score.judging.agreement import NOMINAL, alpha_interval, kappa_interval, level
from workbench.score.judging.length import length_correlation
from workbench.score.turns import joined, questions, reference
from workbench.text.normalise import normalised

Verdict = float | None
"""Which answer of a pair won: 0 the first, 1 the second, 0.5 neither; None without a verdict."""


@dataclass(frozen=True, slots=True)
class GoldenPair:
    """A right and a wrong answer to one prompt."""

    doc_hash: str
    occurrence: int
    prompt: str
    answers: tuple[str, str]
    right: Literal[0, 1]
    """Position of the right answer in `answers`: each in half of the pairs, 0 in one more if their number is odd."""


@dataclass(frozen=True, slots=True)
class PairCalls:
    """What a judge said of one pair: preference for the answer shown second, in both orders; None without a verdict.

    With repeats their mean."""

    in_order: float | None
    swapped: float | None

    def winners(self) -> tuple[Verdict, Verdict]:
        """The winner of each call."""
        return _winner(self.in_order, second=1), _winner(self.swapped, second=0)

    def verdict(self) -> Verdict:
        """The winner both orders agree on; a tie if they disagree."""
        first, second = self.winners()
        if first is None or second is None:
            return None
        return first if first == second else 0.5

    def soft(self) -> float | None:
        """Mean preference for the second answer of the pair over both orders."""
        if self.in_order is None or self.swapped is None:
            return None
        return (self.in_order + 1 - self.swapped) / 2

    def win(self) -> float | None:
        """The same, a tie where the orders contradict each other."""
        if self.in_order is None or self.swapped is None:
            return None
        return 0.5 if (self.in_order - 0.5) * (0.5 - self.swapped) < 0 else self.soft()


@dataclass(frozen=True, slots=True)
class Calls:
    """How the judge's calls went, for the report."""

    judge: str
    total: int
    unread: int
    """Replies without a verdict in them."""
    failed: tuple[str, ...]
    """Reasons of the calls that were not answered."""
    repeats: int = 1
    models: tuple[str, ...] = ()
    """Models that answered, by the server's own word."""
    worded: int = 0
    """Replies without the probabilities that were asked for: their words were read."""


def golden_pairs(documents: Sequence[SuiteDocument], suite: Suite, count: int, seed: int) -> list[GoldenPair]:
    """At most `count` pairs, drawn by the seed. Documents without prompt or reference, and copies, give none."""
    usable = [found for found in documents if _question(found) and _reference(found)]
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
        right, wrong = _reference(document), _reference(stranger)
        # drawn order already is random, so every second one balances the positions exactly
        answers, position = ((right, wrong), 0) if len(pairs) % 2 == 0 else ((wrong, right), 1)
        pairs.append(
            GoldenPair(
                doc_hash=document.doc_hash,
                occurrence=document.occurrence,
                prompt=_question(document),
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
    people: PeopleAgreement | None = None,
    min_ratings: int = 30,
    repeat_inconsistent: Interval | None = None,
) -> JudgeTrust:
    """Agreement, kappa and position effects of a judge; trusted if kappa's lower limit is enough.

    `people` decide where they rated `min_ratings` contests; else the golden set does. A pair without a verdict, or with
    verdicts that change with the order, counts against the judge. Of several models that answered nobody knows which
    one will judge the arms: none is trusted.
    """
    verdicts = [found.verdict() for found in said]
    right = [float(pair.right) for pair in pairs]
    agreed = sum(verdict == truth for verdict, truth in zip(verdicts, right, strict=True))
    kappa = kappa_interval(right, verdicts, seed, NOMINAL)
    both = [found.winners() for found in said if None not in found.winners()]
    decided = [call for found in said for call in (found.in_order, found.swapped) if call is not None and call != 0.5]
    by_people = people is not None and people.contests >= min_ratings
    decisive = people.kappa if people is not None and by_people else kappa
    trusted = (by_people or bool(pairs)) and decisive.low >= min_kappa and len(calls.models) <= 1
    against = f"people's ratings of {people.contests} pairs" if people is not None and by_people else "the golden set"
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
        reasons=(*_reasons(against, bool(pairs) or by_people, decisive, calls, min_kappa), *warnings),
        measured_against="people" if by_people else "golden set",
        people=people,
        alpha=alpha_interval([(truth, level(verdict)) for truth, verdict in zip(right, verdicts, strict=True)], seed),
        length_correlation=_length_effect(pairs, said),
        repeats=calls.repeats,
        repeat_inconsistent=repeat_inconsistent,
        models=calls.models,
    )


def named(models: Sequence[str]) -> str:
    """Names for a sentence, the first three."""
    more = f" and {len(models) - 3} more" if len(models) > 3 else ""
    return (", ".join(models[:3]) if more else " and ".join(models)) + more


def troubles(calls: Calls) -> list[str]:
    """What went wrong with calls, in words."""
    said = []
    if calls.unread:
        said.append(f"{calls.unread} of {calls.total} replies hold no verdict")
    if calls.failed:
        kinds = ", ".join(f"{reason} {calls.failed.count(reason)}" for reason in dict.fromkeys(calls.failed))
        said.append(f"{len(calls.failed)} of {calls.total} calls failed: {kinds}")
    if calls.worded:
        said.append(
            f"{calls.worded} of {calls.total} replies came without the log-probabilities that were asked for: their "
            "words count as certain"
        )
    return said


def _length_effect(pairs: Sequence[GoldenPair], said: Sequence[PairCalls]) -> Interval | None:
    """Preference for the longer answer, where length says nothing about which is right."""
    told = [
        (preference, len(pair.answers[1]) - len(pair.answers[0]))
        for pair, found in zip(pairs, said, strict=True)
        if (preference := found.soft()) is not None
    ]
    return length_correlation([preference for preference, _ in told], [gap for _, gap in told])


def _reasons(against: str, measurable: bool, kappa: Interval, calls: Calls, min_kappa: float) -> list[str]:
    reasons = []
    if not measurable:
        reasons.append("no golden pair could be made: the suite's documents hold no two different references")
    elif kappa.low < min_kappa:
        reasons.append(
            f"kappa against {against} is {kappa.value:.2f}, between {kappa.low:.2f} and {kappa.high:.2f}: "
            f"its lower limit does not reach {min_kappa:g}"
        )
    if len(calls.models) > 1:
        reasons.append(
            f"the server answered as {named(calls.models)}: the model changed during the check; pin a dated model in "
            "the endpoint and run again"
        )
    return [*reasons, *troubles(calls)]


def _winner(preference: float | None, second: Literal[0, 1]) -> Verdict:
    if preference is None or preference == 0.5:
        return preference
    return float(second if preference > 0.5 else 1 - second)


def _differs(left: SuiteDocument, right: SuiteDocument, cluster: str | None) -> bool:
    """Another text, and not of the same cluster of dependent documents."""
    if normalised(_reference(left)) == normalised(_reference(right)):
        return False
    if cluster is None or left.fields.get(cluster) is None:
        return True
    return bool(left.fields[cluster] != right.fields.get(cluster))


def _question(document: SuiteDocument) -> str:
    return joined(questions(document.fields)).strip()


def _reference(document: SuiteDocument) -> str:
    return reference(document.fields).strip()


def _draw(seed: int, document: SuiteDocument, purpose: str) -> str:
    name = f"{seed}\x1f{purpose}\x1f{document.doc_hash}\x1f{document.occurrence}"
    return hashlib.sha256(name.encode()).hexdigest()
