"""The mix stage: one training set from several sources, in wanted shares of what is actually trained on.

    sources   manuals (records of that dataset), synth:doc_pairs (accepted pairs)
    shares    {manuals: 0.25, "synth:doc_pairs": 0.75}     in trainable tokens: answers, not prompts
    out       train.jsonl (in training order), shares.json (requested .25, realised .2497, repeated 1.0 times, ...)

Without shares everything goes in once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import MixNode
from workbench.core.parts import read_rows, write_model, write_rows
from workbench.core.records import Record
from workbench.core.results import MixSummary, Share
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.mix.shares import Quota, largest_remainder, pick, quotas
from workbench.models.chat import encode_record
from workbench.models.loading import load_tokenizer
from workbench.models.refs import model_fingerprint, resolve

_ROWS_BETWEEN_LOOKS = 500
_SHORT_OF_SHARE = 0.01
"""A realised share this far from the requested one is worth a warning."""


@dataclass(slots=True)
class _Source:
    """Usable rows of one source and the trainable tokens of each."""

    records: list[Record] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Counted:
    """What the tokenizer found."""

    sources: dict[str, _Source] = field(default_factory=dict)
    truncated: int = 0
    """Rows whose end does not fit into `max_length`; they are used without it."""
    without_tokens: int = 0
    """Rows with nothing to train on within `max_length`; they are left out."""
    thumbs_down: int = 0
    """Rows labelled as bad answers; they are left out."""


def run(config: MixNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Counts, draws and shuffles; writes the parts `MixNode` names.

    Raises UsageError if a share names a source that is not there, IncompleteError if no row is left to train on.
    """
    records = [record for name in ("curate", "synth") if name in inputs for record in _records(inputs, name)]
    sources = sorted({record.source.dataset for record in records} | _sources_run(inputs))
    unknown = [name for name in config.mix.shares if name not in sources]
    if unknown:
        raise UsageError(
            f"no source {', '.join(map(repr, unknown))}; sources: {', '.join(sources) or 'none'}", where="mix.shares"
        )
    counted = _count(config, records, sources, ctx)
    if counted is None:
        return Cancelled()
    _report_losses(counted, config, ctx)
    drawn = _drawn(counted, config)
    if not any(drawn.values()):
        raise IncompleteError(
            f"no row to train on: of {len(records)} records {counted.without_tokens} have no trainable token within "
            f"{config.max_length} tokens and {counted.thumbs_down} are marked as bad answers",
            where="mix",
            next_step="raise train.max_length, look at mix.shares, or add data",
        )
    summary = _summary(counted, drawn, config)
    _report_shares(summary, ctx)
    write_rows(ctx.out_dir / "train.jsonl", _shuffled(counted, drawn, config.seed))
    write_model(ctx.out_dir / "shares.json", summary)
    return Done(
        {
            "rows": summary.rows,
            "trainable_tokens": summary.trainable_tokens,
            "sources": sum(share.rows > 0 for share in summary.shares),
            "over_max_length": counted.truncated,
            "without_trainable_tokens": counted.without_tokens,
            "thumbs_down": counted.thumbs_down,
        }
    )


def external(config: MixNode, project: Path) -> dict[str, str]:
    """The model's files, its tokenizer among them."""
    return {"model": model_fingerprint(resolve(config.model.ref, config.model.revision, project))}


def _records(inputs: Inputs, name: str) -> Iterator[Record]:
    return read_rows(inputs[name].part("records.jsonl"), Record)


def _sources_run(inputs: Inputs) -> set[str]:
    """Datasets and strategies that were run, whether or not anything of theirs is left: naming them is no mistake."""
    sources: set[str] = set()
    if "curate" in inputs:
        sources.update(inputs["curate"].manifest.config.get("datasets", ()))
    if "synth" in inputs:
        strategies = inputs["synth"].manifest.config.get("strategies", ())
        sources.update(f"synth:{strategy['strategy']}" for strategy in strategies)
    return sources


