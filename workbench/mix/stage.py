"""The mix stage: one training set from several sources, in wanted shares of what is actually trained on.

    sources   manuals (records of that dataset), synth:doc_pairs (accepted pairs), general (replayed against forgetting)
    shares    {manuals: 0.25, "synth:doc_pairs": 0.75}     in trainable tokens: answers, not prompts
    replay    {datasets: [general], share: 0.05}           of all trainable tokens; the shares divide the rest
    out       train.jsonl (in training order), shares.json (requested .2375, realised .2375, repeated 1.0 times, ...)

Without shares everything goes in once, and as much replay as makes its share. Rows are read twice, once to count and
once to write, so that only numbers are held in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import MixNode
from workbench.core.objectives import OBJECTIVES, RowKind, rows_problem
from workbench.core.parts import write_model, write_rows
from workbench.core.records import Record
from workbench.core.results import MixSummary, Share
from workbench.core.stage import Artifact, Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.mix.rows import RowFile, RowTable, count_rows
from workbench.mix.selection import curated_files, selected
from workbench.mix.shares import Demand, Quota, pick, quotas, refuse_unknown_sources
from workbench.models.chat import NO_LIMIT
from workbench.models.token_counts import TokenCounter, tokenizer_fingerprint

_ROWS_BETWEEN_LOOKS = 500
_SHORT_OF_SHARE = 0.01
"""A realised share this far from the requested one is worth a warning."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows of one source that may be drawn, and the trainable tokens of each."""

    rows: list[int]
    tokens: list[int]


