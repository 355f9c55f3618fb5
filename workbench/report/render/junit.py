"""The verdict as JUnit XML: a suite is a testsuite, a metric of it a testcase.

regressed and gated      failure, with before, after, gain, interval and margin
not comparable, gated    error
not informative, not gated or shown only    skipped
inconclusive             skipped, or a failure under --strict
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from workbench.core.results import SuiteVerdict
from workbench.core.wire import printable
from workbench.report.model import ReportModel
from workbench.report.rows import Row, all_rows, uncompared

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not allow (section 2.2, production Char)."""


def render_junit(model: ReportModel) -> str:
    """The document as a string; failures and errors agree with the run's exit code."""
    suites = ElementTree.Element("testsuites", {"name": _clean(model.name)})
    suites.append(_run_suite(model))
    by_suite: dict[str, list[Row]] = {}
    for row in all_rows(model):
        by_suite.setdefault(row.data.suite, []).append(row)
    for name, rows in by_suite.items():
        suites.append(_testsuite(name, [_case(row, strict=model.verdict.strict) for row in rows]))
    for entry in uncompared(model):
        suites.append(_testsuite(entry.suite, [_case_without_numbers(entry)]))
    for count in ("tests", "failures", "errors", "skipped"):
        suites.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _run_suite(model: ReportModel) -> ElementTree.Element:
    """One case for the run itself, so that a run without numbers is an error and never an empty success."""
    verdict = model.verdict
    case = ElementTree.Element("testcase", {"classname": "run", "name": "verdict"})
    text = _clean("\n".join([verdict.headline, *verdict.decisive.reasons, *model.alarms]))
    if verdict.state == "regressed" or (verdict.state == "inconclusive" and verdict.strict):
        _outcome(case, "failure", verdict.state, text)
    elif verdict.state == "not comparable":
        _outcome(case, "error", verdict.state, text)
    elif verdict.state == "inconclusive":
        _outcome(case, "skipped", verdict.state, text)
    else:
        ElementTree.SubElement(case, "system-out").text = text
    return _testsuite("run", [case], (("command", model.command), ("report", model.target)))


def _testsuite(
    name: str, cases: list[ElementTree.Element], properties: Iterable[tuple[str, str]] = ()
) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", {"name": _clean(name), "tests": str(len(cases))})
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    listed = [{"name": key, "value": _clean(value)} for key, value in properties]
    if listed:
        holder = ElementTree.SubElement(suite, "properties")
        for entry in listed:
            ElementTree.SubElement(holder, "property", entry)
    suite.extend(cases)
    return suite


def _case(row: Row, *, strict: bool) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"classname": _clean(row.data.suite), "name": _clean(row.key)})
    text = _clean(_numbers(row))
    verdict = row.verdict
    if verdict is None:
        _outcome(case, "skipped", "shown only", text)
    elif verdict.state == "regressed" and verdict.gated:
        _outcome(case, "failure", f"regressed: {row.gain} {row.bounds}, margin {row.margin}", text)
    elif verdict.state == "not comparable" and verdict.gated:
        _outcome(case, "error", verdict.state, text)
    elif verdict.state == "inconclusive" and verdict.gated and strict:
        _outcome(case, "failure", f"inconclusive: {row.gain} {row.bounds}, margin {row.margin}", text)
    elif verdict.state in ("improved", "non-inferior"):
        ElementTree.SubElement(case, "system-out").text = text
    else:
        _outcome(case, "skipped", verdict.state if verdict.gated else f"{verdict.state}, not gated", text)
    return case


def _case_without_numbers(entry: SuiteVerdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"classname": _clean(entry.suite), "name": _clean(entry.metric)})
    tag = "error" if entry.gated and entry.state == "not comparable" else "skipped"
    _outcome(case, tag, entry.state, _clean(entry.reason))
    return case


def _numbers(row: Row) -> str:
    reason = f"{row.verdict.reason}\n" if row.verdict else ""
    return (
        f"{reason}before {row.before}\nafter {row.after}\ngain {row.gain} {row.bounds}\nmargin {row.margin}\n"
        f"documents {row.data.n}\nflips {row.flips}\nstate {row.look.label}"
    )


def _outcome(case: ElementTree.Element, tag: str, message: str, text: str) -> None:
    ElementTree.SubElement(case, tag, {"message": _clean(message), "type": tag}).text = text


def _clean(text: str) -> str:
    """`text` as XML 1.0 allows it: control characters shown as escapes, what is left over removed."""
    return _FORBIDDEN.sub("", printable(text))