def _count(
    config: MixNode, records: Sequence[Record], sources: Sequence[str], ctx: Context
) -> _Counted | None:
    """Trainable tokens of every row, by source in order of name; None if the user wants to stop."""
    tokenizer = load_tokenizer(config.model, ctx.project)
    counted = _Counted({name: _Source() for name in sources})
    for row, record in enumerate(records):
        if row % _ROWS_BETWEEN_LOOKS == 0:
            ctx.progress(row, len(records), "rows", "counting trainable tokens")
            if ctx.cancelled():
                return None
        if record.label is False:
            counted.thumbs_down += 1
            continue
        encoded = encode_record(tokenizer, record, config.max_length, config.model.system_prompt)
        counted.truncated += encoded.truncated
        if encoded.answer_tokens == 0:
            counted.without_tokens += 1
            continue
        source = counted.sources[record.source.dataset]
        source.records.append(record)
        source.tokens.append(encoded.answer_tokens)
    ctx.progress(len(records), len(records), "rows", "counting trainable tokens")
    return counted


def _drawn(counted: _Counted, config: MixNode) -> dict[str, list[int]]:
    """Rows used of each source, with repeats; each source has a generator of its own, so none disturbs another."""
    allowed = _quotas(counted, config)
    return {
        name: pick(counted.sources[name].tokens, quota, Random(json.dumps(["mix", config.seed, name])))
        for name, quota in allowed.items()
    }


def _quotas(counted: _Counted, config: MixNode) -> dict[str, Quota]:
    tokens = {name: source.tokens for name, source in counted.sources.items()}
    if config.mix.shares:
        shares = {name: config.mix.shares[name] for name in tokens if name in config.mix.shares}
        return quotas(tokens, shares, config.mix.max_repeat, config.mix.max_rows)
    rows = {name: len(of_source) for name, of_source in tokens.items() if of_source}
    if config.mix.max_rows is not None and sum(rows.values()) > config.mix.max_rows:
        rows = largest_remainder(rows, config.mix.max_rows)
    return {name: Quota(sum(tokens[name]), rows[name]) for name in rows}


def _shuffled(counted: _Counted, drawn: Mapping[str, Sequence[int]], seed: int) -> list[Record]:
    """All drawn rows in training order."""
    rows = [counted.sources[name].records[row] for name, of_source in drawn.items() for row in of_source]
    Random(json.dumps(["mix order", seed])).shuffle(rows)
    return rows


def _summary(counted: _Counted, drawn: Mapping[str, Sequence[int]], config: MixNode) -> MixSummary:
    used = {name: sum(counted.sources[name].tokens[row] for row in rows) for name, rows in drawn.items()}
    there = {name: sum(counted.sources[name].tokens) for name in drawn}
    requested = config.mix.shares or {name: there[name] / sum(there.values()) for name in drawn}
    return MixSummary(
        shares=tuple(
            Share(
                name=name,
                requested=requested[name],
                realised=used[name] / sum(used.values()),
                rows=len(rows),
                trainable_tokens=used[name],
                repeat=len(rows) / len(counted.sources[name].records) if rows else 0.0,
            )
            for name, rows in drawn.items()
        ),
        rows=sum(len(rows) for rows in drawn.values()),
        trainable_tokens=sum(used.values()),
        token_counter=f"tokenizer of {config.model.ref}: answers, whole documents, within {config.max_length} tokens",
    )


def _report_losses(counted: _Counted, config: MixNode, ctx: Context) -> None:
    if counted.truncated:
        ctx.warn(f"{counted.truncated} records are longer than {config.max_length} tokens and lose their end")
    if counted.without_tokens:
        ctx.warn(f"{counted.without_tokens} records have no trainable token within {config.max_length}: left out")
    if counted.thumbs_down:
        ctx.warn(f"{counted.thumbs_down} records are marked as bad answers: left out")
    left_out = {
        name: len(source.records)
        for name, source in counted.sources.items()
        if config.mix.shares and name not in config.mix.shares
    }
    for name, rows in left_out.items():
        ctx.info(f"source {name} ({rows} rows) has no share and is left out")


def _report_shares(summary: MixSummary, ctx: Context) -> None:
    for share in summary.shares:
        said = (
            f"source {share.name}: requested {share.requested:.1%}, realised {share.realised:.1%} of trainable tokens, "
            f"{share.rows} rows, each {share.repeat:.2f} times"
        )
        if abs(share.realised - share.requested) > _SHORT_OF_SHARE:
            ctx.warn(said)
        else:
            ctx.info(said)


STAGE = Stage(
    name="mix", version=1, config=MixNode, run=run, libraries=("transformers", "tokenizers"), external=external
)
