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
from pathlib import Path

from workbench.core.config import StrategyConfig
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import SynthNode
from workbench.core.parts import read_rows, write_rows
from workbench.core.records import Candidate, Record
from workbench.core.stage import Artifact, Cancelled, Context, Done, Inputs, Outcome, Stage, Summary
from workbench.core.suites import Suite, read_documents, suite_path
from workbench.endpoints.client import Endpoint, endpoint_external, open_endpoint, responses_dir
from workbench.synth.checks.desk import Desk, SuiteText, SuiteTexts
from workbench.synth.drafts import Making
from workbench.synth.strategies.registry import STRATEGIES
from workbench.synth.verdicts import candidate_from, failed_checks
from workbench.text.novelty import KnownTexts

_INGEST = "ingest:"
_REPORT_EVERY = 50
_REPORTS = 100
"""Progress events of one strategy's calls, at most."""


def run(config: SynthNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Runs the strategies in order. PrerequisiteError if a teacher is missing, IncompleteError if it fails often."""
    curated = inputs["curate"].part("records.jsonl")
    suites = SuiteTexts(tuple(_suite_texts(config, inputs, ctx))) if config.strategies else SuiteTexts(())
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    accepted: list[Record] = []

    def judged() -> Iterator[Candidate]:
        for strategy in config.strategies:
            for candidate in _candidates(strategy, config, curated, suites, ctx):
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
    strategy: StrategyConfig, config: SynthNode, curated: Path, suites: SuiteTexts, ctx: Context
) -> Iterator[Candidate]:
    """The candidates of one strategy, judged one by one."""
    rule = STRATEGIES[strategy.strategy]
    endpoint = _teacher(strategy, config, ctx)

    def documents() -> Iterator[Record]:
        wanted = set(strategy.datasets)
        for record in read_rows(curated, Record):
            if record.kind == "document" and (not wanted or record.source.dataset in wanted):
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
    desk = Desk(config.synth, rule.novel, suites, KnownTexts(known))
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
    return open_endpoint(settings, config.model, ctx.project, responses_dir(ctx.project))


def _train_questions(curated: Path) -> Iterator[str]:
    return (record.prompt() for record in read_rows(curated, Record) if record.kind != "document")


def _suite_texts(config: SynthNode, inputs: Inputs, ctx: Context) -> Iterator[SuiteText]:
    """Every searched field of every suite document; suites whose dataset is no input are named in a warning."""
    datasets = _datasets(inputs)
    unread = [suite.name for suite in config.suites if _is_unread(suite, datasets)]
    if unread:
        ctx.warn(f"candidates are not checked against {', '.join(unread)}: their datasets are no inputs of this node")
    for suite in config.suites:
        if suite.name in unread:
            continue
        path = suite_path(ctx.project / config.suites_dir, suite, datasets)
        for document in read_documents(path, suite):
            for name in suite.text_fields:
                text = document.fields.get(name)
                if isinstance(text, str) and text.strip():
                    yield SuiteText(suite.name, document.doc_hash, text)


def _datasets(inputs: Inputs) -> dict[str, Artifact]:
    return {name.removeprefix(_INGEST): found for name, found in inputs.items() if name.startswith(_INGEST)}


def _is_unread(suite: Suite, datasets: dict[str, Artifact]) -> bool:
    return suite.documents.dataset is not None and suite.documents.dataset not in datasets


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
    found = {
        f"suite:{suite.name}": file_sha256(suite_path(project / config.suites_dir, suite, {}))
        for suite in config.suites
        if suite.documents.file is not None and config.strategies
    }
    for name, endpoint in config.endpoints.items():
        entries = endpoint_external(endpoint, config.model, project)
        found |= {f"endpoint:{name}:{key}": value for key, value in entries.items()}
    return found


STAGE = Stage(name="synth", version=2, config=SynthNode, run=run, libraries=("rapidfuzz",), external=_external)
