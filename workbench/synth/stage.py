"""`synth`: pairs made from curated documents, each with every check's verdict.

    records.jsonl of curate:  {"kind": "document", "text": "textwrap.dedent(text)\\n\\nRemove any common ...", ...}
    candidates.jsonl:         {"strategy": "doc_pairs", "status": "accepted", "record": {...}, "checks": [...], ...}
    records.jsonl:            {"kind": "chat", "messages": [...], "source": {"dataset": "synth:doc_pairs", ...}}

Nothing is deleted: rejected candidates stay in candidates.jsonl with their reasons. A strategy whose candidates are all
rejected is a result, not an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from workbench.core.config import StrategyConfig
from workbench.core.iteration import TargetedSynthNode
from workbench.core.nodes import SynthNode
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import Candidate, Record
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage, Summary
from workbench.endpoints.client import Endpoint, endpoint_external, open_endpoint, responses_dir
from workbench.synth.aim import Aim, aim_of
from workbench.synth.checks.desk import Desk, Evaluation
from workbench.synth.drafts import Making
from workbench.synth.strategies.registry import STRATEGIES
from workbench.synth.verdicts import candidate_from, failed_checks
from workbench.text.evaluation_sets import load_evaluation_sets, suite_files, without_text
from workbench.text.novelty import KnownTexts

_REPORT_EVERY = 50
_REPORTS = 100
"""Progress events of one strategy's calls, at most."""


def run(config: SynthNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Runs the strategies in order. PrerequisiteError if a teacher is missing, IncompleteError if it fails often."""
    curated = inputs["curate"].part("records.jsonl")
    evaluation = _evaluation(config, inputs, ctx)
    aim = aim_of(config, inputs)
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    accepted: list[Record] = []

    def judged() -> Iterator[Candidate]:
        for strategy in config.strategies:
            for candidate in _candidates(strategy, config, curated, evaluation, aim, ctx):
                counts.update([candidate.status, f"{strategy.strategy}:{candidate.status}"])
                reasons.setdefault(strategy.strategy, Counter()).update(c.name for c in failed_checks(candidate))
                if candidate.status == "accepted" and candidate.record is not None:
                    accepted.append(candidate.record)
                yield candidate

    total = write_rows(ctx.out_dir / "candidates.jsonl", judged())
    if ctx.cancelled():
        return Cancelled()
    write_rows(ctx.out_dir / "records.jsonl", accepted)
    for name, failed in reasons.items():
        _report(ctx, name, counts, failed)
    return Done(_summary(config, total, counts))


def _candidates(
    strategy: StrategyConfig, config: SynthNode, curated: Path, evaluation: Evaluation, aim: Aim | None, ctx: Context
) -> Iterator[Candidate]:
    """The candidates of one strategy, judged one by one."""
    rule = STRATEGIES[strategy.strategy]
    endpoint = _teacher(strategy, config, ctx)

    def documents() -> Iterator[Record]:
        wanted = set(strategy.datasets)
        for record in read_rows(curated, Record):
            named = not wanted or record.source.dataset in wanted
            if record.kind == "document" and named and (aim is None or aim.wants(record)):
                yield record

    def report_calls(done: int, calls: int) -> None:
        if done % max(1, calls // _REPORTS) == 0 or done == calls:
            ctx.progress(done, calls, "calls", strategy.strategy)

    making = Making(
        config=strategy,
        documents=documents,
        endpoint=endpoint,
        seed=config.seed,
        progress=report_calls,
        cancelled=ctx.cancelled,
        warn=ctx.warn,
    )
    known = _train_questions(curated) if rule.novel == "question" else ()
    desk = Desk(config.synth, rule.novel, evaluation, KnownTexts(chain(known, _earlier(aim, rule.novel))))
    for number, draft in enumerate(rule.make(making), start=1):
        yield candidate_from(draft, desk)
        if number % _REPORT_EVERY == 0:
            ctx.progress(number, strategy.count, "candidates", strategy.strategy)
        if ctx.cancelled():
            return


def _teacher(strategy: StrategyConfig, config: SynthNode, ctx: Context) -> Endpoint | None:
    if strategy.endpoint is None:
        return None
    settings = config.endpoints[strategy.endpoint]
    if settings.kind == "in_process":
        ctx.warn(
            f"{strategy.strategy}: the teacher is the base model itself, which is a smoke test and no source of facts; "
            "few or no candidates will pass"
        )
    return open_endpoint(settings, config.model, ctx.project, responses_dir(ctx.project), ctx.info)


def _train_questions(curated: Path) -> Iterator[str]:
    return (record.prompt() for record in read_rows(curated, Record) if record.kind != "document")


def _earlier(aim: Aim | None, novel: str) -> Iterator[str]:
    """What a new pair must differ from, of the pairs of earlier rounds."""
    for pair in () if aim is None else aim.pairs:
        yield pair.prompt() if novel == "question" else pair.full_text()


def _evaluation(config: SynthNode, inputs: Inputs, ctx: Context) -> Evaluation:
    """What candidates must not give away: the same as curated rows. Raises as `load_evaluation_sets`."""
    sets = load_evaluation_sets(config.decontamination, config, inputs, ctx.project) if config.strategies else []
    for warning in without_text(sets):
        ctx.warn(warning)
    return Evaluation(sets, config.decontamination)


def _report(ctx: Context, strategy: str, counts: Counter[str], failed: Counter[str]) -> None:
    made = sum(counts[f"{strategy}:{status}"] for status in ("accepted", "rejected", "review", "error"))
    why = ", ".join(f"{name} {count}" for name, count in failed.most_common(4))
    errors = counts[f"{strategy}:error"]
    message = f"{strategy}: accepted {counts[f'{strategy}:accepted']} of {made}"
    message += f"; failed checks: {why}" if why else ""
    message += f"; {errors} calls without an answer" if errors else ""
    (ctx.warn if errors else ctx.info)(message)


def _summary(config: SynthNode, total: int, counts: Counter[str]) -> Summary:
    summary: Summary = {"candidates": total}
    summary |= {name: counts[name] for name in ("accepted", "rejected", "review", "error")}
    summary |= {
        f"{strategy.strategy} accepted": counts[f"{strategy.strategy}:accepted"] for strategy in config.strategies
    }
    return summary


def _external(config: SynthNode, project: Path) -> dict[str, str]:
    """Files of the suites, and what the teachers are."""
    found = suite_files(config.decontamination, config, project) if config.strategies else {}
    for name, endpoint in config.endpoints.items():
        entries = endpoint_external(endpoint, config.model, project)
        found |= {f"endpoint:{name}:{key}": value for key, value in entries.items()}
    return found


STAGE = Stage(
    name="synth",
    version=3,
    config=(SynthNode, TargetedSynthNode),
    run=run,
    libraries=("rapidfuzz",),
    external=_external,
)
