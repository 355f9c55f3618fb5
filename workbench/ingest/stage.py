"""Ingest: one dataset card in, canonical records out, nothing lost on the way.

    card: {name: tickets, source: {kind: file, path: tickets.jsonl}}
    ->  records.jsonl     what may be trained on
        quarantine.jsonl  what could not be read, with file, line and reason
        heldout.jsonl     what is kept away from training: text, for chats with its prompt
        prompts.jsonl     the same as questions with reference answers (chats only)

Built-in builders add the suite documents they make. A part without rows is written only if it is one of the first two.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from workbench.core.cards import BuilderSource, Card, FileSource, HubSource, LlamaFactorySource
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import file_sha256, fingerprint
from workbench.core.nodes import IngestNode
from workbench.core.parts import write_documents, write_rows
from workbench.core.records import Quarantined, Record
from workbench.core.stage import Cancelled, Context, Done, Inputs, Outcome, Stage, Summary
from workbench.ingest.builders.registry import BUILDERS
from workbench.ingest.files import data_files
from workbench.ingest.heldout import Chooser, Chosen, heldout_document, prompt_document
from workbench.ingest.llama_factory import load_entry
from workbench.ingest.read import ReadingStopped, Tally, stream_records, unread_text
from workbench.ingest.readers.hub import check_id, hub_name
from workbench.ingest.row_file import RowFile, lines_of
from workbench.ingest.rows import DataFile


def run(config: IngestNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Reads or builds the dataset of the card and writes its parts."""
    if isinstance(config.card.source, BuilderSource):
        return _build(config, config.card.source, ctx)
    try:
        return _read_and_split(config, ctx) if config.card.heldout_fraction > 0 else _read(config.card, ctx)
    except ReadingStopped:
        return Cancelled()


def external(config: IngestNode, project: Path) -> dict[str, str]:
    """SHA-256 of every file the card names; for a builder its versions; for a hub dataset its revision."""
    source = config.card.source
    if isinstance(source, BuilderSource):
        return BUILDERS[source.builder].external()
    found: dict[str, str] = {}
    if isinstance(source, LlamaFactorySource):
        entry = load_entry(source, config.card, project)
        found[f"{source.path}#{source.entry}"] = fingerprint(entry.content)
        source = entry.source
    if isinstance(source, HubSource):
        check_id(source)
        return found | {hub_name(source): source.revision or "main"}
    assert isinstance(source, FileSource), source
    files = data_files(source, project, f"dataset card {config.card.name}", lambda message: None)
    return found | {file.name: _sha256(file) for file in files}


def _read(card: Card, ctx: Context) -> Outcome:
    """Straight into the parts."""
    tally = _gather(card, ctx, ctx.out_dir / "records.jsonl", None)
    return Done(_summary(tally, tally.records, 0, 0))


def _read_and_split(config: IngestNode, ctx: Context) -> Outcome:
    """Into a spool first: only when all records are known it is known which are held out."""
    card = config.card
    scratch = ctx.work_dir / "spool"
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    try:
        chooser = Chooser(scratch)
        tally = _gather(card, ctx, scratch / "records.jsonl", chooser)
        ctx.progress(tally.rows, tally.rows, "rows", "splitting")
        chosen = chooser.choose(card.heldout_fraction, card.heldout_max, config.seed)
        if not chosen.cluster_of:
            raise _nothing_to_hold_out(card, tally, chosen)
        _divide(scratch / "records.jsonl", chosen, ctx)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Done(_summary(tally, tally.records - len(chosen.cluster_of), len(chosen.cluster_of), chosen.clusters))


def _gather(card: Card, ctx: Context, records_path: Path, chooser: Chooser | None) -> Tally:
    """Reads everything; records go to `records_path` and to the chooser, the rest to quarantine.jsonl."""
    tally = Tally()

    def on_rows(rows: int) -> bool:
        ctx.progress(rows, card.limit, "rows")
        return not ctx.cancelled()

    with RowFile(records_path) as records, RowFile(ctx.out_dir / "quarantine.jsonl") as quarantine:
        for item in stream_records(card, ctx.project, tally, ctx.warn, on_rows):
            if isinstance(item, Quarantined):
                quarantine.write(item)
                continue
            records.write(item)
            if chooser:
                chooser.add(item)
        if not on_rows(tally.rows):
            raise ReadingStopped
    return tally


def _divide(spool: Path, chosen: Chosen, ctx: Context) -> None:
    """Writes each spooled record to its side."""
    with ExitStack() as parts:
        records = parts.enter_context(RowFile(ctx.out_dir / "records.jsonl"))
        heldout = parts.enter_context(RowFile(ctx.out_dir / "heldout.jsonl"))
        prompts: RowFile | None = None
        for position, line in enumerate(lines_of(spool)):
            if (cluster := chosen.cluster_of.get(position)) is None:
                records.write_line(line)
                continue
            record = Record.model_validate_json(line)
            heldout.write_line(_document_line(heldout_document(record, cluster)))
            if record.kind != "document":
                prompts = prompts or parts.enter_context(RowFile(ctx.out_dir / "prompts.jsonl"))
                prompts.write_line(_document_line(prompt_document(record, cluster)))


def _document_line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"


def _build(config: IngestNode, source: BuilderSource, ctx: Context) -> Outcome:
    built = BUILDERS[source.builder].build(config.card, config.seed, ctx)
    if built is None:
        return Cancelled()
    documents = {part: rows for part, rows in built.documents.items() if rows}
    if not built.records and not documents:
        raise IncompleteError(f"builder {source.builder} made nothing", where=f"dataset card {config.card.name}")
    write_rows(ctx.out_dir / "records.jsonl", built.records)
    write_rows(ctx.out_dir / "quarantine.jsonl", [])
    for part, rows in documents.items():
        write_documents(ctx.out_dir / part, rows)
    counts = {part.removesuffix(".jsonl"): len(rows) for part, rows in documents.items()}
    made = len(built.records)
    return Done({"rows": made, "records": made, "quarantined": 0, **counts, **built.summary})


def _summary(tally: Tally, records: int, heldout: int, clusters: int) -> Summary:
    found = {
        "unread_columns": unread_text(tally),
        "judgments": f"good {tally.judgments[True]}, bad {tally.judgments[False]}" if tally.judgments else "",
    }
    return {
        "rows": tally.rows,
        "records": records,
        "quarantined": tally.quarantined,
        "heldout": heldout,
        "clusters": clusters,
        "format": tally.shapes.most_common(1)[0][0],
        "shapes": ", ".join(f"{name} {count}" for name, count in tally.shapes.most_common()),
        "quarantine_reasons": ", ".join(f"{reason} {count}" for reason, count in tally.reasons.most_common()),
        **{name: text for name, text in found.items() if text},
    }


def _nothing_to_hold_out(card: Card, tally: Tally, chosen: Chosen) -> IncompleteError:
    return IncompleteError(
        f"nothing can be held out: {tally.records} records form {chosen.clusters} clusters (of duplicates, or"
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
"""Hub and table rows, and the signatures behind the clusters, depend on them."""
STAGE = Stage(name="ingest", version=3, config=IngestNode, run=run, libraries=LIBRARIES, external=external)
