"""The rows of the result tables: a suite's comparison joined with its verdict, with every number already in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.results import PairComparison, PairVerdict, SuiteComparison, SuiteVerdict
from workbench.report import numbers
from workbench.report.build import deciding_pair
from workbench.report.model import ReportModel
from workbench.report.states import NOTHING_CHANGED, PURPOSES, SUITE_STATES, Look, Tone

_NOTHING = "–"
_ROLES = ("target", "general", "safety", "anchor")


@dataclass(frozen=True, slots=True)
class Row:
    """One suite of one pair."""

    data: SuiteComparison
    verdict: SuiteVerdict | None
    """None for a metric that decides nothing."""

    @property
    def look(self) -> Look:
        """The state's look; nothing changed comes before non-inferior, because it says more, where it can be said.

        Equal scores that cannot be compared, or leave doubt about other documents, look like their state."""
        doubtful = self.verdict is not None and self.verdict.state in ("not comparable", "inconclusive")
        if self.unchanged and not doubtful:
            return NOTHING_CHANGED
        if self.verdict is None:
            return Look("shown only", "·", "neutral", "A further metric, without a verdict.")
        return SUITE_STATES[self.verdict.state]

    @property
    def unchanged(self) -> bool:
        """Whether all that was scored is equal, and enough was."""
        return self.data.identical and not self.data.obstacles

    @property
    def gated(self) -> bool:
        """Whether the suite can fail the run; an untrusted judge's cannot."""
        return self.data.gated if self.verdict is None else self.verdict.gated

    @property
    def measured(self) -> bool:
        """Whether there is any number: not where no document was scored in both arms."""
        return self.data.method != "none"

    @property
    def key(self) -> str:
        """Metric and filter: `acc`, or `exact_match, strict`."""
        return self.data.metric if self.data.filter == "none" else f"{self.data.metric}, {self.data.filter}"

    @property
    def before(self) -> str:
        """Score of the earlier arm."""
        if not self.measured:
            return _NOTHING
        return numbers.level(self.data.before.value, self.data.unit, self.digits)

    @property
    def after(self) -> str:
        """Score of the later arm."""
        if not self.measured:
            return _NOTHING
        return numbers.level(self.data.after.value, self.data.unit, self.digits)

    @property
    def digits(self) -> int:
        """Decimals of every number of the row."""
        return numbers.decimals(self.data.gain, self.data.unit)

    @property
    def gain(self) -> str:
        """Gain with sign and unit."""
        return numbers.change(self.data.gain, self.data.unit) if self.measured else _NOTHING

    @property
    def gain_number(self) -> str:
        """Gain with sign, without unit."""
        return numbers.change_number(self.data.gain, self.data.unit) if self.measured else _NOTHING

    @property
    def bounds(self) -> str:
        """The gain's interval."""
        return numbers.bounds(self.data.gain, self.data.unit) if self.measured else ""

    @property
    def margin(self) -> str:
        """The largest loss that does not matter."""
        return numbers.size(self.data.margin, self.data.unit)

    @property
    def mde(self) -> str:
        """The smallest difference found four times in five."""
        return numbers.size(self.data.mde, self.data.unit)

    @property
    def flips(self) -> str:
        """Forgotten and learned documents, such as `−4 +9`; a dash for graded metrics."""
        if self.data.forgotten is None or self.data.learned is None:
            return _NOTHING
        if not self.data.forgotten and not self.data.learned:
            return "none"
        return f"{numbers.MINUS}{self.data.forgotten} +{self.data.learned}"

    @property
    def noise(self) -> str:
        """Flips of the A/A arm, or the standard deviation of its per-document differences; empty if there is none."""
        if self.data.noise_flips is not None:
            return f"noise flips {self.data.noise_flips}"
        if self.data.noise_gain_sd is not None:
            sd = numbers.shortest(self.data.noise_gain_sd * numbers.scale(self.data.unit))
            return f"noise sd {sd}"
        return ""

    @property
    def p_line(self) -> str:
        """The p-value behind a claim of improvement, corrected where the suite has a verdict."""
        if self.data.identical or not self.measured:
            return "nothing to test"
        if self.data.kind == "regression":
            return "no test"
        if self.verdict is None:
            return f"{numbers.p_value(self.data.p_value)}, uncorrected"
        return f"Holm {numbers.p_value(self.data.p_improved_holm)}"


