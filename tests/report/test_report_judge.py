"""The judge's section: people, models that answered, and what a trusted judge said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from report_artifacts import built, make_run

from workbench.core.config import PricesConfig
from workbench.core.parts import read_model, write_model
from workbench.core.results import (
    Comparison,
    Interval,
    JudgeCost,
    JudgeFindings,
    JudgeTrust,
    PeopleAgreement,
    PoweredRate,
    ScaleResult,
)
from workbench.report.model import ReportModel
from workbench.report.render.html import render_html
from workbench.report.render.markdown import render_markdown
from workbench.report.timing import judge_cost

HOSTILE = "<img src=x onerror=alert(1)> | `x`"


def interval(value: float, half: float = 0.1) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


@pytest.fixture
def trusted(model: ReportModel) -> ReportModel:
    people = PeopleAgreement(
        contests=44, ratings=70, raters=2, agreement=interval(0.81), kappa=interval(0.712), alpha=interval(0.703),
        among_people=interval(0.77),
    )  # fmt: skip
    scale = ScaleResult(
        scale="accuracy", highest=5, before=interval(2.25), after=interval(3.75), gain=interval(1.5), n=23, failed=1,
        soft=True,
    )  # fmt: skip
    judged = JudgeFindings(
        before="base@nf4",
        after="candidate",
        judged=24,
        failed=0,
        ties=5,
        win_rate=interval(0.63),
        standard_error=0.05,
        soft_win_rate=0.61,
        position_inconsistent=interval(0.21),
        first_preferred=interval(0.52),
        length_before=120,
        length_after=180,
        length_adjusted=interval(0.57),
        powered=PoweredRate(
            joined=interval(0.59, 0.05), classical=interval(0.66), labelled=44, unlabelled=300, weight=0.8
        ),
        scales=(scale,),
    )
    assert model.comparison.judge is not None
    judge = model.comparison.judge.model_copy(
        update={
            "trusted": True,
            "reasons": (f"the server answered as {HOSTILE}",),
            "people": people,
            "measured_against": "people",
            "models": (HOSTILE,),
            "repeats": 3,
            "repeat_inconsistent": interval(0.15),
            "used": JudgeCost(requests=1234, tokens=56789, kept=12, prompt_tokens=70000, completion_tokens=7100),
        }
    )
    comparison = model.comparison.model_copy(update={"judge": judge, "judged": judged})
    prices = PricesConfig(input_per_million=0.5, output_per_million=1)
    return model.model_copy(update={"comparison": comparison, "judge_cost": judge_cost(judge, prices)})


def test_the_page_says_what_a_trusted_judge_found_and_shows_names_as_text(trusted: ReportModel) -> None:
    page = render_html(trusted)
    start = page.index('id="judge"')
    section = page[start : page.index("<section", start)]
    numbers = ("0.71", "44 pairs", "2 raters", "63%", "57%", "59%", "52%", "44 labels, 300 judged alone", "1.50")
    for words in (*numbers, "3 times"):
        assert words in section, words
    assert "<img src=x" not in page
    assert "&lt;img src=x" in section


def test_markdown_has_the_same_numbers_and_no_markup_from_names(trusted: ReportModel) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(render_markdown(trusted))
    kappas = ("0.71 [0.61, 0.81]", "0.70 [0.60, 0.80]", "2 raters, 44 pairs")
    for words in (*kappas, "63% [53%, 73%]", "5 of 24", "59% [54%, 64%]", "accuracy, 1 to 5", "1.50 [1.40, 1.60]"):
        assert words in rendered, words
    assert "<img" not in rendered


def test_what_the_judge_cost_is_said_with_and_without_prices(trusted: ReportModel) -> None:
    for page in (render_html(trusted), render_markdown(trusted)):
        for words in ("0.0421", "answers took 77,100 tokens", "1,234 requests", "56,789 tokens", "12 answers kept"):
            assert words in page, words
    page = render_html(trusted.model_copy(update={"judge_cost": judge_cost(trusted.comparison.judge, None)}))
    assert "the endpoint has no prices" in page
    assert "0.0421" not in page


def test_the_cost_is_that_of_all_answers_at_the_prices_of_the_report(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    trust = run.inputs["score:judge"].part("trust.json")
    used = JudgeCost(requests=0, tokens=0, kept=160, prompt_tokens=400_000, completion_tokens=20_000)
    judge = read_model(trust, JudgeTrust).model_copy(update={"used": used})
    compare = run.inputs["compare"].part("comparison.json")
    comparison = read_model(compare, Comparison).model_copy(update={"judge": judge})
    write_model(compare, comparison)
    prices = PricesConfig(input_per_million=2.5, output_per_million=10)
    assert built(run).judge_cost is None
    assert built(replace(run, config=run.config.model_copy(update={"judge_prices": prices}))).judge_cost == 1.2


def test_an_untrusted_judge_has_no_findings_to_show(model: ReportModel) -> None:
    assert model.comparison.judged is None
    assert "Length-adjusted" not in render_html(model)
