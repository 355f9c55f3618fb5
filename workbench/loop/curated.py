"""What a curation has to say: all of it as one document, and as a page for a terminal.

    curation_document(curated, ingested)  ->  {"ingest": ..., "quarantine": [...], "funnel": ..., "artifact": ...}
    render_curation(curated, ingested)    ->  "tickets: 1,003 rows of tickets.jsonl as alpaca\\n..."
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.core.funnel import Funnel
from workbench.core.nodes import CurateNode, IngestNode
from workbench.core.parts import read_model, read_rows
from workbench.core.records import Quarantined
from workbench.core.stage import Artifact
from workbench.core.wire import printable
from workbench.curate.summary import fitted, render_funnel
from workbench.curate.tokens import OF_LIMIT

_EXAMPLES = 3


def curation_document(curated: Artifact, ingested: Artifact) -> dict[str, Any]:
    """Everything about one curation of one dataset."""
    return {
        "ingest": {**ingested.manifest.summary, "files": _files(ingested)},
        "quarantine": _quarantine(ingested),
        "funnel": read_model(curated.part("funnel.json"), Funnel).model_dump(mode="json"),
        "suites": _searched(curated),
        "artifact": str(curated.path),
        "seconds": curated.manifest.seconds,
    }


def render_curation(curated: Artifact, ingested: Artifact) -> str:
    """The same for people; control characters of the data are shown escaped."""
    funnel = read_model(curated.part("funnel.json"), Funnel)
    blocks = [_read(ingested), render_funnel(funnel)]
    if any(count.reason in OF_LIMIT and count.action == "flag" for count in funnel.reasons):
        blocks.append("Nobody chose a max length, so rows too long for it are flagged. --max-length N drops them.")
    searched = _searched(curated)
    if not searched:
        blocks.append("Evaluation data: none was searched for. --against FILE names some; so do suites under evals/.")
    elif not any(count.reason == "contaminated" for count in funnel.reasons):
        blocks.append("\n".join(fitted(f"Evaluation data: none found of {', '.join(searched)}.", "", hanging=True)))
    return "\n\n".join(blocks)


def _files(ingested: Artifact) -> list[str]:
    return sorted(ingested.manifest.external)


def _searched(curated: Artifact) -> list[str]:
    config = CurateNode.model_validate(curated.manifest.config)
    settings = config.curate.decontamination
    if not settings.enabled:
        return []
    return [*(suite.name for suite in config.suites), *settings.datasets]


def _quarantine(ingested: Artifact) -> list[dict[str, Any]]:
    """Reasons by frequency, each with the first few lines."""
    counts: Counter[str] = Counter()
    examples: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_rows(ingested.part("quarantine.jsonl"), Quarantined):
        counts[row.reason] += 1
        if len(examples[row.reason]) < _EXAMPLES:
            examples[row.reason].append(row.model_dump(mode="json", exclude={"reason"}))
    return [{"reason": reason, "rows": rows, "examples": examples[reason]} for reason, rows in counts.most_common()]


def _read(ingested: Artifact) -> str:
    summary = ingested.manifest.summary
    card = IngestNode.model_validate(ingested.manifest.config).card
    files = _files(ingested)
    of = printable(Path(files[0]).name) if len(files) == 1 else f"{len(files)} files"
    lines = fitted(f"{card.name}: {_count(summary, 'rows')} rows of {of}, read as {summary.get('shapes', '')}", "")
    if judged := summary.get("judgments"):
        lines += fitted(f"answers marked as good or bad: {judged}; bad ones are not learned as answers", "")
    if unread := summary.get("unread_columns"):
        lines += fitted(f"columns that say something and were not read: {printable(str(unread))}", "")
    found = _quarantine(ingested)
    if found:
        lines.append(f"{_count(summary, 'quarantined')} rows could not be read and are in quarantine")
    for reason in found:
        lines.append(f"{reason['reason']} ({reason['rows']:,})")
        for example in reason["examples"]:
            place = example["file"] if example["line"] is None else f"{example['file']}:{example['line']}"
            lines += fitted(f"{place}: {example['detail']} | {example['excerpt']}", "  - ")
    if found:
        lines.append(f"all of them: {ingested.part('quarantine.jsonl')}")
    return "\n".join(lines)


def _count(summary: Mapping[str, Any], key: str) -> str:
    value = summary.get(key, 0)
    return f"{value:,}" if isinstance(value, int) else str(value)
