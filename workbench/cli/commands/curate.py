"""`curate FILE`: clean one file, with no configuration at all."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import output
from workbench.cli.starting import Request, start_plan
from workbench.cli.state import Json, Settings

if TYPE_CHECKING:
    from workbench.core.cards import Card
    from workbench.core.config import LoopConfig
    from workbench.core.paths import Project
    from workbench.core.stage import Artifact
    from workbench.loop.plan import Plan

_NAME = "curate"
_OTHER_NAME = "give the output another name"
_SECTIONS = ("seed", "datasets_dir", "suites_dir", "model", "endpoints", "curate", "train")
"""What `workbench.yaml` says about the cleaning of a file; `train` for the length it will read."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(curate)


def curate(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="File, folder, glob, or hub:ORG/NAME[:SPLIT].")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the kept records here (.jsonl or .parquet).")
    ] = None,
    dropped: Annotated[
        Path | None, typer.Option("--dropped", help="Write the dropped records with all reasons here (.jsonl).")
    ] = None,
    suites: Annotated[
        list[str] | None, typer.Option("--suite", help="Search for this suite only, not for all of the project.")
    ] = None,
    no_suites: Annotated[bool, typer.Option("--no-suites", help="Search for no suite of the project.")] = False,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Evaluation data to search for: a file, a card, or hub:ORG/NAME[:SPLIT]."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model whose tokenizer counts (hub id, directory, pypi:NAME).")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=8, help="Tokens that training will read.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="Saved index: rows it holds are dropped, kept rows join it.")
    ] = None,
    export_lsh: Annotated[
        Path | None, typer.Option("--export-lsh", help="Write MinHash signatures of the kept records (.parquet).")
    ] = None,
    entry: Annotated[
        str | None, typer.Option("--entry", help="FILE is a LLaMA-Factory dataset_info.json: read this entry.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="Shape of the rows; `auto` looks.")] = "auto",
    settings: Settings = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Clean one file: duplicates, filters, decontamination. Prints what went and why; nothing is lost.

    In a project, every suite under evals/ (or its `suites_dir`) is searched for, and workbench.yaml says what its
    sections `curate`, `model` and `endpoints` say; elsewhere the defaults hold.

    Exit codes: 0 done (also with quarantined lines), 2 usage, 3 nothing to read or nothing left, 4 prerequisite
    missing.

    \b
    Examples:
      workbench curate data.jsonl
      workbench curate 'data/*.csv' -o clean.parquet --dropped dropped.jsonl
      workbench curate data.jsonl --suite capitals --against hub:openai/gsm8k:test
      workbench curate tuesday.jsonl --index known -o new.jsonl
      workbench curate data.jsonl --model ./my-model --max-length 2048
      workbench curate data.jsonl --set curate.near_duplicates.threshold=0.8
    """
    from workbench.loop.adhoc import all_suites, datasets_behind, files_read, typed_card
    from workbench.loop.plan import build_curate_plan
    from workbench.loop.run import refuse_unwritable
    from workbench.loop.settings import PROJECT_FILE, with_settings
    from workbench.models.token_counts import tokenizer_fingerprint

    outputs = _Outputs(out, dropped, export_lsh, index)
    outputs.check()
    project: Project = context.obj.project
    if model is not None:
        model = context.obj.from_here(model)
    own = with_settings({"name": _NAME}, settings or [], project.root / PROJECT_FILE, _SECTIONS)
    names = [] if no_suites else suites or all_suites(project, own)
    behind = datasets_behind(project, own, names)
    against_too = own.curate.decontamination.datasets
    card = typed_card(file, project.root, format=format, entry=entry, taken={*behind, *against_too})
    others = _against(against or [], {card.name, *behind}, project, own.datasets_dir)
    config = _config(project, names, others, model, max_length, index, settings)
    if model is not None:
        tokenizer_fingerprint(config.model, project.root)  # refuses a model that is not there
    plan = build_curate_plan(config, project.root, card, others)
    outputs.refuse_inputs(files_read(plan, project.root))
    if dry_run:
        _show_dry_run(project, plan, card, json=json)
        return
    refuse_unwritable(project)
    request = Request(project, project.root, [], command="workbench " + shlex.join(sys.argv[1:]))
    result = start_plan(request, config, plan, {node.name for node in plan.nodes}, None, quiet=quiet or json)
    problem: dict[str, str | int] | None = None
    if result.exit_code != 0:
        output.say(f"{result.status}: {result.message}")
        problem = {"message": result.message, "exit_code": int(result.exit_code)}
    if (curated := result.artifacts.get("curate")) is not None:
        _show(curated, result.artifacts[f"ingest:{card.name}"], outputs.write(curated), problem, json=json)
    elif json:
        output.print_json({"error": problem})
    if problem:
        raise typer.Exit(result.exit_code)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Files to be written besides the artifact."""

    kept: Path | None
    dropped: Path | None
    signatures: Path | None
    index: Path | None
    """The directory of the saved index, in which no other file belongs."""

    def check(self) -> None:
        """UsageError for a file that cannot be written, before the work."""
        from workbench.core.errors import UsageError
        from workbench.curate.export import SUFFIXES, check_export
        from workbench.loop.adhoc import refuse_unstorable

        for path in (*self._files(), self.index):
            if path is not None:
                refuse_unstorable(path)
        for path, suffixes in ((self.kept, SUFFIXES), (self.dropped, (".jsonl",)), (self.signatures, (".parquet",))):
            if path is not None:
                check_export(path, suffixes)
        given = self._files()
        for position, path in enumerate(given):
            if any(_is_same(path, other) for other in given[:position]):
                raise UsageError("two outputs have the same name", where=str(path))
            if self.index is not None and path.resolve().is_relative_to(self.index.resolve()):
                raise UsageError("lies in the saved index", where=str(path), next_step=_OTHER_NAME)

    def refuse_inputs(self, inputs: list[Path]) -> None:
        """UsageError for an output that is one of the files that are read, under whatever name."""
        from workbench.core.errors import UsageError

        for path in inputs:
            if any(_is_same(path, output) for output in self._files()):
                raise UsageError("is read, so it cannot be written", where=str(path), next_step=_OTHER_NAME)
            if self.index is not None and path.resolve().is_relative_to(self.index.resolve()):
                problem = "is read, so its directory cannot be a saved index"
                raise UsageError(problem, where=str(path), next_step="name a directory of its own with --index")

    def _files(self) -> list[Path]:
        return [path for path in (self.kept, self.dropped, self.signatures) if path is not None]

    def write(self, curated: Artifact) -> dict[str, dict[str, str | int]]:
        """Writes them; what was written, with the number of rows."""
        from workbench.curate.export import write_dropped, write_export, write_signatures

        written: dict[str, dict[str, str | int]] = {}
        if self.kept is not None:
            written["kept"] = {"file": str(self.kept), "rows": write_export(curated.part("records.jsonl"), self.kept)}
        if self.dropped is not None:
            rows = write_dropped(curated.part("dropped.jsonl"), self.dropped)
            written["dropped"] = {"file": str(self.dropped), "rows": rows}
        if self.signatures is not None:
            rows = write_signatures(curated, self.signatures)
            written["signatures"] = {"file": str(self.signatures), "rows": rows}
        return written


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one file: by name, by symbolic or by hard link."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _against(typed: list[str], taken: set[str], project: Project, datasets_dir: str) -> list[Card]:
    from workbench.loop.adhoc import typed_card

    cards: list[Card] = []
    for one in typed:
        names = taken | {card.name for card in cards}
        cards.append(typed_card(one, project.root, datasets_dir=datasets_dir, taken=names))
    return cards


def _config(
    project: Project,
    suites: list[str],
    against: list[Card],
    model: str | None,
    max_length: int | None,
    index: Path | None,
    settings: list[str] | None,
) -> LoopConfig:
    """What the project says of curation, what the options say above it, and what --set says above them."""
    from workbench.curate.tokens import OF_LIMIT
    from workbench.loop.settings import PROJECT_FILE, with_settings

    curation: dict[str, Any] = {}
    if against:
        curation["decontamination"] = {"datasets": [card.name for card in against]}
    if max_length is not None:
        curation["max_length"] = max_length
    if index is not None:
        curation["near_duplicates"] = {"index": str(index.absolute())}
    values: dict[str, Any] = {"name": _NAME, "score": {"suites": suites}, "curate": curation}
    if model is not None:
        values["model"] = {"ref": model}
    if model is None and max_length is None and not any(_sets_limit(setting) for setting in settings or []):
        curation["actions"] = dict.fromkeys(OF_LIMIT, "flag")
    return with_settings(values, settings or [], project.root / PROJECT_FILE, _SECTIONS)


def _sets_limit(setting: str) -> bool:
    """Whether somebody chose how long a row may be: a default must not drop what it does not know."""
    return setting.startswith(("curate.max_length=", "model.", "train.max_length="))


def _show(
    curated: Artifact,
    ingested: Artifact,
    written: dict[str, dict[str, str | int]],
    problem: dict[str, str | int] | None,
    *,
    json: bool,
) -> None:
    """The curation, also one that left nothing (`problem` says so)."""
    from workbench.loop.curated import curation_document, render_curation

    if json:
        error = {"error": problem} if problem else {}
        output.print_json({**curation_document(curated, ingested), "output": written, **error})
        return
    output.print_text(render_curation(curated, ingested))
    for what, file in written.items():
        output.say(f"{file['rows']:,} {what} written to {file['file']}")
    if curated.manifest.summary["rows_out"] != curated.manifest.summary["rows_in"]:
        output.say(f"dropped rows, whole, with all reasons: {curated.part('dropped.jsonl')}")
        output.say("take one back: workbench restore ID --reason TEXT, and curate again")


def _show_dry_run(project: Project, plan: Plan, card: Card, *, json: bool) -> None:
    from workbench.loop.dry_curate import dry_run_document, render_dry_run

    document = dry_run_document(project, plan, card)
    if json:
        output.print_json({"dry_run": True, **document})
    else:
        output.print_text(render_dry_run(document))
