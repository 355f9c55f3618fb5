"""When the rounds end and what is offered, from artifacts written by hand; and that chance is not built on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from manifests import made_up_manifest

from workbench.compare.gain import Settings
from workbench.compare.seeds import SeededScores, seeded_gain
from workbench.compare.statistics.multiplicity import holm
from workbench.compare.suite import Scale
from workbench.core.ablation_results import SeededSuite
from workbench.core.config import LoopConfig
from workbench.core.errors import IncompleteError
from workbench.core.iterate import IterateConfig
from workbench.core.iteration import Development, Iteration, RoundGains, TopicLoss, Weaknesses
from workbench.core.parts import read_model, write_model
from workbench.core.paths import Project
from workbench.core.results import (
    Comparison,
    Interval,
    MixSummary,
    PairComparison,
    PairVerdict,
    RunState,
    SuiteComparison,
    SuiteVerdict,
    Verdict,
)
from workbench.core.stage import Artifact
from workbench.core.suites import Suite
from workbench.loop.iterate_course import IterateCourse, is_established, offered_round
from workbench.loop.iterate_text import render_iteration
from workbench.loop.plan import Node

EXIT = {"passed": 0, "inconclusive": 0, "regressed": 1, "not comparable": 3}


def gain(value: float, half: float, p: float, suite: str = "docs") -> SeededSuite:
    return SeededSuite(
        suite=suite, metric="nll", role="target", unit="nats_per_token", gated=True, margin=0.1,
        higher_is_better=False, n=50, failed=0, gain=Interval(value=value, low=value - half, high=value + half),
        gain_se=half / 2, by_seed=(value,), seed_sd=0, seed_share=0, method="t", p_better=p, p_better_holm=p,
        p_worse=1 - p, mde=half,
    )  # fmt: skip


def compared(suite: str, role: str, value: float, margin: float) -> SuiteComparison:
    interval = Interval(value=value, low=value - 0.01, high=value + 0.01)
    fields: dict[str, Any] = dict.fromkeys(("unpaired", "failed_before", "failed_after", "unparsed_before"), 0)
    fields |= dict.fromkeys(("p_improved", "p_improved_holm", "p_value", "mde", "gain_se"), 0.5)
    return SuiteComparison.model_validate(
        fields
        | {
            "suite": suite, "task": suite, "filter": "none", "metric": "nll", "kind": "perplexity", "role": role,
            "unit": "nats_per_token", "gated": True, "margin": margin, "higher_is_better": False, "n": 50,
            "unparsed_after": 0, "before": interval, "after": interval, "gain": interval, "method": "t", "test": "t",
            "identical": False,
        }
    )  # fmt: skip


class World:
    """Artifacts of a run, round by round."""

    def __init__(self, root: Path, **iterate: Any) -> None:
        self.root = root
        config = LoopConfig(iterate=IterateConfig(rounds=2, **iterate))
        self.course = IterateCourse(config, Project(root), "workbench iterate")
        self.artifacts: dict[str, Artifact] = {}
        asked = {"name": "answers", "kind": "judge", "role": "target", "documents": {"file": "a.jsonl"}}
        asked |= {"primary_metric": "preference", "margin": 0.1}
        self.add("curate")
        self.artifacts["curate"].manifest.config["suites"] = [Suite.model_validate(asked).model_dump(mode="json")]
        self.add("curate:development", "development.json", Development(
            by="topic", documents=40, clusters=40, topics=3, topics_too_small=1, set_aside=0))  # fmt: skip

    def add(self, node: str, part: str | None = None, model: Any = None, seconds: float = 0, **summary: Any) -> None:
        directory = self.root / ".workbench" / "artifacts" / node.replace(":", "/")
        manifest = made_up_manifest(node).model_copy(update={"seconds": seconds, "summary": summary})
        self.artifacts[node] = Artifact(directory, manifest)
        if part is not None:
            write_model(directory / part, model)

    def searched(self, number: int, *weak: str) -> None:
        behind = Interval(value=0.5, low=0.2, high=0.8)
        topics = tuple(
            TopicLoss(topic=name, documents=9, clusters=9, loss=3.5, behind=behind, p_value=0.01, weak=True)
            for name in weak
        )
        found = Weaknesses(by="topic", alpha=0.05, topics=topics, targeted=weak, failed=0, not_judged=0)
        self.add(f"compare:weaknesses-round-{number}", "weaknesses.json", found)

    def made(self, number: int, accepted: int, candidates: int = 40) -> None:
        self.add(f"synth:round-{number}", candidates=candidates, accepted=accepted)

    def judged(self, number: int, state: RunState = "passed", over: SeededSuite | None = None) -> None:
        name = f"round-{number}"
        self.add(f"mix:{name}", "shares.json", MixSummary(shares=(), rows=90, trainable_tokens=900, token_counter=""))
        self.add(f"train:{name}", seconds=100)
        self.add(f"score:{name}")
        suites = (compared("docs", "target", 0.3, 0.1), compared("a", "general", -0.01, 0.02),
                  compared("b", "general", -0.02, 0.1))  # fmt: skip
        pair = PairComparison(before="base", after=name, purpose="candidate", comparable=True, suites=suites)
        self.add(f"compare:{name}", "comparison.json", Comparison(confidence=0.98, pairs=(pair,)))
        one = SuiteVerdict(
            suite="a", metric="nll", role="general", gated=True, nothing_changed=False, reason="why",
            state="regressed" if state == "regressed" else "non-inferior",
        )  # fmt: skip
        decisive = PairVerdict(
            before="base", after=name, purpose="candidate", state=state, nothing_changed=False, suites=(one,),
            reasons=(),
        )  # fmt: skip
        said = f"{name} {state}"
        verdict = Verdict(state=state, headline=said, decisive=decisive, exit_code=EXIT[state], strict=False)
        self.add(f"gate:{name}", "verdict.json", verdict)
        if over is not None:
            self.add(f"compare:gain-{name}", "gains.json", RoundGains(suites=(over,)))

    def end(self) -> Iteration:
        ending = self.course.end("r", self.artifacts)
        found = read_model(self.root / "reports" / "r" / "iterate.json", Iteration)
        assert (ending.exit_code, ending.headline) == (found.exit_code, found.headline)
        wanted = {} if found.offered is None else {"train": self.artifacts[f"train:round-{found.offered}"]}
        assert {name: one for name, one in ending.adapter.items() if name == "train"} == wanted
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_rounds_go_on_while_each_is_established_and_the_last_is_offered(world: World) -> None:
    world.judged(0)
    assert world.course.stopped(world.artifacts) is None
    with pytest.raises(IncompleteError, match="not at their end"):
        world.course.end("r", world.artifacts)
    for number in (1, 2):
        world.searched(number, "gamma")
        world.made(number, 30)
        world.judged(number, over=gain(0.05, 0.02, 0.001))
    found = world.end()
    assert (found.stopped, found.offered, found.exit_code) == ("rounds", 2, 0)
    assert [(one.number, one.accepted, one.topics) for one in found.rounds] == [
        (0, 0, ()), (1, 30, ("gamma",)), (2, 30, ("gamma",)),
    ]  # fmt: skip
    assert found.rounds[0].worst is not None and found.rounds[0].worst.suite == "a", "half its margin, b a fifth"
    assert found.adapter == ".workbench/artifacts/train/round-2/adapter"
    assert "passed, offered" in render_iteration(found)


@pytest.mark.parametrize(
    ("over", "established"),
    [
        (gain(0.05, 0.02, 0.001), True),
        (gain(0.05, 0.08, 0.2), False),
        (gain(0.05, 0.051, 0.03), False),
        (gain(-0.05, 0.02, 0.999), False),
        (gain(0.05, 0.02, 0.001).model_copy(update={"obstacles": ("other documents",)}), False),
    ],
)
def test_a_gain_counts_only_beyond_noise(world: World, over: SeededSuite, established: bool) -> None:
    world.judged(0)
    world.searched(1, "gamma")
    world.made(1, 30)
    world.judged(1, over=over)
    stop = world.course.stopped(world.artifacts)
    assert (stop is None) is established
    if stop is not None:
        assert stop.reason == "no gain" and world.end().offered == 0


def test_a_loss_on_one_target_is_not_paid_for_by_a_gain_on_another() -> None:
    assert is_established((gain(0.05, 0.02, 0.001), gain(-0.01, 0.02, 0.8, "other")), 0.05)
    assert not is_established((gain(0.05, 0.02, 0.001), gain(-0.05, 0.02, 0.99, "other")), 0.05)
    assert not is_established((), 0.05)


def test_a_regressed_round_ends_it_and_the_one_before_is_offered(world: World) -> None:
    world.judged(0)
    world.searched(1, "gamma")
    world.made(1, 30)
    world.judged(1, "regressed", gain(0.5, 0.02, 0.001))
    found = world.end()
    assert (found.stopped, found.offered, found.exit_code) == ("regressed", 0, 0)
    assert "more than its margin on a" in found.stop_reason


@pytest.mark.parametrize(("state", "code"), [("regressed", 1), ("not comparable", 3)])
def test_where_the_first_training_fails_nothing_is_offered(world: World, state: RunState, code: int) -> None:
    world.judged(0, state)
    found = world.end()
    assert (found.stopped, found.offered, found.adapter, found.exit_code) == (state, None, None, code)


def test_an_inconclusive_round_goes_on_but_is_not_offered(world: World) -> None:
    world.judged(0, "inconclusive")
    assert world.course.stopped(world.artifacts) is None
    world.searched(1)
    found = world.end()
    assert (found.stopped, found.offered, found.exit_code) == ("no weakness", None, 0)


def test_without_weaknesses_or_new_pairs_nothing_more_is_trained(world: World) -> None:
    world.judged(0)
    world.searched(1, "gamma")
    assert world.course.stopped(world.artifacts) is None
    world.made(1, 0)
    assert world.end().stopped == "no pairs"
    first, later = (Node(f"train:round-{number}", "train", IterateConfig(), (), {}, {}, "f") for number in (0, 1))
    assert world.course.leaves_out(later, world.artifacts)
    assert not world.course.leaves_out(first, world.artifacts)
    world.made(1, 1)
    assert not world.course.leaves_out(later, world.artifacts)


def test_what_a_name_only_contains_is_no_round(world: World) -> None:
    world.judged(0)
    world.searched(1)
    assert world.course.stopped(world.artifacts) is not None
    for name in ("score:base-round-1", "ingest:round-1", "score:round-1x"):
        assert not world.course.leaves_out(Node(name, "score", IterateConfig(), (), {}, {}, "f"), world.artifacts)
    for name in ("score:round-1-s1", "score:development-round-2", "compare:gain-round-1", "mix:round-1"):
        assert world.course.leaves_out(Node(name, "score", IterateConfig(), (), {}, {}, "f"), world.artifacts)


def test_the_reason_names_the_suite_that_got_worse(world: World) -> None:
    world.judged(0)
    world.searched(1, "gamma")
    world.made(1, 30)
    world.judged(1, over=gain(0.05, 0.02, 0.001))
    gains = RoundGains(suites=(gain(0.05, 0.02, 0.001), gain(-0.04, 0.01, 0.99, "qa-heldout")))
    world.add("compare:gain-round-1", "gains.json", gains)
    found = world.end()
    assert found.stopped == "no gain"
    assert found.stop_reason == "round 1 is certainly worse than round 0 on qa-heldout (-0.040)"


def test_a_gain_elsewhere_is_not_shown_as_the_largest_loss(world: World) -> None:
    world.judged(0, "inconclusive")
    world.searched(1)
    found = world.end()
    assert "a -0.010 nats per token" in render_iteration(found)
    worst = found.rounds[0].worst
    assert worst is not None
    better = worst.model_copy(update={"gain": Interval(value=0.32, low=0.3, high=0.34)})
    rounds = (found.rounds[0].model_copy(update={"worst": better}),)
    shown = render_iteration(found.model_copy(update={"rounds": rounds}))
    assert "+0.320" not in shown and "nothing" in shown.splitlines()[1]


def test_the_budget_is_looked_at_between_rounds_and_goes_by_recorded_times(tmp_path: Path) -> None:
    for budget, goes_on in (("150s", False), ("210s", True)):
        world = World(tmp_path / budget, budget=budget)
        world.judged(0)
        stop = world.course.stopped(world.artifacts)
        assert (stop is None) is goes_on
        assert stop is None or (stop.reason, stop.sentence[:24]) == ("budget", "1 min 40 s of 2 min 30 s")
        # what a continued run finds of later rounds changes nothing
        world.add("train:round-1", seconds=1000)
        assert (world.course.stopped(world.artifacts) is None) is goes_on


def test_the_largest_gain_is_not_what_is_offered(world: World) -> None:
    for number, over in ((0, None), (1, gain(0.9, 0.02, 0.001)), (2, gain(0.01, 0.005, 0.001))):
        if number:
            world.searched(number, "gamma")
            world.made(number, 30)
        world.judged(number, "passed", over)
    assert world.end().offered == 2 and offered_round(world.end().rounds[:2]) == 1


def test_the_page_shows_names_as_text(world: World) -> None:
    world.judged(0)
    world.searched(1, "*gamma*\x1b[2J")
    world.made(1, 5)
    world.judged(1, over=gain(0, 1, 0.5))
    world.end()
    page = (world.root / "reports" / "r" / "iterate.md").read_text()
    shown = render_iteration(world.end())
    assert "gamma" in page and "*gamma*" not in page and "\x1b" not in page
    assert "*gamma*" in shown and "\x1b" not in shown
    assert "Left out of the rounds, since they need a judge: answers." in page
    assert json.loads((world.root / "reports" / "r" / "iterate.json").read_text())["schema_version"] == 1


@pytest.mark.parametrize("true_gains", [(), (0.5,)])
def test_a_round_that_adds_nothing_is_rarely_built_on(true_gains: tuple[float, ...]) -> None:
    """Three rounds on two target suites of 40 documents, the first of which may help: any false gain in 600 runs."""
    chance = np.random.default_rng(0)
    scale, settings = Scale("score", False, 1, None), Settings(0.95, 999, 0, exploratory=True)
    weights, clusters = np.ones(40), np.arange(40)
    runs, false = 600, 0
    for _ in range(runs):
        levels = np.cumsum([0.0, *true_gains, *[0.0] * (3 - len(true_gains))])
        scores = chance.normal(0, 1, (2, 40, 1)) + levels + chance.normal(0, 0.5, (2, 40, 4))
        for number in range(1, 4):
            pairs = [SeededScores(one[:, [number - 1]], one[:, [number]], weights, clusters) for one in scores]
            found = [seeded_gain(pair, scale, settings, 0.05) for pair in pairs]
            p_values = holm([one.p_better for one in found if one is not None])
            gains = tuple(
                gain(one.estimate.value, one.estimate.high - one.estimate.value, p)
                for one, p in zip(found, p_values, strict=True)
                if one is not None
            )
            false += number > len(true_gains) and is_established(gains, 0.05)
            if number > len(true_gains) or not is_established(gains, 0.05):
                break
    assert false / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
