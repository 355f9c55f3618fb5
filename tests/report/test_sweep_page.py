"""The page of a sweep: the plot is drawn to scale, names are no markup, and nothing is asked of a network."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from workbench.core.ablation_results import SeededSuite
from workbench.core.results import Interval
from workbench.core.sweep_results import Sweep, SweepArm
from workbench.report.sweep_page import learning_and_forgetting, render_sweep_page


def _suite(name: str, role: str, by_seed: tuple[float, ...], margin: float) -> SeededSuite:
    mean = sum(by_seed) / len(by_seed)
    values: dict[str, Any] = {
        "suite": name,
        "metric": "nll",
        "role": role,
        "unit": "nats_per_token",
        "gated": True,
        "margin": margin,
        "higher_is_better": False,
        "n": 100,
        "failed": 0,
        "gain": Interval(value=mean, low=mean - 0.05, high=mean + 0.05),
        "gain_se": 0.02,
        "by_seed": by_seed,
        "method": "t",
        **dict.fromkeys(("seed_sd", "seed_share", "p_better", "p_better_holm", "p_worse", "mde"), 0.0),
    }
    return SeededSuite.model_validate(values)


def _arm(name: str, state: str, gains: tuple[float, ...], losses: tuple[float, ...]) -> SweepArm:
    """Losses are in margins of 0.1."""
    suites = (
        _suite("docs", "target", gains, 0.1),
        _suite("capitals", "general", tuple(-0.1 * loss for loss in losses), 0.1),
    )
    worst = sum(losses) / len(losses)
    values: dict[str, Any] = {"name": name, "settings": {"train.rank": 8}, "state": state, "suites": suites}
    cost: dict[str, Any] = {"trainable_parameters": 8192, "answer_tokens": 900, "seconds": 61.0}
    plotted: dict[str, Any] = {"worst_suite": "capitals", "worst_loss": worst, "mean_loss": worst, "pareto": True}
    return SweepArm.model_validate(values | cost | plotted)


def _sweep(*arms: SweepArm, **fields: Any) -> Sweep:
    values: dict[str, Any] = {
        "state": "recommended",
        "headline": "Recommended: rank=8.",
        "recommended": arms[0].name,
        "reasons": ("One <b>reason</b>.",),
        "next_step": "workbench run --set train.rank=8",
        "exit_code": 0,
        "command": "workbench sweep",
        "target": "docs",
        "axes": {},
        "seeds": (0, 1),
        "arms": arms,
        "split_half": None,
        "confidence": 0.95,
        "alpha": 0.05,
        "planned_arms": len(arms),
        "planned_seeds": 2,
    }
    return Sweep.model_validate(values | fields)


LOW = _arm("rank=8", "recommended", (0.2, 0.22), (0.1, 0.3))
HIGH = _arm("rank=64", "forgets", (0.4, 0.44), (1.8, 2.2))


def _circles(sweep: Sweep, kind: str) -> list[tuple[float, float]]:
    drawn = learning_and_forgetting(sweep)
    assert drawn is not None
    circles = ElementTree.fromstring(str(drawn)).iter("circle")
    return [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in circles if one.attrib["class"] == kind]


def test_points_stand_where_their_gain_and_loss_are() -> None:
    sweep = _sweep(LOW, HIGH)
    (left, lower), (right, upper) = _circles(sweep, "mean")
    assert left < right and upper < lower
    seeds = _circles(sweep, "seed")
    assert len(seeds) == 4
    # A mean is in the middle of its two seeds, and the scale is the same everywhere.
    for mean, (one, two) in (((left, lower), seeds[:2]), ((right, upper), seeds[2:])):
        assert abs((one[0] + two[0]) / 2 - mean[0]) < 0.11 and abs((one[1] + two[1]) / 2 - mean[1]) < 0.11
    across, upwards = (right - left) / (0.42 - 0.21), (lower - upper) / (2.0 - 0.2)
    assert abs((seeds[3][0] - seeds[2][0]) / 0.04 - across) / across < 0.02
    svg = str(learning_and_forgetting(sweep))
    margin = re.search(r'class="margin" x1="[\d.]+" y1="([\d.]+)"', svg)
    assert margin is not None and abs(float(margin[1]) - (lower - 0.8 * upwards)) < 0.3, "one margin is lost there"


def test_the_page_needs_no_network_and_takes_names_as_text() -> None:
    evil = _arm("<script>alert(1)</script>", "behind", (0.1, 0.1), (0.0, 0.0))
    page = render_sweep_page(_sweep(LOW, HIGH, evil), "sums-1")
    assert "<script" not in page and "&lt;script&gt;" in page and "One &lt;b&gt;reason&lt;/b&gt;." in page
    assert not re.search(r"(?:src|href)=[\"'](?!data:,)", page)
    assert "default-src 'none'" in page and "rank=64" in page and "workbench run --set train.rank=8" in page


def test_without_a_suite_that_could_be_forgotten_there_is_a_table_and_no_plot() -> None:
    nothing = dict.fromkeys(("worst_suite", "worst_loss", "mean_loss"))
    alone = LOW.model_copy(update={"suites": LOW.suites[:1], **nothing})
    assert learning_and_forgetting(_sweep(alone)) is None
    page = render_sweep_page(_sweep(alone), "sums-1")
    assert "<svg" not in page and "rank=8" in page
