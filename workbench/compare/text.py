"""A comparison and its verdict as a table for the terminal.

base@nf4 -> candidate   (candidate, decides: passed)
suite                     n     before      after    change             95% CI  lost/won  noise  state
python-docs-perplexity  120      3.551      2.843    -0.708   -0.781 to -0.641                   improved
agreement               300      93.3%      92.0%      -1.3       -4.1 to 1.5       9/5      2  non-inferior
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.core.results import (
    Comparison,
    Interval,
    PairComparison,
    PairVerdict,
    SuiteComparison,
    SuiteVerdict,
    Verdict,
)
from workbench.core.wire import printable

_LEFT_ALIGNED = frozenset({"suite", "state"})


def render(comparison: Comparison, verdict: Verdict | None = None) -> str:
    """The table as plain text, the deciding pair first; control characters from names are shown, not sent."""
    states = {} if verdict is None else {_pair(entry): entry for entry in (verdict.decisive, *verdict.others)}
    ordered = sorted(comparison.pairs, key=lambda pair: pair.purpose != "candidate")
    blocks = ["\n".join(_block(pair, states.get(_pair(pair)), comparison.confidence)) for pair in ordered]
    if comparison.judge is not None:
        judge = comparison.judge
        trusted = "trusted" if judge.trusted else f"not trusted: {'; '.join(judge.reasons) or 'agreement too low'}"
        blocks.append(_clean(f"judge {judge.judge}: {trusted}"))
    if comparison.not_run:
        blocks.append("\n".join(["not run:", *(f"  {_clean(gap)}" for gap in comparison.not_run)]))
    return printable("\n\n".join(blocks))


def _pair(entry: PairComparison | PairVerdict) -> tuple[str, str, str]:
    return entry.before, entry.after, entry.purpose


def _block(pair: PairComparison, verdict: PairVerdict | None, confidence: float) -> Iterator[str]:
    """Title, table, and the reasons of what is not plainly good."""
    role = "candidate, decides" if pair.purpose == "candidate" else pair.purpose
    scored = [suite for suite in pair.suites if suite.kind != "judge"]
    unchanged = verdict is not None and verdict.nothing_changed and not any(suite.obstacles for suite in scored)
    outcome = "" if verdict is None else f": {'nothing changed' if unchanged else verdict.state}"
    yield f"{_clean(pair.before)} -> {_clean(pair.after)}   ({role}{outcome})"
    yield from (f"  ! {_clean(obstacle)}" for obstacle in pair.obstacles)
    if not pair.suites:
        yield "  no suites"
        return
    found = {} if verdict is None else {entry.suite: entry for entry in verdict.suites}
    header = f"{confidence * 100:g}% CI"
    yield from _aligned([_row(suite, found.get(suite.suite), header) for suite in pair.suites])
    yield from _unread(pair.suites)
    if pair.purpose == "candidate" and pair.comparable and verdict is not None:
        for entry in verdict.suites:
            if entry.state in ("regressed", "not comparable", "not informative", "inconclusive"):
                yield f"  {_clean(entry.suite)}: {_clean(entry.reason)}"


def _unread(suites: Sequence[SuiteComparison]) -> Iterator[str]:
    """Where answers could not be read: how many, and the change among those that could be in both arms."""
    for suite in suites:
        if not suite.unparsed_before and not suite.unparsed_after:
            continue
        counts = f"{suite.unparsed_before} before and {suite.unparsed_after} after"
        line = f"  {_clean(suite.suite)}: no answer read from {counts}"
        if suite.both_parsed is not None:
            change = _turned(suite, suite.both_parsed)
            line += (
                f"; among the {suite.both_parsed_n} readable in both {_number(suite, change.value, sign=True)}"
                f" ({_limits(suite, change)})"
            )
        yield line


def _row(suite: SuiteComparison, verdict: SuiteVerdict | None, interval_name: str) -> dict[str, str]:
    name = suite.suite if suite.gated else f"{suite.suite} *"
    row = {"suite": _clean(name), "n": str(suite.n)}
    if suite.method == "none":
        row |= {"before": "-", "after": "-", "change": "-", interval_name: "-", "lost/won": "", "noise": ""}
        row |= {"p (Holm)": "-", "MDE": "-"}
    else:
        row |= {
            "before": _level(suite, suite.before),
            "after": _level(suite, suite.after),
            "change": _number(suite, _change(suite).value, sign=True),
            interval_name: _limits(suite, _change(suite)),
            "lost/won": "" if suite.forgotten is None else f"{suite.forgotten}/{suite.learned}",
            "noise": "" if suite.noise_flips is None else str(suite.noise_flips),
            "p (Holm)": "< 0.001" if suite.p_improved_holm < 0.001 else f"{suite.p_improved_holm:.3f}",
            "MDE": _number(suite, suite.mde),
        }
    state = "" if verdict is None else verdict.state
    return row | {"state": f"{state} (=)" if verdict is not None and verdict.nothing_changed else state}


def _aligned(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Rows under their names, numbers to the right; columns that are empty everywhere are left out."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in ({name: name for name in names}, *rows):
        cells = [f"{row[name]:{'<' if name in _LEFT_ALIGNED else '>'}{widths[name]}}" for name in names]
        yield f"  {'  '.join(cells)}".rstrip()
    if any(row["suite"].endswith(" *") for row in rows):
        yield "  * not gated"
    if any(row["state"].endswith(" (=)") for row in rows):
        yield "  (=) every score equal"


def _change(suite: SuiteComparison) -> Interval:
    """After minus before, in the metric's own direction."""
    return _turned(suite, suite.gain)


def _turned(suite: SuiteComparison, gain: Interval) -> Interval:
    return gain if suite.higher_is_better else Interval(value=-gain.value, low=-gain.high, high=-gain.low)


def _limits(suite: SuiteComparison, change: Interval) -> str:
    return f"{_number(suite, change.low)} to {_number(suite, change.high)}"


def _level(suite: SuiteComparison, level: Interval) -> str:
    return f"{_number(suite, level.value)}{'%' if _share(suite) else ''}"


def _number(suite: SuiteComparison, value: float, *, sign: bool = False) -> str:
    digits = 1 if _share(suite) else 3
    text = f"{value * (100 if _share(suite) else 1):{'+' if sign else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _share(suite: SuiteComparison) -> bool:
    return suite.unit in ("accuracy", "win_rate")


def _clean(text: str) -> str:
    """One line, whatever a name or a message holds."""
    return printable(" ".join(text.split()))
