"""The course of `workbench iterate`: after each round, whether to go on, and in the end what is offered.

    round 0 passed; weak: json, wsgiref > round 1: 120 new pairs, +0.04 nats over round 0, passed; weak: wsgiref
    > round 2: 31 new pairs, its gain over round 1 is not beyond noise
    ->  stopped "no gain", offered: round 1

Everything follows from artifacts, times included (an artifact's manifest says how long it took, also when it is found
in the cache), so a run that was killed and continued takes the same course.

Why the gain over the round before needs no further correction: what a round learns is decided on development documents
alone, so as far as the suites' documents are concerned the adapters stand in a fixed order, and the rounds end at the
first gain that is not established. Tests in a fixed order, each at the full level until the first that fails, keep the
level for all of them (Maurer, Hothorn and Lehmacher 1995; Westfall and Krishen 2001, J Stat Plan Inference 99:25).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.compare import seeded_words as words
from workbench.core.ablation_results import SeededSuite
from workbench.core.commands import ITERATE
from workbench.core.config import LoopConfig
from workbench.core.errors import IncompleteError
from workbench.core.iteration import (
    Development,
    Iteration,
    Round,
    RoundGain,
    RoundGains,
    StopReason,
    Weaknesses,
)
from workbench.core.parts import read_model, write_model, write_text
from workbench.core.paths import Project
from workbench.core.results import Comparison, MixSummary, SuiteComparison, Verdict
from workbench.core.stage import Artifact
from workbench.core.suites import Suite
from workbench.loop.iterate import ROUND_ARM, SPLIT, corrected, judged_suites, round_name
from workbench.loop.iterate_text import render_iteration_markdown, spoken
from workbench.loop.plan import Node
from workbench.loop.registering import run_artifacts
from workbench.loop.run import Ending
from workbench.loop.runs import read_run
from workbench.loop.scored import config_of
from workbench.report.numbers import duration

_ROUND = re.compile(rf"(?:mix|train|score|synth|gate|compare):(?:weaknesses-|gain-)?{ROUND_ARM}")
"""Nodes of rounds; a dataset or arm whose name only contains such a word is none."""
Artifacts = Mapping[str, Artifact]


@dataclass(frozen=True, slots=True)
class Stop:
    """No round comes after this one."""

    after: int
    reason: StopReason
    sentence: str


@dataclass(frozen=True, slots=True)
class IterateCourse:
    """`loop.run.Course` of `workbench iterate`."""

    config: LoopConfig
    """As the user gave it."""
    project: Project
    command: str

    def leaves_out(self, node: Node, artifacts: Artifacts) -> bool:
        """Nodes of rounds that do not take place."""
        found = _ROUND.fullmatch(node.name)
        stop = None if found is None else self.stopped(artifacts)
        return found is not None and stop is not None and int(found[1]) > stop.after

    def stopped(self, artifacts: Artifacts) -> Stop | None:
        """Where and why the rounds end, as far as can be said yet."""
        for number in range(self.config.iterate.rounds + 1):
            if number and (stop := self._before(number, artifacts)) is not None:
                return stop
            if f"gate:{round_name(number)}" not in artifacts:
                return None
            if number and f"compare:gain-{round_name(number)}" not in artifacts:
                return None
            if (stop := self._after(number, artifacts)) is not None:
                return stop
        return None

    def end(self, run: str, artifacts: Artifacts) -> Ending:
        """Writes reports/RUN/iterate.md and iterate.json. IncompleteError if nodes were left to do."""
        stop = self.stopped(artifacts)
        if stop is None:
            again = f"{ITERATE} --resume {run}"
            raise IncompleteError("the rounds are not at their end", where=run, next_step=again)
        iteration = self._iteration(run, stop, artifacts)
        page = self.project.reports / run / "iterate.md"
        write_text(page, render_iteration_markdown(iteration))
        write_model(page.with_suffix(".json"), iteration)
        offered = {} if iteration.offered is None else _as_loop(iteration.offered, artifacts)
        return Ending(iteration.exit_code, iteration.headline, page, offered)

    def _before(self, number: int, artifacts: Artifacts) -> Stop | None:
        """What keeps a round from being trained once its weaknesses or its pairs are known."""
        weak = artifacts.get(f"compare:weaknesses-{round_name(number)}")
        if weak is not None and not (found := read_model(weak.part("weaknesses.json"), Weaknesses)).targeted:
            judged = len(found.topics)
            return Stop(number - 1, "no weakness", f"none of {judged} topics is behind the others beyond noise")
        made = artifacts.get(f"synth:{round_name(number)}")
        if made is not None and not made.manifest.summary["accepted"]:
            candidates = made.manifest.summary["candidates"]
            why = (
                "their documents have all been used, or allow none"
                if not candidates
                else f"all {candidates} candidates failed a check (candidates.jsonl of synth:{round_name(number)})"
            )
            return Stop(number - 1, "no pairs", f"no new pair for the weak topics: {why}")
        return None

    def _after(self, number: int, artifacts: Artifacts) -> Stop | None:
        """What ends the rounds with one that was trained and judged."""
        verdict = _verdict(number, artifacts)
        if verdict.state == "not comparable":
            return Stop(number, "not comparable", f"round {number} cannot be compared: {verdict.headline}")
        if verdict.state == "regressed":
            names = ", ".join(one.suite for one in verdict.decisive.suites if one.gated and one.state == "regressed")
            return Stop(number, "regressed", f"round {number} lost more than its margin on {names}")
        if number and not is_established(_gains(number, artifacts), self.config.gate.alpha):
            return Stop(number, "no gain", _no_gain(number, _gains(number, artifacts)))
        if number == self.config.iterate.rounds:
            return Stop(number, "rounds", "iterate.rounds allows no further one")
        return self._out_of_time(number, artifacts)

    def _out_of_time(self, number: int, artifacts: Artifacts) -> Stop | None:
        budget_s = self.config.iterate.limit.seconds
        if budget_s is None:
            return None
        done = [_of_round(each, artifacts) for each in range(number + 1)]
        used, last = _seconds(_shared(artifacts)) + sum(map(_seconds, done)), _seconds(done[-1])
        if used + last <= budget_s:
            return None
        sentence = (
            f"{duration(used)} of {duration(budget_s)} are used, and another round may take {duration(last)}"
        )
        return Stop(number, "budget", sentence)

    def _iteration(self, run: str, stop: Stop, artifacts: Artifacts) -> Iteration:
        rounds = tuple(self._round(number, stop, artifacts) for number in range(stop.after + 1))
        offered = offered_round(rounds)
        last = _verdict(stop.after, artifacts)
        adapter = None
        if offered is not None:
            adapter = str(_relative(artifacts[f"train:{round_name(offered)}"].part("adapter"), self.project.root))
        return Iteration(
            run=run,
            command=self.command,
            headline=_headline(offered, stop),
            stopped=stop.reason,
            stop_reason=stop.sentence,
            rounds=rounds,
            offered=offered,
            seeds=self.config.iterate.seeds,
            adapter=adapter,
            development=read_model(artifacts[SPLIT].part("development.json"), Development),
            confidence=corrected(self.config).compare.confidence,
            alpha=self.config.gate.alpha,
            limits=tuple(_limits(self.config, rounds, _not_judged_on(artifacts))),
            exit_code=0 if offered is not None else last.exit_code,
        )

    def _round(self, number: int, stop: Stop, artifacts: Artifacts) -> Round:
        name = round_name(number)
        mixed = read_model(artifacts[f"mix:{name}"].part("shares.json"), MixSummary)
        verdict = _verdict(number, artifacts)
        suites = _compared(f"compare:{name}", artifacts)
        others = [suite for suite in suites if suite.gated and suite.role != "target"]
        made = artifacts.get(f"synth:{name}") if number else artifacts.get("synth")
        searched = artifacts.get(f"compare:weaknesses-{name}")
        looked = number < stop.after or stop.reason in ("no weakness", "no pairs")
        after = artifacts.get(f"compare:weaknesses-{round_name(number + 1)}") if looked else None
        gains = _gains(number, artifacts) if number else ()
        return Round(
            number=number,
            topics=() if searched is None else read_model(searched.part("weaknesses.json"), Weaknesses).targeted,
            candidates=0 if made is None else int(made.manifest.summary["candidates"]),
            accepted=0 if made is None else int(made.manifest.summary["accepted"]),
            rows=mixed.rows,
            trainable_tokens=mixed.trainable_tokens,
            seconds=_seconds(_of_round(number, artifacts)),
            state=verdict.state,
            headline=verdict.headline,
            targets=tuple(_gain(suite) for suite in suites if suite.role == "target"),
            worst=min((_gain(suite) for suite in others), key=_beyond_margin, default=None),
            over_before=gains,
            established=is_established(gains, self.config.gate.alpha) if number else None,
            weaknesses=None if after is None else read_model(after.part("weaknesses.json"), Weaknesses),
        )


def publish_again(project: Project, run: str) -> Path | None:
    """Writes the pages of a finished run again; None if its rounds have not come to their end, or it had none."""
    if not (command := read_run(project, run).command).startswith(ITERATE):
        return None
    course = IterateCourse(config_of(project, run), project, command)
    artifacts = run_artifacts(project, run)
    return None if course.stopped(artifacts) is None else course.end(run, artifacts).report


def is_established(gains: tuple[SeededSuite, ...], alpha: float) -> bool:
    """Whether the whole interval of a target suite is above zero, also after Holm, and none is below it."""
    comparable = [one for one in gains if not one.obstacles]
    gained = any(one.p_better_holm <= alpha and one.gain.low > 0 for one in comparable)
    return gained and not any(one.gain.high < 0 for one in comparable)


def _no_gain(number: int, gains: tuple[SeededSuite, ...]) -> str:
    """Why the gain of a round is not established: what got certainly worse, where something did."""
    lost = [one for one in gains if not one.obstacles and one.gain.high < 0]
    if not lost:
        return f"the gain of round {number} over round {number - 1} is not established"
    shown = ", ".join(f"{one.suite} ({words.change(one)})" for one in lost)
    return f"round {number} is certainly worse than round {number - 1} on {shown}"


def offered_round(rounds: tuple[Round, ...]) -> int | None:
    """The last round that passed the gate and is established over the one before it; None if there is none.

    Not the one with the largest gain: the largest of several is partly luck."""
    passed = [one.number for one in rounds if one.state == "passed" and one.established is not False]
    return passed[-1] if passed else None


def _headline(offered: int | None, stop: Stop) -> str:
    end = f"Stopped after {spoken(stop.after)}: {stop.sentence}."
    return f"No round passed the gate. {end}" if offered is None else f"Offered: {spoken(offered)}. {end}"


def _not_judged_on(artifacts: Artifacts) -> tuple[str, ...]:
    """Suites that were there when the run was planned, and that no round is judged on."""
    suites = tuple(Suite.model_validate(one) for one in artifacts["curate"].manifest.config["suites"])
    judged = judged_suites(suites)
    return tuple(one.name for one in suites if one not in judged)


def _limits(config: LoopConfig, rounds: tuple[Round, ...], left_out: tuple[str, ...]) -> list[str]:
    found = [
        "One training per round: a gain over the round before is about these two adapters, and another seed may give "
        "another. Several trainings per round tell (iterate.seeds)."
        if config.iterate.seeds == 1
        else "A gain over the round before is about trainings with other seeds, too; verdict and weaknesses are about "
        "the adapter of the first seed.",
        "Whether pairs for weak topics do more than as many pairs for other topics is not shown: a round is compared "
        "with the round before, which had fewer pairs.",
        "A topic with a high loss may be hard to predict rather than badly known.",
    ]
    if config.train.max_steps is None:
        found.append("Training goes by passes over the rows, so later rounds also train for more steps.")
    if left_out:
        found.append(f"Left out of the rounds, since they need a judge: {', '.join(left_out)}.")
    if any(one.weaknesses is not None and one.weaknesses.failed for one in rounds):
        found.append("Some development documents could not be scored; they are in no topic's loss.")
    return found


def _as_loop(number: int, artifacts: Artifacts) -> dict[str, Artifact]:
    """The artifacts of a round under the names they have in a loop of its own."""
    name = round_name(number)
    own = {stage: artifacts[f"{stage}:{name}"] for stage in ("mix", "train", "compare", "gate")}
    return {**_shared(artifacts), **own, f"score:{name}": artifacts[f"score:{name}"]}


def _shared(artifacts: Artifacts) -> dict[str, Artifact]:
    """Those that belong to no round."""
    return {key: one for key, one in artifacts.items() if _ROUND.fullmatch(key) is None}


def _of_round(number: int, artifacts: Artifacts) -> dict[str, Artifact]:
    return {key: one for key, one in artifacts.items() if (found := _ROUND.fullmatch(key)) and int(found[1]) == number}


def _seconds(artifacts: Artifacts) -> float:
    return sum(one.manifest.seconds for one in artifacts.values())


def _verdict(number: int, artifacts: Artifacts) -> Verdict:
    return read_model(artifacts[f"gate:{round_name(number)}"].part("verdict.json"), Verdict)


def _compared(node: str, artifacts: Artifacts) -> tuple[SuiteComparison, ...]:
    """The suites of the deciding pair that could be compared."""
    comparison = read_model(artifacts[node].part("comparison.json"), Comparison)
    pair = next(pair for pair in comparison.pairs if pair.purpose == "candidate")
    return tuple(suite for suite in pair.suites if pair.comparable and not suite.obstacles and suite.method != "none")


def _gains(number: int, artifacts: Artifacts) -> tuple[SeededSuite, ...]:
    return read_model(artifacts[f"compare:gain-{round_name(number)}"].part("gains.json"), RoundGains).suites


def _gain(suite: SuiteComparison) -> RoundGain:
    return RoundGain(suite=suite.suite, unit=suite.unit, gain=suite.gain, margin=suite.margin)


def _beyond_margin(one: RoundGain) -> float:
    """The gain in margins, so that suites of several units can be ranked."""
    return one.gain.value / one.margin if one.margin else one.gain.value


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
