"""An export from beginning to end: planned, made aside, verified, and only then in its place.

    plan = plan_export(adapter, inputs, "support", "out", "gguf-q8_0", ...)    or a refusal, before anything is loaded
    export(plan, ...)             ->  out/{support.q8_0.gguf, Modelfile, README.md, export.json}

A killed or failed export leaves nothing at its target.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.adapters.export import gguf, merge
from workbench.adapters.export.gguf_families import family_of
from workbench.adapters.export.gguf_vocabulary import vocabulary
from workbench.adapters.export.licence import base_licence
from workbench.adapters.export.merge import ExportSource, Merged
from workbench.adapters.export.model_card import model_card, readable
from workbench.adapters.export.modelfile import ollama_modelfile, own_system_prompt, vllm_adapter, vllm_merged
from workbench.adapters.export.record import CARD, RECORD, Base, ExportRecord, Format
from workbench.adapters.export.verify import Agreement, Logits, Tolerance, agreement, logits_on, require, texts_for
from workbench.adapters.registry import Registered
from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import library_versions
from workbench.core.parts import describe_parts, read_rows, write_model, write_text
from workbench.core.records import Record
from workbench.core.stage import Inputs
from workbench.models.adapter_files import CONFIG, NOTE, WEIGHTS
from workbench.models.full_weights import is_full
from workbench.models.loading import load, load_tokenizer, locate
from workbench.models.quiet import quiet_libraries
from workbench.models.refs import resolve

F16 = Tolerance(nll_rise=0.002, mean_kl=0.001, top1_agreement=0.98)
Q8_0 = Tolerance(nll_rise=0.02, mean_kl=0.02, top1_agreement=0.9)
Q4_K_M = Tolerance(nll_rise=0.15, mean_kl=0.3, top1_agreement=0.7)
"""A GGUF file against the fp32 model it was written from."""

_ROWS = 8
_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "gguf")
_BYTES = {"merged": 2.0, "gguf-f16": 2.0, "gguf-q8_0": 1.07, "gguf-q4_k_m": 2.7}
"""About so many bytes are written per parameter; q4_k_m with the f16 file it is made from."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export will do, all of it checked that can be without loading weights."""

    adapter: Registered
    inputs: Inputs
    """Artifacts of the run that made the adapter, by node."""
    source: ExportSource
    name: str
    format: Format
    base: Base
    target: Path
    licence: str | None
    files: tuple[str, ...]
    remarks: tuple[str, ...]
    """What the model card cannot say."""
    about_bytes: int | None
    """None where the base's weights are not here yet."""


def plan_export(
    adapter: Registered, inputs: Inputs, name: str, target: Path, format: Format, base: Base, project: Path
) -> ExportPlan:
    """Raises UsageError for what cannot be exported so, with the reason; IncompleteError for a target that is not empty
    or too small a disk; PrerequisiteError for a missing library."""
    inputs, remarks = readable(inputs)
    prompt = inputs["train"].manifest.config["model"].get("system_prompt") if "train" in inputs else None
    source = merge.read_source(adapter, prompt, project)
    if format != "adapter":
        merge.require_mergeable(adapter.directory)
        merge.require_base(base, source.precision)
    if format.startswith("gguf"):
        if format == "gguf-q4_k_m":
            gguf.require_llama_cpp()
        config = _config(source, project)
        family_of(config)
        vocabulary(load_tokenizer(source.model, project), config.vocab_size)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            "the target is there already and not empty", where=str(target), next_step="name a new directory"
        )
    size = _about_bytes(source, format, project)
    _require_space(target, size)
    return ExportPlan(
        adapter=adapter,
        inputs=inputs,
        source=source,
        name=name,
        format=format,
        base=base,
        target=target,
        licence=base_licence(resolve(source.model.ref, source.model.revision, project)),
        files=_files(format, name),
        remarks=remarks,
        about_bytes=size,
    )


