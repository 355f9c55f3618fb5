"""What scoring took: seconds, tokens per second and, where there are prices, money, by arm and suite; the judge's cost.

timing.json of score:candidate, 1.20 an hour  ->  capitals: 40 documents, 2.4 s, 60 ms each, 0.0000200 each
"""

from __future__ import annotations

from workbench.core.config import PricesConfig
from workbench.core.parts import read_model
from workbench.core.results import ArmInfo, JudgeTrust
from workbench.core.stage import Inputs
from workbench.core.timing import ArmTiming
from workbench.report.model import ArmTimes, ReportModel

_SECONDS_PER_HOUR = 3600


def scoring_times(inputs: Inputs) -> tuple[ArmTimes, ...]:
    """One entry per scored arm that has a timing.json."""
    scored = [artifact for name, artifact in inputs.items() if name.startswith("score:") and name != "score:judge"]
    return tuple(
        ArmTimes(
            arm=read_model(artifact.part("arm.json"), ArmInfo).arm,
            suites=read_model(artifact.part("timing.json"), ArmTiming).suites,
        )
        for artifact in scored
        if artifact.part("timing.json").is_file()
    )


def scoring_seconds(model: ReportModel) -> float:
    """Of all arms and suites together, as if nothing had come from the score cache."""
    return sum(suite.seconds for arm in model.times for suite in arm.suites)


def cost(seconds: float, price_per_hour: float) -> float:
    """What so many seconds of the machine cost."""
    return seconds / _SECONDS_PER_HOUR * price_per_hour


def judge_cost(judge: JudgeTrust | None, prices: PricesConfig | None) -> float | None:
    """What the judge's answers cost, whenever they were paid; None without prices."""
    if judge is None or judge.used is None or prices is None:
        return None
    used = judge.used
    return (used.prompt_tokens * prices.input_per_million + used.completion_tokens * prices.output_per_million) / 1e6
