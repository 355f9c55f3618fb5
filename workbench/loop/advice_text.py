"""Advice as one document, and as a page for a terminal.

    advice_document(advice, duration, ["run"])  ->  {"model": {...}, "methods": [...], "recommendation": {...}, ...}
    render_advice(advice, duration, ["run"])    ->  "llama-3-8b: llama, 8.03 B parameters, licence llama3\\n..."

The last argument is how `workbench` is told to train on the data that was looked at, without the settings:
["run", "--set", "data=[tickets]"] for a card, ["train", "--data", "tickets.jsonl"] for a file.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.core.wire import printable
from workbench.loop.advice import Advice, MethodAdvice, Recommendation
from workbench.loop.dataset_facts import DatasetFacts
from workbench.loop.training_time import Duration
from workbench.models.architecture import UNKNOWN_LICENCE
from workbench.models.memory import GIB, MemoryParts
from workbench.report.numbers import counted

_WIDTH = 110
_PARTS = ("weights", "trained", "gradients", "optimizer", "activations", "logits", "buffers", "overhead")


def advice_document(advice: Advice, duration: Duration | None, training: Sequence[str]) -> dict[str, Any]:
    """All numbers; memory in bytes."""
    model, found = advice.architecture, advice.recommendation
    return {
        "model": {
            "ref": model.name,
            "family": model.model_type,
            "parameters": model.parameters,
            "layers": model.layers,
            "hidden": model.hidden,
            "vocabulary": model.vocabulary,
            "max_positions": model.max_positions,
            "licence": model.licence,
            "source": model.source,
        },
        "machine": asdict(advice.machine),
        "data": None if advice.data is None else _data(advice.data),
        "computed_for": asdict(advice.setting),
        "methods": [
            {
                "method": one.method,
                "precision": one.precision,
                "trained_parameters": one.trained_parameters,
                "bytes": _parts(one.parts),
                "total_bytes": one.parts.total,
                "fits": one.fits,
            }
            for one in advice.methods
        ],
        "recommendation": None if found is None else _recommended(found, training),
        "time": None if duration is None else asdict(duration),
        "instead": [asdict(one) for one in advice.instead],
        "cautions": [asdict(one) for one in advice.cautions],
    }


def render_advice(advice: Advice, duration: Duration | None, training: Sequence[str]) -> str:
    """The same for people, at most 120 columns."""
    blocks = [_facts(advice), _cautioned(advice), _table(advice), _recommendation(advice, duration, training)]
    return "\n\n".join(block for block in blocks if block)


def _facts(advice: Advice) -> str:
    model = advice.architecture
    licence = "unknown: look it up before you use it" if model.licence == UNKNOWN_LICENCE else model.licence
    said = {
        "model": f"{model.name}: {model.model_type}, {_count(model.parameters)} parameters, "
        f"{counted(model.layers, 'layer')}, licence {licence}",
        "shapes": model.source,
        "machine": f"{advice.machine.name}, {advice.machine.memory_bytes / GIB:.3g} GiB",
    }
    if advice.data is not None:
        data = advice.data
        lengths = ", ".join(f"{name} {data.length_of(share):,}" for name, share in (("half", 0.5), ("99%", 0.99)))
        said["data"] = (
            f"{data.name}: {counted(data.rows, 'row')} ({counted(data.documents, 'document')}), "
            f"{counted(data.tokens, 'token')}, {data.answer_tokens:,} of them learned; "
            f"tokens per row: {lengths} or fewer, longest {data.lengths[-1]:,} "
            f"({data.counted_by})"
        )
    return "\n".join(line for key, text in said.items() for line in _wrapped(text, f"{key:<8} "))


def _cautioned(advice: Advice) -> str:
    if not advice.cautions:
        return ""
    lines = ["Before you train:"]
    for one in advice.cautions:
        lines += _wrapped(one.problem, "  - ")
        lines += _wrapped(f"first: {one.first}", "    ")
    return "\n".join(lines)


def _table(advice: Advice) -> str:
    shown = advice.setting
    checkpointing = ", gradient checkpointing" if shown.gradient_checkpointing else ""
    head = (
        f"Memory in GiB at the peak of a step: length {shown.length}, "
        f"{counted(shown.batch_size, 'sequence')} at a time, rank {shown.rank}{checkpointing}"
    )
    columns = ("weights", "trained", "grad", "moments", "activ.", "logits", "buffers", "process")
    rows = [f"{'method':<9} {'base':<5} {'learned':>8} " + " ".join(f"{name:>8}" for name in columns) + "    total"]
    return "\n".join([head, *rows, *(_row(one) for one in advice.methods)])


def _row(one: MethodAdvice) -> str:
    values = " ".join(f"{_gib(getattr(one.parts, part)):>8}" for part in _PARTS)
    fits = "fits" if one.fits else "-"
    base = one.precision
    return f"{one.method:<9} {base:<5} {_count(one.trained_parameters):>8} {values} {_gib(one.parts.total):>8}  {fits}"


def _recommendation(advice: Advice, duration: Duration | None, training: Sequence[str]) -> str:
    found = advice.recommendation
    if found is None:
        room = advice.machine.memory_bytes / GIB
        lines = [f"Nothing fits into {room:.3g} GiB, not even one sequence at a time."]
        if advice.instead:
            lines.append("Published models that do, with the same data:")
        lines += [
            f"  {one.name:<14} {one.method:<6} {_gib(one.total_bytes):>7} GiB  licence {one.licence}"
            for one in advice.instead
        ]
        return "\n".join(lines)
    lines = [f"Recommended ({_gib(found.parts.total)} GiB):"]
    lines += [f"  {key}: {_yaml(value)}" for key, value in found.settings.items()]
    for reason in found.reasons:
        lines += _wrapped(reason, "  - ")
    if advice.data is not None:
        of_rows = f"{counted(found.steps, 'step')} of {counted(found.effective_batch, 'row')}"
        steps = f"{of_rows}, the default for so many rows"
        lines += _wrapped(steps, "  - ")
    if duration is not None:
        took = "time unknown" if duration.seconds is None else _duration(duration.seconds)
        said = f"{took} ({duration.source}); {duration.flops:.1e} operations"
        lines += _wrapped(said, "  - ")
    lines.append(_command(found, training))
    return "\n".join(lines)


def _command(found: Recommendation, training: Sequence[str]) -> str:
    settings = (word for key, value in found.settings.items() for word in ("--set", f"{key}={_yaml(value)}"))
    return shlex.join(("workbench", *training, *settings))


def _wrapped(text: str, lead: str) -> list[str]:
    """Lines behind `lead`, safe for a terminal."""
    room = max(20, _WIDTH - len(lead))
    first, *more = textwrap.wrap(printable(text), room) or [""]
    return [lead + first, *(" " * len(lead) + line for line in more)]


def _recommended(found: Recommendation, training: Sequence[str]) -> dict[str, Any]:
    return {
        "settings": found.settings,
        "effective_batch": found.effective_batch,
        "steps": found.steps,
        "bytes": _parts(found.parts),
        "total_bytes": found.parts.total,
        "reasons": list(found.reasons),
        "command": _command(found, training),
    }


def _data(data: DatasetFacts) -> dict[str, Any]:
    return {
        "name": data.name,
        "rows": data.rows,
        "quarantined": data.quarantined,
        "documents": data.documents,
        "unusable": data.unusable,
        "duplicates": data.duplicates,
        "tokens": data.tokens,
        "answer_tokens": data.answer_tokens,
        "row_tokens": {"p50": data.length_of(0.5), "p99": data.length_of(0.99), "max": data.lengths[-1]},
        "distinct_answers": data.distinct_answers,
        "copied_answers": data.copied,
        "counted_by": data.counted_by,
    }


def _parts(parts: MemoryParts) -> dict[str, int]:
    return {part: getattr(parts, part) for part in _PARTS}


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}" if size < 10 * GIB else f"{size / GIB:.1f}"


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _yaml(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
