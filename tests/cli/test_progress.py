from __future__ import annotations

import pytest

from workbench.cli.output import Pace


def test_the_rate_and_the_time_left_are_those_since_the_work_began() -> None:
    pace = Pace()
    assert pace.after("examining", 0, 50_000, 100.0) == ""
    assert pace.after("examining", 2_000, 50_000, 100.4) == "", "the first moments say nothing"
    assert pace.after("examining", 20_000, 50_000, 104.0) == "  5,000/s  0:06 left"
    assert pace.after("examining", 30_000, 50_000, 204.0) == "  288/s  1:09 left"
    assert pace.after("writing", 30_000, 50_000, 205.0) == "", "other work starts anew"


@pytest.mark.parametrize(
    ("done", "total", "seconds", "shown"),
    [(1, 3601, 1.0, "  1/s  1:00:00 left"), (3, 6, 12.0, "  0.25/s  0:12 left"), (50, None, 2.0, "  25/s")],
)
def test_long_slow_and_endless_work(done: int, total: int | None, seconds: float, shown: str) -> None:
    pace = Pace()
    pace.after("work", 0, total, 0.0)
    assert pace.after("work", done, total, seconds) == shown
