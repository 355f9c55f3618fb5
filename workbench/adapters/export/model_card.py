"""The model card: what an export is made of and how it scored, from the artifacts of the run that made it.

    ---
    base_model: HuggingFaceTB/SmolLM2-135M-Instruct
    license: apache-2.0
    ---
    # capitals
    Improved on python-docs-perplexity (0.267 nats per token better, 95% CI 0.228 to 0.306); no gated suite regressed.
    ## Scores ... ## What was forgotten ... ## Training data ... ## This export ... ## Use

Every number comes from an artifact. What is not recorded is said to be missing, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from workbench.adapters.export.record import ExportRecord
from workbench.adapters.export.verify import in_words
from workbench.core.errors import IncompleteError
from workbench.core.funnel import Funnel
from workbench.core.parts import read_model
from workbench.core.results import (
    Comparison,
    Interval,
    MixSummary,
    PairComparison,
    SuiteComparison,
    TrainSummary,
    Verdict,
)
from workbench.core.stage import Artifact, Inputs
from workbench.core.wire import Wire, printable

_PERCENT = ("accuracy", "win_rate")
_PARTS: dict[str, tuple[str, type[Wire]]] = {
    "train": ("training.json", TrainSummary),
    "mix": ("shares.json", MixSummary),
    "curate": ("funnel.json", Funnel),
    "compare": ("comparison.json", Comparison),
    "gate": ("verdict.json", Verdict),
}
_NO_RUN = "Not recorded: the adapter was not made by a run of this project, or the run's artifacts are gone."


def readable(inputs: Inputs) -> tuple[dict[str, Artifact], tuple[str, ...]]:
    """The artifacts whose parts the card can read, and a remark for each that it cannot, as of an earlier version."""
    kept, remarks = {}, []
    for node, artifact in inputs.items():
        try:
            if node in _PARTS:
                read_model(artifact.part(_PARTS[node][0]), _PARTS[node][1])
        except IncompleteError as error:
            remarks.append(f"the card says nothing of {node}: {_PARTS[node][0]} {error.problem}")
        else:
            kept[node] = artifact
    return kept, tuple(remarks)


def model_card(record: ExportRecord, inputs: Inputs, base_is_hub: bool) -> str:
    """Markdown with front matter; `inputs` are the run's artifacts by node, any of which may be absent."""
    sections = [
        _front_matter(record, base_is_hub),
        f"# {record.name}",
        _headline(record, inputs),
        "## How it was made",
        _making(record, inputs),
        "## Training data",
        _data(inputs),
        "## Scores",
        _scores(inputs),
        "## What was forgotten",
        _forgotten(inputs),
        "## This export",
        _export(record),
        "## Use",
        _use(record),
        "## Licence",
        _licence(record, inputs),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(record: ExportRecord, base_is_hub: bool) -> str:
    front: dict[str, Any] = {
        "pipeline_tag": "text-generation",
        "library_name": "peft" if record.format == "adapter" else "transformers",
        "license": record.base_licence or "other",
        "tags": ["workbench", record.method, *(["gguf"] if record.format.startswith("gguf") else [])],
    }
    if record.base_licence is None:
        front["license_name"] = "unknown"
    if base_is_hub:
        front["base_model"] = record.base
        front["base_model_relation"] = {"adapter": "adapter", "merged": "finetune"}.get(record.format, "quantized")
    return "---\n" + yaml.safe_dump(front, sort_keys=True, allow_unicode=True) + "---"


def _headline(record: ExportRecord, inputs: Inputs) -> str:
    verdict = _verdict(inputs)
    said = f"**{verdict.state.capitalize()}.** {_text(verdict.headline)}" if verdict else "No gate has judged it."
    return f"A fine-tune of `{_code(record.base)}` by {_text(record.method)}. {said}"


def _making(record: ExportRecord, inputs: Inputs) -> str:
    rows = [
        ("adapter", f"`{_code(record.reference)}`, SHA-256 `{record.adapter_sha256[:16]}`"),
        ("run", f"`{_code(record.run)}`" if record.run else "not recorded"),
        ("base", f"`{_code(record.base)}`, `{_code(record.base_fingerprint[:24])}`, in {record.precision}"),
        ("method", _text(record.method)),
    ]
    if (artifact := inputs.get("train")) is not None:
        summary = read_model(artifact.part("training.json"), TrainSummary)
        settings = artifact.manifest.config["train"]
        plain = {key: value for key, value in settings.items() if isinstance(value, str | int | float)}
        rows += [
            ("settings", ", ".join(f"{key} {value}" for key, value in plain.items() if key != "method")),
            ("seed", str(artifact.manifest.config["seed"])),
            ("trained", f"{summary.trainable_parameters:,} of {summary.total_parameters:,} parameters"),
            ("steps", f"{summary.steps:,}, {summary.answer_tokens:,} answer tokens"),
            ("loss", f"{summary.first_loss:.3f} to {summary.last_loss:.3f} nats per token"),
            ("libraries", ", ".join(f"{name} {version}" for name, version in artifact.manifest.libraries.items())),
        ]
    return _table(("", ""), rows)


def _data(inputs: Inputs) -> str:
    lines = []
    if (mix := inputs.get("mix")) is not None:
        summary = read_model(mix.part("shares.json"), MixSummary)
        rows = [
            (
                _text(share.name) + (" (replay)" if share.replay else ""),
                f"{share.rows:,}",
                f"{share.trainable_tokens:,}",
                f"{share.realised:.1%}",
            )
            for share in summary.shares
        ]
        lines += [_table(("source", "rows", "trainable tokens", "share"), rows)]
    if cards := _dataset_cards(inputs):
        keys = ("name", "licence", "description")
        read = [tuple(_text(card.get(key) or "not stated") for key in keys) for card in cards]
        lines += [_table(("dataset read", "licence", "what it is"), read)]
    if (curate := inputs.get("curate")) is not None:
        funnel = read_model(curate.part("funnel.json"), Funnel)
        dropped = {reason.reason: reason.rows for reason in funnel.reasons if reason.action == "drop"}
        why = ", ".join(f"{_text(reason)} {rows:,}" for reason, rows in dropped.items()) or "nothing dropped"
        lines += [f"Curation kept {funnel.rows_out:,} of {funnel.rows_in:,} rows ({why})."]
    return "\n\n".join(lines) or _NO_RUN


def _scores(inputs: Inputs) -> str:
    pair = _pair(inputs)
    if pair is None:
        return _NO_RUN
    states = {(suite.suite, suite.metric): suite.state for suite in _decisive_suites(inputs)}
    rows = [
        (
            _text(suite.role),
            _text(suite.suite),
            _text(suite.metric),
            _level(suite.before.value, suite),
            _level(suite.after.value, suite),
            _gain(suite.gain, suite),
            f"{suite.n:,}",
            states.get((suite.suite, suite.metric), "shown only"),
        )
        for suite in pair.suites
    ]
    head = ("role", "suite", "metric", "before", "after", "gain, interval", "documents", "state")
    explained = (
        f"`{_code(pair.after)}` against `{_code(pair.before)}` on the same documents. The gain is turned so that "
        "positive is better; percentages differ in points, perplexity in nats per token."
    )
    return f"{explained}\n\n{_table(head, rows)}"


def _forgotten(inputs: Inputs) -> str:
    pair = _pair(inputs)
    if pair is None:
        return _NO_RUN
    rows = [
        (
            _text(suite.suite),
            f"{suite.forgotten:,}",
            f"{suite.learned:,}",
            "" if suite.noise_flips is None else f"{suite.noise_flips:,}",
            f"{suite.n:,}",
        )
        for suite in pair.suites
        if suite.forgotten is not None and suite.learned is not None
    ]
    if not rows:
        return "No suite counts right and wrong answers, so nothing can be said document by document."
    head = ("suite", "right before, wrong now", "wrong before, right now", "flips of the base against itself", "of")
    return _table(head, rows)


def _export(record: ExportRecord) -> str:
    if record.format == "adapter":
        made = f"The adapter as trained. It belongs on `{_code(record.base)}` in {record.precision}, as it was scored."
    else:
        weights = {"full": "the published weights", "dequantised": "the dequantised NF4 weights", None: "the weights"}
        made = (
            f"The adapter merged into {weights[record.merged_into]} of its base, as {record.format}. The scores above "
            f"are those of the adapter on its base in {record.precision}; how near this export is to it was measured "
            "before anything was published:"
        )
    lines = [made, *(f"- {in_words(check)}" for check in record.checks)]
    if record.tensors is not None:
        lines.append(f"- {record.tensors} tensors read back from the file, each within the rounding of its format")
    lines += [f"- note: {_text(remark)}" for remark in record.remarks]
    return "\n".join([lines[0], "", *lines[1:]]).strip()


def _use(record: ExportRecord) -> str:
    if record.format.startswith("gguf"):
        return f"```\nollama create {record.name} -f Modelfile\nollama run {record.name}\n```"
    if record.serve is None:
        return "No server takes these files beside their base: export with `--format merged` to serve them."
    return f"```\n{record.serve}\n```"


def _licence(record: ExportRecord, inputs: Inputs) -> str:
    base = (
        f"The base is published under `{_code(record.base_licence)}`, and what is derived from it is bound by that."
        if record.base_licence
        else "The licence of the base could not be determined. Find it out before you pass this on."
    )
    stated = {card.get("licence") for card in _dataset_cards(inputs)}
    named = ", ".join(sorted(_text(licence) for licence in stated if licence))
    return f"{base} Licences of the data read: {named}." if named else base


def _dataset_cards(inputs: Inputs) -> list[dict[str, Any]]:
    """The dataset cards as their run had them."""
    return [artifact.manifest.config["card"] for node, artifact in inputs.items() if node.startswith("ingest:")]


def _verdict(inputs: Inputs) -> Verdict | None:
    gate = inputs.get("gate")
    return None if gate is None else read_model(gate.part("verdict.json"), Verdict)


def _decisive_suites(inputs: Inputs) -> Sequence[Any]:
    verdict = _verdict(inputs)
    return verdict.decisive.suites if verdict else ()


def _pair(inputs: Inputs) -> PairComparison | None:
    """The deciding pair of arms."""
    compare, verdict = inputs.get("compare"), _verdict(inputs)
    if compare is None or verdict is None:
        return None
    wanted = (verdict.decisive.before, verdict.decisive.after)
    pairs = read_model(compare.part("comparison.json"), Comparison).pairs
    return next((pair for pair in pairs if (pair.before, pair.after) == wanted), None)


def _level(value: float, suite: SuiteComparison) -> str:
    return f"{value:.1%}" if suite.unit in _PERCENT else f"{value:.3f}"


def _gain(gain: Interval, suite: SuiteComparison) -> str:
    if suite.unit in _PERCENT:
        return f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """Text from outside as plain Markdown: one line, no control characters, no markup, no table cells."""
    line = " ".join(printable(text).split())
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "|", "#"):
        line = line.replace(mark, f"\\{mark}")
    return line


def _code(text: str) -> str:
    return " ".join(printable(text).split()).replace("`", "'").replace("|", "\\|")
