"""When a sweep stops: before what would not fit into its budget, after whole arms.

    budget 30min, 4 arms, 3 seeds; trainings took 150 s, scorings 40 s
    ->  the first round is done after 13 min; the second would need 13 more: done; the third does not fit: stop

The first round may stop after any arm (wherever the plan has an answer), the others go whole or not at all, so that all
arms have as many seeds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from workbench.core.errors import IncompleteError
from workbench.core.sweeps import SweepConfig
from workbench.loop.artifacts import ArtifactStore
from workbench.loop.forecast import COSTLY, expected_s
from workbench.loop.plan import Node, Plan
from workbench.loop.sweep import ANSWERS
from workbench.report.numbers import counted, duration


@dataclass(slots=True)
class Budget:
    """Counts what this command computes; what is in the cache costs nothing."""

    sweep: SweepConfig
    store: ArtifactStore
    groups: Mapping[str, tuple[Node, ...]]
    """Node to the nodes that are started together with it, or not at all."""
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    trainings: int = 0
    _begun: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def __call__(self, node: Node) -> str | None:
        """Why to stop before this node, which is not in the cache; None to go on.

        IncompleteError if the budget does not even cover what comes before the first answer."""
        if node.name not in self.groups or node.name in self._begun:
            return None
        group = self.groups[node.name]
        left = [one for one in group if self.store.find(one.stage, one.fingerprint) is None]
        trainings = sum(one.stage == "train" for one in left)
        if (problem := self._problem(left, trainings)) is not None:
            if group == next(iter(self.groups.values())):
                raise IncompleteError(
                    f"the budget of {self.sweep.budget} does not cover the first arm: {problem}",
                    where="sweep.budget",
                    next_step="raise it, or make a training shorter (train.max_steps)",
                )
            further = "the same command goes on" if self._begun else "a larger budget goes on (--budget)"
            return f"the budget of {self.sweep.budget} ends here: {problem}; {further}"
        self.trainings += trainings
        self._begun |= {one.name for one in group}
        return None

    def _problem(self, left: list[Node], trainings: int) -> str | None:
        more = counted(trainings, "more training")
        most = self.sweep.limit.count
        if most is not None and self.trainings + trainings > most:
            return f"{more} would follow"
        limit, used = self.sweep.limit.seconds, self.clock() - self.started
        if limit is None:
            return None
        expected = self._expected_s(left)
        if used + expected <= limit:
            return None
        return f"{duration(used)} are used, and {more} would take about {duration(expected)}"

    def _expected_s(self, left: list[Node]) -> float:
        """By earlier nodes with the same settings, else by the mean of this sweep's; 0 while nothing was measured."""
        swept = {one.fingerprint for group in self.groups.values() for one in group}
        earlier = [found.manifest for found in self.store.all() if found.manifest.stage in COSTLY]
        total = 0.0
        for node in left:
            alike = expected_s(node, earlier)
            if alike is None:
                own = [one.seconds for one in earlier if one.stage == node.stage and one.fingerprint in swept]
                alike = sum(own) / len(own) if own else 0.0
            total += alike
        return total


def groups_of(plan: Plan) -> dict[str, tuple[Node, ...]]:
    """Trainings and scorings between two answers belong together; the base's scores belong to the first."""
    groups: dict[str, tuple[Node, ...]] = {}
    waiting: list[Node] = []
    for node in plan.nodes:
        if node.stage in COSTLY:
            waiting.append(node)
        elif node.name.startswith(ANSWERS):
            groups |= {one.name: tuple(waiting) for one in waiting}
            waiting = []
    return groups
