"""Dataset cards made of what was typed on the command line: nobody should need a file to look at a file.

    typed_card("data/tickets.jsonl.gz", project)           ->  card tickets, a file
    typed_card("hub:openai/gsm8k:test", project)           ->  card openai-gsm8k, a hub set
    typed_card("dataset_info.json", project, entry="dpo")  ->  card dpo, an entry of LLaMA-Factory
    typed_card("python-docs", project, datasets_dir=...)   ->  the project's card of that name, if there is no such file
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.core.cards import Card, FileSource, LlamaFactorySource
from workbench.core.config import LoopConfig
from workbench.core.errors import UsageError
from workbench.core.nodes import CurateNode, IngestNode
from workbench.core.paths import Project
from workbench.core.suites import suite_path
from workbench.core.wire import storable
from workbench.core.yamlfile import validate
from workbench.ingest.files import data_files
from workbench.ingest.llama_factory import index_file, load_entry
from workbench.loop.plan import Plan
from workbench.loop.settings import load_card, load_suite

_HUB = "hub:"
_WHERE = "command line"
_WILDCARD = re.compile(r"[*?\[]")


def typed_card(
    typed: str,
    project: Path,
    *,
    format: str = "auto",
    entry: str | None = None,
    datasets_dir: str | None = None,
    taken: Iterable[str] = (),
) -> Card:
    """The card of a file, folder, glob or hub set; with `datasets_dir` also the name of a card there.

    All rows are used, none is held out, but for a card by name that is among `taken`: somebody else's. The name of any
    other is none of `taken`. Files are relative to the working directory. Raises UsageError if it is none of these.
    """
    if datasets_dir is not None and means_card(typed, project / datasets_dir):
        card = load_card(project, datasets_dir, typed)
        return card if card.name in taken else card.model_copy(update={"heldout_fraction": 0})
    source, name = _source(typed, entry)
    values = {"name": _free(_name(name), set(taken)), "source": source, "format": format, "heldout_fraction": 0}
    return validate(values, Card, file=_WHERE)


def all_suites(project: Project, config: LoopConfig) -> list[str]:
    """Names of the project's suites: a file that is cleaned on its own is searched for all of them."""
    return sorted(path.stem for path in (project.root / config.suites_dir).glob("*.yaml"))


def datasets_behind(project: Project, config: LoopConfig, suites: Iterable[str]) -> set[str]:
    """Names that cards made of what was typed must not have."""
    found = (load_suite(project.root, config.suites_dir, name).documents.dataset for name in suites)
    return {dataset for dataset in found if dataset is not None}


def files_read(plan: Plan, project: Path) -> list[Path]:
    """The files of its datasets, their index files, and the documents of suites that a plan to curate reads."""
    found: list[Path] = []
    for config in (node.config for node in plan.nodes):
        if isinstance(config, IngestNode):
            found += _files_of(config.card, project)
        elif isinstance(config, CurateNode):
            in_files = [suite for suite in config.suites if suite.documents.file is not None]
            found += [suite_path(project / config.suites_dir, suite, {}) for suite in in_files]
    return found


def _files_of(card: Card, project: Path) -> list[Path]:
    source = card.source
    found: list[Path] = []
    if isinstance(source, LlamaFactorySource):
        found.append(index_file(source, project))
        source = load_entry(source, card, project).source
    if isinstance(source, FileSource):
        found += [file.path for file in data_files(source, project, card.name, lambda message: None)]
    return found


def means_card(typed: str, directory: Path) -> bool:
    """Whether it is no hub set and no file, but the name of a card in `directory`, or at least could be one."""
    if typed.startswith(_HUB) or Path(typed).exists() or _WILDCARD.search(typed):
        return False
    return (directory / f"{typed}.yaml").is_file() or not re.search(r"[./\\]", typed)


def refuse_unstorable(path: Path) -> None:
    """UsageError for a path that is not UTF-8: it could not be written into a run's files."""
    whole = str(path.absolute())
    if storable(whole) != whole:
        problem = "the name is not UTF-8, so it cannot be written down"
        raise UsageError(problem, where=storable(str(path)), next_step="rename the file (or the directory it is in)")


def _source(typed: str, entry: str | None) -> tuple[dict[str, Any], str]:
    if not typed.startswith(_HUB):
        refuse_unstorable(Path(typed))
        _refuse_missing(typed)
    if entry is not None:
        return {"kind": "llama_factory", "path": str(Path(typed).absolute()), "entry": entry}, entry
    if not typed.startswith(_HUB):
        return {"kind": "file", "path": str(Path(typed).absolute())}, _stem(typed)
    name, colon, split = typed.removeprefix(_HUB).partition(":")
    if not name or (colon and not split):
        advice = "hub:org/name or hub:org/name:split"
        raise UsageError(f"{typed!r} names no hub dataset", where=_WHERE, next_step=advice)
    return {"kind": "hub", "id": name} | ({"split": split} if split else {}), name.replace("/", "-")


def _refuse_missing(typed: str) -> None:
    """UsageError for a path without wildcards at which there is nothing."""
    if not typed or not (Path(typed).exists() or _WILDCARD.search(typed)):
        raise UsageError(
            "there is no such file or folder",
            where=typed or _WHERE,
            next_step="check the spelling; a set on the hub is hub:org/name",
        )


def _stem(typed: str) -> str:
    """The file's name without its suffixes, of which the first has at least one letter behind the dot."""
    return re.sub(r"(?:\.[A-Za-z][A-Za-z0-9]{0,7}){1,3}\Z", "", Path(typed).name) or Path(typed).name


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).strip("-._")[:64] or "data"


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name[:60]}-{number}"
        number += 1
    return free
