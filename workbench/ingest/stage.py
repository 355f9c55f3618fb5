"""Ingest: one dataset card in, canonical records out, nothing lost on the way.

    card: {name: tickets, source: {kind: file, path: tickets.jsonl}}
    ->  records.jsonl     what may be trained on
        quarantine.jsonl  what could not be read, with file, line and reason
        heldout.jsonl     what is kept away from training: text, for chats with its prompt
        prompts.jsonl     the same as questions with reference answers (chats only)

Built-in builders add the suite documents they make. A part without rows is written only if it is one of the first two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.core.cards import BuilderSource, Card, HubSource
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.nodes import IngestNode
from workbench.core.parts import write_documents, write_rows
from workbench.core.records import Quarantined, Record
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage
from workbench.ingest.builders.registry import BUILDERS
from workbench.ingest.files import data_files
from workbench.ingest.heldout import Split, heldout_document, prompt_document, split
from workbench.ingest.read import Reading, ReadingStopped, read_records
from workbench.ingest.readers.hub import check_id, hub_name
from workbench.ingest.rows import DataFile


def run(config: IngestNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Reads or builds the dataset of the card and writes its parts."""
    if isinstance(config.card.source, BuilderSource):
        return _build(config, config.card.source, ctx)
    return _read(config, ctx)


def external(config: IngestNode, project: Path) -> dict[str, str]:
    """SHA-256 of every file the card names; for a builder its versions; for a hub dataset its revision."""
    source = config.card.source
    if isinstance(source, BuilderSource):
        return BUILDERS[source.builder].external()
    if isinstance(source, HubSource):
        check_id(source)
        return {hub_name(source): source.revision or "main"}
    files = data_files(source, project, f"dataset card {config.card.name}", lambda message: None)
    return {file.name: _sha256(file) for file in files}


def _read(config: IngestNode, ctx: Context) -> Outcome:
    card = config.card

    def on_rows(rows: int) -> bool:
        ctx.progress(rows, card.limit, "rows")
        return not ctx.cancelled()

    try:
        reading = read_records(card, ctx.project, ctx.warn, on_rows)
    except ReadingStopped:
        return Cancelled()
    ctx.progress(reading.rows, reading.rows, "rows", "splitting")
    sides = split(reading.records, card.heldout_fraction, card.heldout_max, config.seed)
    if ctx.cancelled():
        return Cancelled()
    if card.heldout_fraction > 0 and not sides.heldout:
        raise _nothing_to_hold_out(card, reading, sides)
    _write(ctx.out_dir, sides.train, reading.quarantined, _suite_documents(sides))
    return Done(_summary(reading, sides))


def _build(config: IngestNode, source: BuilderSource, ctx: Context) -> Outcome:
    built = BUILDERS[source.builder].build(config.card, config.seed, ctx)
    if built is None:
        return Cancelled()
    documents = {part: rows for part, rows in built.documents.items() if rows}
    if not built.records and not documents:
        raise IncompleteError(f"builder {source.builder} made nothing", where=f"dataset card {config.card.name}")
    _write(ctx.out_dir, built.records, [], documents)
    counts = {part.removesuffix(".jsonl"): len(rows) for part, rows in documents.items()}
    made = len(built.records)
    return Done({"rows": made, "records": made, "quarantined": 0, **counts, **built.summary})


def _write(
    out_dir: Path, records: list[Record], quarantined: list[Quarantined], documents: dict[str, list[dict[str, Any]]]
) -> None:
    write_rows(out_dir / "records.jsonl", records)
    write_rows(out_dir / "quarantine.jsonl", quarantined)
    for part, rows in documents.items():
        write_documents(out_dir / part, rows)


def _suite_documents(sides: Split) -> dict[str, list[dict[str, Any]]]:
    chats = [held for held in sides.heldout if held.record.kind != "document"]
    documents = {
        "heldout.jsonl": [heldout_document(held) for held in sides.heldout],
        "prompts.jsonl": [prompt_document(held) for held in chats],
    }
    return {part: rows for part, rows in documents.items() if rows}


def _summary(reading: Reading, sides: Split) -> dict[str, float | int | str]:
    return {
        "rows": reading.rows,
        "records": len(sides.train),
        "quarantined": len(reading.quarantined),
        "heldout": len(sides.heldout),
        "clusters": sides.clusters,
        "format": reading.shapes.most_common(1)[0][0],
        "shapes": ", ".join(f"{name} {count}" for name, count in reading.shapes.most_common()),
        "quarantine_reasons": ", ".join(f"{reason} {count}" for reason, count in reading.reasons.most_common()),
    }


def _nothing_to_hold_out(card: Card, reading: Reading, sides: Split) -> IncompleteError:
    return IncompleteError(
        f"nothing can be held out: {len(reading.records)} records form {sides.clusters} clusters (of duplicates, or"
        f" parts of one thing), and none of them fits into {card.heldout_fraction:.0%} of the rows",
        where=f"dataset card {card.name}",
        next_step="raise heldout_fraction, or set it to 0 and give a suite of your own",
    )


def _sha256(file: DataFile) -> str:
    try:
        return file_sha256(file.path)
    except OSError as error:
        raise UsageError(f"file cannot be read: {error.strerror or error}", where=file.name) from None


LIBRARIES = ("datasets", "datasketch", "pyarrow", "xxhash")
"""Hub and Parquet rows, and the signatures behind the clusters, depend on them."""
STAGE = Stage(name="ingest", version=1, config=IngestNode, run=run, libraries=LIBRARIES, external=external)