def export(plan: ExportPlan, project: Path, *, at: str, say: Say) -> ExportRecord:
    """Makes and verifies the export, then puts it at its target; raises IncompleteError past a tolerance."""
    quiet_libraries()
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.target.parent, prefix=f".{plan.target.name}.exporting-") as scratch:
        made = Path(scratch) / "export"
        made.mkdir()
        if plan.format == "adapter":
            record = _adapter(plan, made, project, at)
        else:
            record = _with_weights(plan, made, project, at, say)
        hub = resolve(plan.adapter.base, None, project).kind == "hub"
        write_text(made / CARD, model_card(record, plan.inputs, hub))
        record = record.model_copy(update={"files": describe_parts(made)})
        write_model(made / RECORD, record)
        if plan.target.is_dir():
            plan.target.rmdir()
        made.rename(plan.target)
    return record


def _adapter(plan: ExportPlan, made: Path, project: Path, at: str) -> ExportRecord:
    for name in (CONFIG, WEIGHTS, NOTE):
        if (plan.adapter.directory / name).is_file():
            shutil.copyfile(plan.adapter.directory / name, made / name)
    found = resolve(plan.adapter.base, None, project)
    served = None
    if not found.is_gguf and not is_full(plan.adapter.directory):
        rank = int(merge.peft_settings(plan.adapter.directory).get("r") or 0)
        base = found.hub_id or str(found.path)
        served = vllm_adapter(base, plan.target, plan.name, rank)
    return _record(plan, at, serve=served)


def _with_weights(plan: ExportPlan, made: Path, project: Path, at: str, say: Say) -> ExportRecord:
    tokenizer = load_tokenizer(plan.source.model, project)
    texts = texts_for(tokenizer, _training_rows(plan.inputs), plan.source.model.system_prompt)
    say(f"merging into the {'published' if plan.base == 'full' else 'dequantised'} weights of {plan.adapter.base}")
    merged = merge.merge(plan.source, plan.base, texts, project)
    remarks = _remarks(tokenizer, plan.source.model.system_prompt)
    if plan.format == "merged":
        say("writing and reading back")
        checks = _write_merged(merged, made, plan.base, texts)
        length = int(merged.model.config.get_text_config().max_position_embeddings)
        served = vllm_merged(plan.target, plan.name, merged.published, length)
        return _record(plan, at, checks=checks, remarks=remarks, serve=served)
    say("writing and reading back")
    checks, tensors = _write_gguf(plan, merged, made, texts)
    file = made / plan.files[0]
    text, remark = ollama_modelfile(file, tokenizer, plan.source.model.system_prompt, plan.licence)
    write_text(made / "Modelfile", text)
    remarks += (remark,) if remark else ()
    served = f"ollama create {plan.name} -f {plan.target / 'Modelfile'}"
    return _record(plan, at, checks=checks, tensors=tensors, remarks=remarks, serve=served)


def _write_merged(merged: Merged, made: Path, base: Base, texts: list[list[int]]) -> tuple[Agreement, ...]:
    """Saves the model in the precision its base is published in, and compares what is loaded from the files."""
    import torch

    merged.model.to(getattr(torch, merged.published)).save_pretrained(made)
    merged.tokenizer.save_pretrained(made)
    precision: Precision = "bf16" if merged.published == "bfloat16" else "fp32"
    read = load(ModelConfig(ref=str(made.absolute()), precision=precision), precision, made).model
    found = merge.require_as_scored(merged, "the merged model", logits_on(read, texts), base)
    return (*merged.checks, found)


