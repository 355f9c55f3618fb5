"""The page in a real browser: Chromium as packaged, driven through Playwright."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from report_artifacts import TARGET, Run, built, make_run

from workbench.core.parts import write_model
from workbench.core.stage import Artifact
from workbench.report.render.html import render_html
from workbench.report.sign import read_decision

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]


@dataclass
class Visit:
    """An open page and everything it asked for or complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html_file(report_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(built(report_run)), encoding="utf-8")
    return path


def visit(browser: Any, path: Path, **options: Any) -> Visit:
    found = Visit(browser.new_page(**options))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.goto(path.as_uri())
    return found


def test_it_asks_for_nothing_complains_about_nothing_and_runs_nothing_hostile(browser: Any, html_file: Path) -> None:
    seen = visit(browser, html_file)
    for _ in range(5):
        seen.page.locator("#flip-more").click()
        if not seen.page.locator("#flip-more").is_visible():
            break
    for summary in seen.page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    # flips, answers before and after, answers given while training
    assert seen.page.locator("article.flip").count() == 112 + 5 + 1
    assert seen.requests == [html_file.as_uri()]
    assert seen.complaints == []
    assert seen.page.evaluate("window.pwned") is None
    assert seen.page.locator("img, iframe, a[href^='javascript']").count() == 0
    seen.page.close()


def test_flips_can_be_filtered_by_kind_suite_and_text(browser: Any, html_file: Path) -> None:
    seen = visit(browser, html_file)
    status = seen.page.locator("#flip-status")
    assert status.inner_text() == "112 of 112 match, 10 shown"
    seen.page.get_by_role("combobox", name="Kind").select_option("forgotten")
    assert status.inner_text().startswith("50 of 112")
    seen.page.get_by_role("combobox", name="Suite").select_option("capitals")
    assert status.inner_text() == "10 of 112 match"
    seen.page.get_by_role("searchbox", name="Find").fill("COUNTRY 7")
    assert status.inner_text() == "1 of 112 match"
    assert "Question 7 of capitals" in seen.page.locator("#flip-list").inner_text()
    seen.page.get_by_role("searchbox", name="Find").fill("no such words")
    assert status.inner_text() == "0 of 112 match"
    assert seen.page.locator("#flip-list article").count() == 0
    seen.page.close()


@pytest.mark.parametrize("width", [400, 900, 1400])
def test_nothing_sticks_out_at_any_width(browser: Any, html_file: Path, width: int) -> None:
    seen = visit(browser, html_file, viewport={"width": width, "height": 900})
    seen.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    seen.page.close()


def test_the_verdict_and_its_numbers_are_on_the_first_screen(browser: Any, html_file: Path) -> None:
    seen = visit(browser, html_file, viewport={"width": 1400, "height": 900})
    for text in ("Inconclusive", "−4.2", "[−10.4, +2.1]", "Got better"):
        box = seen.page.get_by_text(text, exact=False).first.bounding_box()
        assert box["y"] + box["height"] < 900
    seen.page.close()


def test_both_colour_schemes_are_readable(browser: Any, html_file: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        seen = visit(browser, html_file, color_scheme=scheme)
        colours[scheme] = {
            name: seen.page.evaluate(CONTRAST, name)
            for name in ("body", ".lead", ".sub", ".gain.good", ".state.open", ".verdict h1", ".headline", "a")
        }
        seen.page.close()
    for ratios in colours.values():
        assert all(ratio >= 4.5 for ratio in ratios.values()), ratios
    assert colours["light"] != colours["dark"]


def test_without_javascript_the_first_flips_are_there(browser: Any, html_file: Path) -> None:
    seen = visit(browser, html_file, java_script_enabled=False)
    # Playwright's text search skips noscript, so the element is asked for its rendered text.
    assert "Filtering needs JavaScript" in seen.page.locator("noscript").inner_text()
    assert seen.page.locator("noscript article").first.bounding_box()["height"] > 50
    assert seen.page.locator("noscript article").count() == 10
    assert not seen.page.locator("#flip-filters").is_visible()
    seen.page.close()


def test_it_prints_with_everything_opened(browser: Any, html_file: Path, tmp_path: Path) -> None:
    seen = visit(browser, html_file)
    hidden = seen.page.locator(".meanings").first
    assert not hidden.is_visible()
    seen.page.emulate_media(media="print")
    assert hidden.bounding_box()["height"] > 50
    assert not seen.page.locator(".filters").is_visible()
    seen.page.pdf(path=str(tmp_path / "report.pdf"))
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
    seen.page.close()


def test_the_form_builds_a_decision_that_can_be_signed(
    browser: Any, html_file: Path, report_run: Run, tmp_path: Path
) -> None:
    seen = visit(browser, html_file)
    seen.page.get_by_role("textbox", name="Name").fill("Ada </script>")
    assert "Still needed: a decision" in seen.page.locator("#decision-status").inner_text()
    seen.page.get_by_role("radio", name="Needs work").check()
    seen.page.get_by_role("textbox", name="Note").fill('read "all" flips')
    text = seen.page.locator("#decision-json").inner_text()
    assert json.loads(text)["target"] == TARGET
    (tmp_path / "DECISION.json").write_text(text, encoding="utf-8")
    write_model(tmp_path / "report.json", built(report_run))
    decision = read_decision(tmp_path / "DECISION.json", Artifact(tmp_path, report_run.inputs["gate"].manifest))
    assert (decision.who, decision.verdict, decision.note) == ("Ada </script>", "needs work", 'read "all" flips')
    assert seen.requests == [html_file.as_uri()]
    seen.page.close()


def test_the_page_can_be_used_by_keyboard(browser: Any, html_file: Path) -> None:
    seen = visit(browser, html_file)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the results"
    seen.page.locator("summary").first.focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.locator(".meanings").first.is_visible()
    seen.page.close()


CONTRAST = """(selector) => {
  const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * channel(rgb[i] / 255), 0);
  const element = document.querySelector(selector);
  let behind = element;
  while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(parse).map(luminance);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
"""Contrast ratio of an element's text against what is behind it (WCAG 2.2, relative luminance)."""
