"""How often two trainings that differ in nothing but the seed are told apart, as rounds of `workbench iterate` are.

    workbench sweep --seeds 6 --run-id same        one recipe, six seeds, on a project of yours
    python benchmarks/seed_noise.py DIR same       1 adapter per side: 30 comparisons, 5 "established"; 2: 180, 0; ...

Adapters of one recipe are put on two sides in every way there is, paired in every order, and compared on the target
suites of the sweep by the rule that says whether a round beat the one before. Nothing is to be found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from pathlib import Path

from workbench.compare.pairs import Arm
from workbench.compare.seeded_suites import Rules, compare_seeds, named_arm
from workbench.compare.statistics.multiplicity import holm
from workbench.core.nodes import SweepNode
from workbench.core.paths import Project
from workbench.core.suites import Suite
from workbench.loop.iterate_course import is_established
from workbench.loop.registering import run_artifacts
from workbench.loop.sweep import last_answer


def main() -> None:
    """Compares and prints one line per number of adapters on each side."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("run", help="a finished sweep of one arm with several seeds")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    node, adapters = _adapters(Project(options.project.absolute()), options.run)
    rules = Rules(node.compare, node.alpha, node.max_failed_fraction)
    targets = [suite for suite in node.suites if suite.role == "target"]
    print("adapters per side  comparisons  established", flush=True)
    found = []
    for size in range(1, len(adapters) // 2 + 1):
        judged = [_established(rules, targets, before, after) for before, after in _sides(adapters, size)]
        found.append({"adapters": size, "comparisons": len(judged), "established": sum(judged)})
        print(f"{size:>17}  {len(judged):>11}  {sum(judged):>11}", flush=True)
    if options.json:
        print(json.dumps(found))


def _adapters(project: Project, run: str) -> tuple[SweepNode, list[Arm]]:
    """The sweep's settings, and its only arm's scores by seed."""
    artifacts = run_artifacts(project, run)
    answer = last_answer(artifacts)
    if answer is None:
        raise SystemExit(f"{run} is no finished sweep")
    node = SweepNode.model_validate(answer.manifest.config)
    if len(node.arms) != 1:
        raise SystemExit(f"{run} has {len(node.arms)} arms: give no --set with several values")
    return node, [named_arm(artifacts, name, node.suites) for name in node.arms[0].scored]


def _sides(adapters: Sequence[Arm], size: int) -> Iterator[tuple[tuple[Arm, ...], tuple[Arm, ...]]]:
    """Every two sides of `size` adapters each, every pairing once."""
    for before in combinations(range(len(adapters)), size):
        rest = [place for place in range(len(adapters)) if place not in before]
        for after in permutations(rest, size):
            yield tuple(adapters[place] for place in before), tuple(adapters[place] for place in after)


def _established(rules: Rules, targets: Sequence[Suite], before: Sequence[Arm], after: Sequence[Arm]) -> bool:
    suites = [compare_seeds(rules, suite, before, after) for suite in targets]
    corrected = holm([suite.p_better for suite in suites])
    judged = tuple(
        suite.model_copy(update={"p_better_holm": p_better}) for suite, p_better in zip(suites, corrected, strict=True)
    )
    return is_established(judged, rules.alpha)


if __name__ == "__main__":
    main()