def _write_gguf(
    plan: ExportPlan, merged: Merged, made: Path, texts: list[list[int]]
) -> tuple[tuple[Agreement, ...], int | None]:
    file = made / plan.files[0]
    tensors = None
    if plan.format == "gguf-q4_k_m":
        source = made.parent / "f16.gguf"
        gguf.write_gguf(merged.model, merged.tokenizer, source, "f16", name=plan.name, licence=plan.licence)
        gguf.quantise(source, file)
        tolerance = Q4_K_M
    else:
        stored: gguf.Stored = "f16" if plan.format == "gguf-f16" else "q8_0"
        gguf.write_gguf(merged.model, merged.tokenizer, file, stored, name=plan.name, licence=plan.licence)
        tensors = gguf.check_tensors(file, merged.model, stored).tensors
        tolerance = F16 if stored == "f16" else Q8_0
    before = logits_on(merged.model, texts)
    found: Logits = gguf.logits_of_file(file, merged.model, texts)
    written = agreement("the merged model in fp32", before, f"the {plan.format} file", found)
    require(written, tolerance, "take --format gguf-f16, or --format merged")
    if plan.format == "gguf-q4_k_m":
        return (*merged.checks, written), tensors
    scored = merge.require_as_scored(merged, f"the {plan.format} file", found, plan.base)
    return (*merged.checks, written, scored), tensors


def _record(
    plan: ExportPlan,
    at: str,
    *,
    checks: tuple[Agreement, ...] = (),
    tensors: int | None = None,
    remarks: tuple[str, ...] = (),
    serve: str | None = None,
) -> ExportRecord:
    adapter = plan.adapter
    return ExportRecord(
        name=plan.name,
        reference=adapter.reference if adapter.version is not None else adapter.directory.name,
        format=plan.format,
        merged_into=None if plan.format == "adapter" else plan.base,
        base=adapter.base,
        base_fingerprint=adapter.base_fingerprint,
        base_licence=plan.licence,
        precision=plan.source.precision,
        method=adapter.method,
        adapter_sha256=adapter.sha256,
        run=adapter.run,
        checks=checks,
        tensors=tensors,
        remarks=(*remarks, *plan.remarks),
        serve=serve,
        made_at=at,
        workbench_version=metadata.version("workbench-ft"),
        libraries=library_versions(_LIBRARIES),
    )


def _training_rows(inputs: Inputs) -> list[Record]:
    mix = inputs.get("mix")
    return [] if mix is None else list(islice(read_rows(mix.part("train.jsonl"), Record), _ROWS))


def _remarks(tokenizer: Any, system_prompt: str | None) -> tuple[str, ...]:
    if system_prompt is not None:
        return (f"trained and scored with the system prompt {system_prompt!r}: send it",)
    if own_system_prompt(tokenizer):
        return (
            "the chat template adds a system prompt of its own where none is given; training and scoring had none, and "
            "the Modelfile has none",
        )
    return ()


def _files(format: Format, name: str) -> tuple[str, ...]:
    if format == "adapter":
        return (WEIGHTS, CONFIG, NOTE, CARD, RECORD)
    if format == "merged":
        return ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", CARD, RECORD)
    return (f"{name}.{format.removeprefix('gguf-')}.gguf", "Modelfile", CARD, RECORD)


def _config(source: ExportSource, project: Path) -> Any:
    # 4 s: transformers
    from transformers import AutoConfig

    location = locate(source.model.ref, source.model.revision, project)
    return AutoConfig.from_pretrained(location.name, trust_remote_code=False, **location.options)


def _about_bytes(source: ExportSource, format: Format, project: Path) -> int | None:
    if format == "adapter":
        return sum(path.stat().st_size for path in source.adapter.iterdir() if path.is_file())
    found = resolve(source.model.ref, source.model.revision, project)
    if found.kind == "hub":
        return None
    directory = Path(locate(source.model.ref, source.model.revision, project).name)
    return round(sum(file.stat().st_size for file in directory.glob("*.safetensors")) / 2.0 * _BYTES[format])


def _require_space(target: Path, size: int | None) -> None:
    parent = target.absolute().parent
    while not parent.is_dir():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if size is not None and size > free:
        raise IncompleteError(
            f"about {size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            where=str(parent),
            next_step="free some space, or name a directory on another disk",
        )
