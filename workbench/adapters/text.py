"""What people read of the registry: the list, one adapter, two side by side. Plain text, safe for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.adapters.diff import Difference
from workbench.adapters.registry import Registered
from workbench.core.adapters import AdapterJudged, AdapterLine, SuiteResult
from workbench.core.wire import printable

Row = tuple[str, ...]


def render_list(adapters: Sequence[Registered]) -> str:
    """One line per adapter."""
    rows: list[Row] = [("adapter", "slots", "gate", "method", "base", "registered", "run")]
    for one in adapters:
        at = "" if one.registration is None else one.registration.at[:19]
        rows.append((one.reference, ", ".join(one.slots), _gate(one), one.method, one.base, at, one.run or ""))
    return _table(rows)


def render_adapter(adapter: Registered, history: Sequence[AdapterLine]) -> str:
    """What it is, the last verdict suite by suite, and its history."""
    pieces = [_facts(adapter)]
    if adapter.judged:
        pieces.append(_verdict(adapter.judged[-1]))
    lines = [f"  {line.at[:19]}  {_one_line(_said(line, adapter))}" for line in history]
    return "\n\n".join([*pieces, "\n".join(["History", *lines])])


def render_difference(found: Difference) -> str:
    """Settings, verdicts and weights that differ."""
    if found.same_content:
        return f"{found.before} and {found.after} have the same files"
    rows: list[Row] = [("setting", "before", "after")]
    rows += [(one.key, _value(one.before), _value(one.after)) for one in found.settings]
    pieces = [f"{found.before} -> {found.after}\n{_table(rows)}"]
    if found.suites:
        opponents = "" if found.same_opponents else ", against different arms or bases"
        rows = [("suite", "metric", "before", "after")]
        rows += [(one.suite, one.metric, _gain(one.before), _gain(one.after)) for one in found.suites]
        pieces.append(f"Gain over the base{opponents}\n{_table(rows)}")
    return "\n\n".join([*pieces, _weights(found)])


def _gate(adapter: Registered) -> str:
    return "archived" if adapter.archived else adapter.gate or "not judged"


def _facts(adapter: Registered) -> str:
    facts = {
        "slots": ", ".join(adapter.slots) or "none",
        "gate": _gate(adapter),
        "base": f"{adapter.base} ({adapter.base_fingerprint[:12]})",
        "method": f"{adapter.method}, base in {adapter.precision}" if adapter.precision else adapter.method,
        "run": adapter.run or "none",
        "hash": adapter.sha256[:12],
        "files": str(adapter.directory),
    }
    if (registration := adapter.registration) is not None:
        facts["data"] = (registration.data_sha256 or "unknown")[:12]
        facts["config"] = (registration.config_hash or "unknown")[:12]
        facts |= {key.replace("_", " "): f"{value:g}" for key, value in registration.metrics.items()}
    return f"{adapter.reference}\n{_table(list(facts.items()), indent='  ')}"


def _verdict(judgement: AdapterJudged) -> str:
    rows: list[Row] = [("suite", "role", "gain", "interval", "forgotten", "learned", "state")]
    for suite in judgement.suites:
        gain = "" if suite.gain is None else f"{suite.gain:+.3f}"
        interval = "" if suite.low is None or suite.high is None else f"[{suite.low:+.3f}, {suite.high:+.3f}]"
        flips = tuple("" if count is None else str(count) for count in (suite.forgotten, suite.learned))
        state = suite.state if suite.gated else f"{suite.state} (shown)"
        rows.append((suite.suite, suite.role, gain, interval, *flips, state))
    heading = f"Verdict of {judgement.run}, against {judgement.before}: {judgement.state}"
    return f"{heading}\n  {_one_line(judgement.headline)}\n{_table(rows, indent='  ')}"


def _said(line: AdapterLine, adapter: Registered) -> str:
    """A line of the history in words."""
    if line.event == "registered":
        return f"registered from {line.run or line.source}, by {line.who}"
    if line.event == "judged":
        return f"{line.state} in run {line.run}, by {line.who}"
    match line.event:
        case "promoted":
            forced = f", FORCED (gate: {line.state or 'not judged'})" if line.forced else ""
            said = f"promoted to {line.slot}{forced}"
        case "rolled_back":
            back = line.version == adapter.version
            said = f"back in {line.slot} after {line.withdrawn}" if back else f"withdrawn from {line.slot}"
        case "archived":
            said = "archived"
    return f"{said}, by {line.who}" + (f": {line.reason}" if line.reason else "")


def _weights(found: Difference) -> str:
    if found.weights is None:
        return f"Weights not compared: {found.weights_reason}"
    weights = found.weights
    counts = f"{weights.layers} in both, {weights.only_before} only before, {weights.only_after} only after"
    heading = f"Weights ({weights.compared}; {counts}): {_distance(weights.cosine, weights.relative_distance)}"
    rows = [(one.layer, _distance(one.cosine, one.relative_distance)) for one in weights.furthest]
    return f"{heading}\n{_table(rows, indent='  ')}" if rows else heading


def _distance(cosine: float | None, relative: float | None) -> str:
    if cosine is None or relative is None:
        return "one of them is zero"
    return f"cosine {cosine:.4f}, relative distance {relative:.4f}"


def _gain(suite: SuiteResult | None) -> str:
    if suite is None:
        return "not measured"
    if suite.gain is None or suite.low is None or suite.high is None:
        return suite.state
    return f"{suite.gain:+.3f} [{suite.low:+.3f}, {suite.high:+.3f}] {suite.state}"


def _value(value: Any) -> str:
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _table(rows: Sequence[Row], indent: str = "") -> str:
    cells = [[_one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def _one_line(text: str) -> str:
    return printable(text.replace("\n", " | "))
