"""What scoring took, in the report: seconds and tokens per second always, money where an hour has a price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_artifacts import Run, built, make_run

from workbench.core.config import LoopConfig
from workbench.core.parts import write_model
from workbench.core.timing import ArmTiming, SuiteTiming
from workbench.report import numbers
from workbench.report.render.html import render_html
from workbench.report.render.markdown import render_markdown


def timed(run: Run) -> Run:
    """The run with what its first two arms took: 36 s and 720 s."""
    for arm, seconds in (("base", 36.0), ("base@nf4", 720.0)):
        suites = tuple(
            SuiteTiming(
                suite=name,
                documents=400,
                seconds=seconds / 2,
                seconds_per_document=seconds / 800,
                batches=50,
                reused_batches=0,
                longest_batch_seconds=0.25,
                generated_tokens=tokens,
                tokens_per_second=tokens / (seconds / 2) if tokens else None,
            )
            for name, tokens in (("capitals", 0), ("answers", 900))
        )
        write_model(run.inputs[f"score:{arm}"].part("timing.json"), ArmTiming(suites=suites))
    return run


def test_time_is_shown_by_arm_and_suite_and_nothing_costs_money_without_a_price(tmp_path: Path) -> None:
    model = built(timed(make_run(tmp_path)))

    assert [(arm.arm, suite.suite) for arm in model.times for suite in arm.suites] == [
        ("base", "capitals"), ("base", "answers"), ("base@nf4", "capitals"), ("base@nf4", "answers"),
    ]  # fmt: skip
    page, text = render_html(model), render_markdown(model)
    assert "Time of scoring: 12 min 36 s" in page and "Cost per document" not in page
    assert "| base@nf4 | answers | 400 | 900 ms | 250 ms | 2.5 |" in text and "an hour" not in text


def test_a_price_of_the_hour_gives_the_cost_of_a_document(tmp_path: Path) -> None:
    run = timed(make_run(tmp_path))
    model = built(replace(run, config=run.config.model_copy(update={"price_per_hour": 2.4})))

    page, text = render_html(model), render_markdown(model)
    # 756 s, 0.9 s and 0.045 s of 3600 at 2.40
    assert "Time and cost of scoring: 12 min 36 s, 0.504" in page
    assert '<td class="num">0.000600</td>' in page and '<td class="num">0.0000300</td>' in page
    assert "| base@nf4 | answers | 400 | 900 ms | 250 ms | 2.5 | 0.000600 |" in text


def test_scores_without_their_times_have_no_table(tmp_path: Path) -> None:
    model = built(make_run(tmp_path))

    assert model.times == ()
    assert "of scoring:" not in render_html(model) and "Scoring took" not in render_markdown(model)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0.00"), (0.0000213, "0.0000213"), (0.05, "0.0500"), (12.3, "12.30"), (1234.5, "1,234.50")],
)
def test_money_never_has_an_exponent(amount: float, shown: str) -> None:
    assert numbers.money(amount) == shown


def test_a_price_must_be_a_positive_number() -> None:
    assert LoopConfig.model_validate({"score": {"price_per_hour": 1.2}}).score.price_per_hour == 1.2
    for price in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="price_per_hour"):
            LoopConfig.model_validate({"score": {"price_per_hour": price}})