def run(config: MixNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Counts, draws and shuffles; writes the parts `MixNode` names.

    Raises UsageError if a share names a source that is not there or is replayed, IncompleteError if no row is left to
    train on.
    """
    curated = curated_files(inputs["curate"].path, config.rows) if "curate" in inputs else []
    files = curated + [RowFile(artifact.part("records.jsonl")) for artifact in _synthetic(inputs)]
    table = _count(config, files, inputs, ctx)
    if table is None:
        return Cancelled()
    refuse_unknown_sources(config.mix.shares, sorted({*table.names, *table.unfit}))
    _refuse_shares_of_replayed(config)
    _refuse_unfit(config, table)
    _report_losses(table, config, ctx)
    sources = _sources(table, selected(table, config.rows, len(curated), config.seed))
    demand = Demand(config.mix.shares, _replayed(config, sources), config.mix.replay.share)
    allowed = quotas({name: source.tokens for name, source in sources.items()}, demand, *_limits(config))
    drawn = _drawn(sources, allowed, config.seed)
    if not any(drawn.values()):
        raise _nothing(table, config)
    summary = _summary(table, sources, allowed, drawn, demand, config)
    _report_shares(summary, sources, config, ctx)
    order = [sources[name].rows[place] for name, places in drawn.items() for place in places]
    Random(json.dumps(["mix order", config.seed])).shuffle(order)
    write_rows(ctx.out_dir / "train.jsonl", _written(table, order, ctx))
    if ctx.cancelled():
        return Cancelled()
    write_model(ctx.out_dir / "shares.json", summary)
    return Done(
        {
            "rows": summary.rows,
            "trainable_tokens": summary.trainable_tokens,
            "sources": sum(share.rows > 0 for share in summary.shares),
            "over_max_length": table.truncated,
            "without_trainable_tokens": table.without_tokens,
            "thumbs_down": table.thumbs_down,
        }
    )


def _nothing(table: RowTable, config: MixNode) -> IncompleteError:
    unusable = (
        f"of {table.seen} records {table.without_tokens} have no trainable token{_within(config)} and "
        f"{table.thumbs_down} are marked as bad answers"
    )
    if config.rows == "dropped":
        return IncompleteError(
            f"curation dropped nothing that training would read, so there is nothing to ask: {unusable}, "
            f"{table.evaluation} hold evaluation data",
            where="ablate",
            next_step="look at the funnel (workbench run --until curate); a reason that only flags drops nothing until "
            "curate.actions says so",
        )
    return IncompleteError(
        f"no row to train on: {unusable}",
        where="mix",
        next_step="look at what curation dropped (funnel.json) and at mix.shares, or add data"
        if config.objective == "pretrain"
        else "raise train.max_length, look at mix.shares, or add data",
    )


def external(config: MixNode, project: Path) -> dict[str, str]:
    """The model's tokenizer."""
    return {"tokenizer": tokenizer_fingerprint(config.model, project)}


def _count(config: MixNode, files: Sequence[RowFile], inputs: Inputs, ctx: Context) -> RowTable | None:
    # Long documents are cut into windows in `pretrain`: nothing of them is lost.
    longest = NO_LIMIT if config.objective == "pretrain" else config.max_length
    counter = TokenCounter.for_model(config.model, ctx.project, longest)

    def progress(rows: int) -> None:
        ctx.progress(rows, None, "rows", "counting trainable tokens")

    return count_rows(files, counter, config.objective, _sources_run(inputs), progress, ctx.cancelled)


def _sources_run(inputs: Inputs) -> set[str]:
    """Datasets and strategies that were run, whether or not anything of theirs is left: naming them is no mistake."""
    sources: set[str] = set()
    if "curate" in inputs:
        sources.update(inputs["curate"].manifest.config.get("datasets", ()))
    for artifact in _synthetic(inputs):
        strategies = artifact.manifest.config.get("strategies", ())
        sources.update(f"synth:{strategy['strategy']}" for strategy in strategies)
    return sources


def _synthetic(inputs: Inputs) -> list[Artifact]:
    """`synth`, and the further ones of `workbench iterate`, in the order of the plan."""
    return [artifact for name, artifact in inputs.items() if name.split(":")[0] == "synth"]


def _refuse_shares_of_replayed(config: MixNode) -> None:
    if twice := [name for name in config.mix.shares if name in config.mix.replay.datasets]:
        raise UsageError(
            f"{', '.join(map(repr, twice))} is replayed and has a share besides",
            where="mix.shares",
            next_step="take it out of mix.shares, or out of mix.replay.datasets",
        )


def _refuse_unfit(config: MixNode, table: RowTable) -> None:
    """IncompleteError if a source that is used has rows that the objective does not learn from."""
    used = {*config.mix.shares, *config.mix.replay.datasets} if config.mix.shares else None
    unfit = {name: kinds for name, kinds in table.unfit.items() if used is None or name in used}
    if not unfit:
        return
    counts: Counter[RowKind] = Counter()
    for kinds in unfit.values():
        counts.update(kinds)
    counts.update({kind: len(table) for kind in OBJECTIVES[config.objective].rows[:1] if len(table)})
    problem = rows_problem(config.objective, counts)
    assert problem is not None
    sources = ", ".join(sorted(unfit))
    raise IncompleteError(f"{problem[0]} ({sources})", where="train.objective", next_step=problem[1])


def _sources(table: RowTable, rows: Sequence[int]) -> dict[str, _Source]:
    """Every source in order of name, those without a row included."""
    sources = {name: _Source([], []) for name in sorted(table.names)}
    for row in rows:
        source = sources[table.names[table.sources[row]]]
        source.rows.append(row)
        source.tokens.append(table.tokens[row])
    return sources


def _replayed(config: MixNode, sources: Mapping[str, _Source]) -> tuple[str, ...]:
    return tuple(name for name in config.mix.replay.datasets if name in sources)


def _limits(config: MixNode) -> tuple[float, int | None]:
    return config.mix.max_repeat, config.mix.max_rows


def _drawn(sources: Mapping[str, _Source], allowed: Mapping[str, Quota], seed: int) -> dict[str, list[int]]:
    """Rows used of each source, with repeats; each source has a generator of its own, so none disturbs another."""
    return {
        name: pick(sources[name].tokens, quota, Random(json.dumps(["mix", seed, name])))
        for name, quota in sorted(allowed.items())
    }


def _written(table: RowTable, order: Sequence[int], ctx: Context) -> Iterator[Record]:
    for count, record in enumerate(table.records(order)):
        if count % _ROWS_BETWEEN_LOOKS == 0:
            ctx.progress(count, len(order), "rows", "writing the training set")
            if ctx.cancelled():
                return
        yield record
    ctx.progress(len(order), len(order), "rows", "writing the training set")


def _summary(
    table: RowTable,
    sources: Mapping[str, _Source],
    allowed: Mapping[str, Quota],
    drawn: Mapping[str, Sequence[int]],
    demand: Demand,
    config: MixNode,
) -> MixSummary:
    requested = demand.requested({name: sum(source.tokens) for name, source in sources.items()})
    used = {name: sum(sources[name].tokens[place] for place in places) for name, places in drawn.items()}
    total = sum(used.values())
    return MixSummary(
        shares=tuple(
            Share(
                name=name,
                requested=requested[name],
                realised=used[name] / total,
                rows=len(places),
                trainable_tokens=used[name],
                repeat=len(places) / len(sources[name].rows) if places else 0.0,
                replay=name in demand.replayed,
                missed=_missed(
                    sources[name].tokens, allowed[name], len(places), used[name],
                    off=used[name] / total - requested[name], max_repeat=config.mix.max_repeat,
                ),
            )
            for name, places in drawn.items()
        ),
        rows=sum(len(places) for places in drawn.values()),
        trainable_tokens=total,
        token_counter=f"tokenizer of {config.model.ref}: {_counted(config)}",
        over_max_length=table.truncated,
        without_trainable_tokens=table.without_tokens,
        thumbs_down=table.thumbs_down,
    )


def _counted(config: MixNode) -> str:
    if config.objective == "pretrain":
        return f"whole documents, in windows of {config.max_length} tokens"
    paired = OBJECTIVES[config.objective].rows == ("preference",)
    counted = "both endings of pairs" if paired else "answers, whole documents"
    return f"{counted}, within {config.max_length} tokens"


def _missed(
    tokens: Sequence[int], quota: Quota, rows: int, used: int, *, off: float, max_repeat: float
) -> str:
    """Why a source is short of its tokens by more than a row, or its share off by more than rounding."""
    if not tokens:
        return "it has no row to train on" if off < 0 else ""
    short = quota.tokens - used > max(tokens)
    if short and rows >= int(max_repeat * len(tokens)):
        return f"its {len(tokens)} rows are repeated {max_repeat:g} times, the limit (mix.max_repeat)"
    if short:
        return f"mix.max_rows leaves it {quota.rows} rows, and longer ones there are not enough of"
    if abs(off) <= _SHORT_OF_SHARE:
        return ""
    if used == quota.tokens:
        return "another source fell short of its share" if off > 0 else "another source got more than its share"
    return f"its rows have up to {max(tokens)} trainable tokens, and whole rows come no nearer"


def _within(config: MixNode) -> str:
    """The limit on a record's tokens; documents to continue pre-training on have none."""
    return "" if config.objective == "pretrain" else f" within {config.max_length} tokens"


def _report_losses(table: RowTable, config: MixNode, ctx: Context) -> None:
    if table.truncated:
        ctx.warn(f"{table.truncated} records are longer than {config.max_length} tokens and lose their end")
    if table.without_tokens:
        ctx.warn(f"{table.without_tokens} records have no trainable token{_within(config)}: left out")
    if table.unwritable:
        why = f"the first because: {table.first_problem}"
        ctx.warn(f"of these, {table.unwritable} cannot be written for the model, {why}")
    if table.thumbs_down:
        ctx.warn(f"{table.thumbs_down} records are marked as bad answers: left out")
    if table.evaluation:
        ctx.warn(f"{table.evaluation} dropped records hold evaluation data: left out of every arm")


def _report_shares(summary: MixSummary, sources: Mapping[str, _Source], config: MixNode, ctx: Context) -> None:
    mixed = {share.name for share in summary.shares}
    for name in (name for name in sources if name not in mixed):
        ctx.info(f"source {name} ({len(sources[name].rows)} rows) has no share and is left out")
    for name in (name for name in config.mix.replay.datasets if name not in mixed):
        ctx.warn(f"replay: nothing is left of {name}")
    for share in summary.shares:
        said = (
            f"source {share.name}{' (replay)' if share.replay else ''}: requested {share.requested:.1%}, "
            f"realised {share.realised:.1%} of trainable tokens, {share.rows} rows, each {share.repeat:.2f} times"
        )
        if share.missed:
            ctx.warn(f"{said}: {share.missed}")
        else:
            ctx.info(said)


STAGE = Stage(
    name="mix", version=3, config=MixNode, run=run, libraries=("transformers", "tokenizers"), external=external
)