@dataclass(frozen=True, slots=True)
class Control:
    """One further pair with its rows."""

    title: str
    expectation: str
    before: str
    after: str
    outcome: Look
    comparable: bool
    obstacles: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def quiet(self) -> bool:
        """Nothing changed anywhere, so one line says it all."""
        return bool(self.rows) and all(row.unchanged for row in self.rows)


def main_pair(model: ReportModel) -> PairComparison | None:
    """The deciding pair; None if it was not compared."""
    return deciding_pair(model.comparison, model.before, model.after)


def main_rows(model: ReportModel) -> tuple[Row, ...]:
    """The suites of the deciding pair that have a verdict: target first, then general, safety, anchor."""
    return tuple(row for row in all_rows(model) if row.verdict is not None)


def all_rows(model: ReportModel) -> tuple[Row, ...]:
    """As `main_rows`, with the metrics that decide nothing."""
    pair = main_pair(model)
    return _rows(pair, model.verdict.decisive) if pair else ()


def deciding_row(model: ReportModel) -> Row | None:
    """The row at the top of the page."""
    if model.deciding is None:
        return None
    wanted = (model.deciding.suite, model.deciding.metric)
    return next((row for row in main_rows(model) if (row.data.suite, row.data.metric) == wanted), None)


def uncompared(model: ReportModel) -> tuple[SuiteVerdict, ...]:
    """Suites with a verdict and without numbers, as when the arms are not comparable."""
    compared = {(row.data.suite, row.data.metric) for row in main_rows(model)}
    return tuple(entry for entry in model.verdict.decisive.suites if (entry.suite, entry.metric) not in compared)


def controls(model: ReportModel) -> tuple[Control, ...]:
    """Every pair but the deciding one, in the order of the configuration."""
    verdicts = {(entry.before, entry.after): entry for entry in model.verdict.others}
    others = [pair for pair in model.comparison.pairs if (pair.before, pair.after) != (model.before, model.after)]
    return tuple(control(pair, verdicts.get((pair.before, pair.after))) for pair in others)


def control(pair: PairComparison, verdict: PairVerdict | None) -> Control:
    """A pair that decides nothing."""
    rows = _rows(pair, verdict)
    title, expectation = PURPOSES[pair.purpose]
    return Control(
        title=title,
        expectation=expectation,
        before=pair.before,
        after=pair.after,
        outcome=_outcome(pair, rows),
        comparable=pair.comparable,
        obstacles=pair.obstacles,
        rows=rows,
    )


def _outcome(pair: PairComparison, rows: Sequence[Row]) -> Look:
    if not pair.comparable:
        return SUITE_STATES["not comparable"]
    if rows and all(row.unchanged for row in rows):
        return NOTHING_CHANGED
    changed = sum(not row.data.identical for row in rows)
    if rows and not changed:
        return SUITE_STATES["not comparable"]
    tone: Tone = "bad" if pair.purpose == "sham" else "neutral"
    return Look(f"{changed} of {len(rows)} suites changed", "≠", tone, "Some document scored differently.")


def _rows(pair: PairComparison, verdict: PairVerdict | None) -> tuple[Row, ...]:
    verdicts = {(entry.suite, entry.metric): entry for entry in verdict.suites} if verdict else {}
    rows = [Row(row, verdicts.get((row.suite, row.metric))) for row in pair.suites]
    return tuple(sorted(rows, key=lambda row: _ROLES.index(row.data.role)))
