from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_artifacts import built, make_run
from report_comparison import HOSTILE

from workbench.core.results import SuiteComparison
from workbench.report.model import ReportModel
from workbench.report.render.junit import render_junit


def counts(model: ReportModel) -> tuple[int, int]:
    root = ElementTree.fromstring(render_junit(model))
    return int(root.get("failures", "")), int(root.get("errors", ""))


def strict(model: ReportModel) -> ReportModel:
    return model.model_copy(update={"verdict": model.verdict.model_copy(update={"strict": True, "exit_code": 1})})


@pytest.mark.parametrize(
    ("state", "failures", "errors"),
    [("passed", 0, 0), ("inconclusive", 0, 0), ("regressed", 2, 0), ("not comparable", 0, 8)],
)
def test_failures_are_regressions_and_errors_are_what_cannot_be_compared(
    tmp_path: Path, state: str, failures: int, errors: int
) -> None:
    assert counts(built(make_run(tmp_path, state))) == (failures, errors)


def test_inconclusive_fails_only_when_strict(model: ReportModel) -> None:
    assert counts(model) == (0, 0)
    assert counts(strict(model)) == (2, 0)


def test_a_failure_holds_before_after_gain_and_margin(tmp_path: Path) -> None:
    root = ElementTree.fromstring(render_junit(built(make_run(tmp_path, "regressed"))))
    failure = root.find("testsuite[@name='capitals']/testcase[@name='acc']/failure")
    assert failure is not None
    text = failure.text or ""
    for piece in ("before 72.5%", "after 51.7%", "gain −20.8 points [−29.1, −12.6]", "margin 5 points"):
        assert piece in text
    assert failure.get("message") == "regressed: −20.8 points [−29.1, −12.6], margin 5 points"


def test_every_suite_is_a_testsuite_and_the_totals_are_sums(model: ReportModel) -> None:
    root = ElementTree.fromstring(render_junit(model))
    names = [suite.get("name") for suite in root]
    assert names == ["run", *(row.suite for row in _by_role(model))]
    for key in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(key, "")) == sum(int(suite.get(key, "")) for suite in root)
    assert int(root.get("tests", "")) == len(root.findall(".//testcase"))


def test_what_cannot_decide_is_skipped(model: ReportModel) -> None:
    root = ElementTree.fromstring(render_junit(model))
    skipped = root.find("testsuite[@name='mmlu-dev']/testcase/skipped")
    assert skipped is not None
    assert skipped.get("message") == "not informative, not gated"


def test_control_characters_and_markup_leave_valid_xml(model: ReportModel) -> None:
    verdict = model.verdict.model_copy(update={"headline": HOSTILE + "\x00\ufffe"})
    hostile = model.model_copy(update={"verdict": verdict, "name": HOSTILE, "command": f'{HOSTILE}"\n'})
    root = ElementTree.fromstring(render_junit(hostile))
    skipped = root.find("testsuite[@name='run']/testcase/skipped")
    assert skipped is not None
    assert "<script>" in (skipped.text or "")
    assert "\\x1b]52" in (skipped.text or "")


def _by_role(model: ReportModel) -> list[SuiteComparison]:
    order = ("target", "general", "safety", "anchor")
    return sorted(model.comparison.pairs[0].suites, key=lambda row: order.index(row.role))
