"""How long a recommended training will take, and where the number comes from.

    an earlier training of this project with the same base and method   ->   its seconds per answer token
    a GPU whose peak is known                                           ->   operations / (peak x 0.35)
    this CPU                                                            ->   operations / (measured products x 0.25)
    a GPU of which only the memory is known                             ->   no time, and how to get one
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.parts import read_model
from workbench.core.paths import Project
from workbench.core.results import TrainSummary
from workbench.loop.advice import Advice
from workbench.loop.artifacts import ArtifactStore
from workbench.models.machine import measured_flops
from workbench.models.memory import step_flops
from workbench.report.numbers import counted

CPU_SHARE = 0.25
"""Share of the rate of large products that a whole training reaches on a CPU; measured with SmolLM2-135M, NF4."""
GPU_SHARE = 0.35
"""The same on a GPU: an assumption, nothing here was measured on one."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Time of the optimiser steps alone, without loading and scoring."""

    seconds: float | None
    """None if nobody knows how fast the device is."""
    source: str
    """Where the number comes from, with its assumption."""
    flops: float
    """Floating-point operations of all steps."""


def expected_time(advice: Advice, project: Project, *, here: bool) -> Duration | None:
    """Time for the recommended steps; None without a recommendation or data. `here`: on this very machine."""
    if advice.recommendation is None or advice.data is None:
        return None
    found, data = advice.recommendation, advice.data
    share_of_pass = found.steps * found.effective_batch / len(data.lengths)
    tokens = round(share_of_pass * sum(min(length, found.setting.length) for length in data.lengths))
    flops = step_flops(advice.architecture, found.setting, tokens)
    if here and (pace := _earlier(advice, project)):
        answer_tokens = share_of_pass * data.answer_tokens
        return Duration(pace.seconds / pace.answer_tokens * answer_tokens, _told(pace), flops)
    if advice.machine.device == "cpu":
        peak = measured_flops(max(1024, min(4096, advice.architecture.hidden)))
        source = f"{CPU_SHARE:.0%} of the {peak / 1e9:,.0f} billion operations per second that bf16 products reach here"
        return Duration(flops / (CPU_SHARE * peak), source, flops)
    if advice.machine.flops is None:
        return Duration(None, "the GPU's speed is not known; --gpu takes names too, such as rtx-4090", flops)
    peak = advice.machine.flops
    source = f"{GPU_SHARE:.0%} of the GPU's peak of {peak / 1e12:,.0f} trillion operations per second, an assumption"
    return Duration(flops / (GPU_SHARE * peak), source, flops)


def _told(pace: TrainSummary) -> str:
    done = f"{counted(pace.steps, 'step')} of {pace.method} on {pace.base}"
    return f"measured: {done} in this project took {pace.seconds:,.0f} s"


def _earlier(advice: Advice, project: Project) -> TrainSummary | None:
    """The longest training on answers in this project of the same base with the recommended method and precision."""
    assert advice.recommendation is not None, advice
    setting = advice.recommendation.setting
    found: list[TrainSummary] = []
    for artifact in ArtifactStore(project).all():
        if artifact.manifest.stage != "train":
            continue
        summary = read_model(artifact.part("training.json"), TrainSummary)
        if (summary.objective, summary.base, summary.method, summary.precision) == (
            "sft",
            advice.architecture.name,
            setting.method,
            setting.precision,
        ):
            found.append(summary)
    return max((one for one in found if one.answer_tokens and one.seconds > 0), key=lambda one: one.steps, default=None)
