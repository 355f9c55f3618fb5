"""The registry: what is registered, what stands in which slot, and what a reference means.

    resolve(project, "support@3")             ->  Registered(name="support", version=3, directory=..., run="...", ...)
    resolve(project, "support@production")    ->  the version that the slot points at
    resolve(project, "checkpoints/mine")      ->  the registered adapter with the same content, or an unregistered one

The log is the truth; files are compared with the hash in it before they are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.adapters.log import log_path, read_log
from workbench.core.adapters import (
    SLOT,
    AdapterArchived,
    AdapterJudged,
    AdapterLine,
    AdapterPromoted,
    AdapterRegistered,
    AdapterRolledBack,
)
from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import tree_sha256
from workbench.core.paths import Project
from workbench.core.results import RunState
from workbench.models.adapter_files import NOTE, read_note
from workbench.models.refs import model_fingerprint
from workbench.models.refs import resolve as resolve_model

_REFERENCE = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})@([0-9]{{1,9}}|{SLOT.pattern})")
_LIST = "workbench adapters list"


@dataclass(frozen=True, slots=True)
class Registered:
    """An adapter and everything the registry knows of it; a directory that nobody registered has no version."""

    name: str
    version: int | None
    """None for a directory that is not registered."""
    directory: Path
    sha256: str
    base: str
    """Reference of the base model, as `model.ref` takes it."""
    base_fingerprint: str
    precision: Precision | None
    """Of the frozen base in training; None where the adapter does not say."""
    method: str
    run: str | None
    """Run that trained it; None for a directory."""
    registration: AdapterRegistered | None = None
    """With data and config hashes, metrics, and the artifacts of the run by node."""
    judged: tuple[AdapterJudged, ...] = ()
    """Verdicts on it, oldest first."""
    slots: tuple[str, ...] = ()
    """Slots that point at it."""
    archived: bool = False

    @property
    def reference(self) -> str:
        """`NAME@VERSION`, or the directory where there is no version."""
        return str(self.directory) if self.version is None else f"{self.name}@{self.version}"

    @property
    def gate(self) -> RunState | None:
        """The last verdict's state; None if no gate has spoken."""
        return self.judged[-1].state if self.judged else None


@dataclass(frozen=True, slots=True)
class Registry:
    """What the log comes to."""

    adapters: dict[tuple[str, int], Registered] = field(default_factory=dict)
    """By name and version, in the order in which they were registered."""
    slots: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """Name and slot to the versions that held it, the present one last; what was rolled back is gone."""
    lines: tuple[AdapterLine, ...] = ()
    """The log."""

    def names(self) -> tuple[str, ...]:
        """Names in the order of their first version."""
        return tuple(dict.fromkeys(name for name, _ in self.adapters))

    def versions(self, name: str) -> tuple[Registered, ...]:
        """All versions of a name, oldest first."""
        return tuple(adapter for (owner, _), adapter in self.adapters.items() if owner == name)

    def holder(self, name: str, slot: str) -> Registered | None:
        """The version that a slot points at."""
        held = self.slots.get((name, slot))
        return self.adapters[name, held[-1]] if held else None

    def with_content(self, sha256: str) -> tuple[Registered, ...]:
        """The adapters with this content, one for each name it was registered under."""
        return tuple(one for one in self.adapters.values() if one.sha256 == sha256)

    def known(self, name: str) -> str:
        """The name itself; UsageError if nothing is registered under it."""
        if name not in self.names():
            names = ", ".join(self.names()) or "none yet"
            raise UsageError(f"no adapter is named {name!r}; registered: {names}", next_step=_LIST)
        return name

    def get(self, reference: str) -> Registered:
        """The adapter behind `NAME@VERSION` or `NAME@SLOT`; UsageError says what there is instead."""
        name, selector = _split(reference)
        self.known(name)
        if selector.isdigit():
            found = self.adapters.get((name, int(selector)))
            versions = ", ".join(str(adapter.version) for adapter in self.versions(name))
            problem = f"{name!r} has no version {int(selector)}; versions: {versions}"
        else:
            found = self.holder(name, selector)
            slots = ", ".join(slot for owner, slot in self.slots if owner == name) or "none"
            problem = f"nothing stands in slot {selector!r} of {name!r}; slots in use: {slots}"
        if found is None:
            raise UsageError(problem, where=reference, next_step=f"workbench adapters list {name}")
        return found


def read_registry(project: Project) -> Registry:
    """The registry as the log has it; IncompleteError if a line of the log cannot be read."""
    return registry_of(project, read_log(project))


def registry_of(project: Project, lines: Iterable[AdapterLine]) -> Registry:
    """What the lines come to, in their order; IncompleteError for a line about an adapter that no line registered."""
    said = tuple(lines)
    adapters: dict[tuple[str, int], Registered] = {}
    slots: dict[tuple[str, str], tuple[int, ...]] = {}
    for number, line in enumerate(said, start=1):
        key = (line.name, line.version)
        if isinstance(line, AdapterRegistered):
            adapters[key] = _registered(project, line)
            continue
        held = slots.get((line.name, line.slot), ()) if isinstance(line, AdapterPromoted | AdapterRolledBack) else ()
        if key not in adapters or (isinstance(line, AdapterRolledBack) and line.version not in held):
            event = line.event.replace("_", " ")
            raise IncompleteError(
                f"{line.name}@{line.version} is {event} here, but an earlier line about it is missing",
                where=f"{log_path(project)}:{number}",
                next_step="put back what was removed from the file",
            )
        match line:
            case AdapterJudged():
                adapters[key] = replace(adapters[key], judged=(*adapters[key].judged, line))
            case AdapterPromoted(slot=slot):
                slots[line.name, slot] = held if held[-1:] == (line.version,) else (*held, line.version)
            case AdapterRolledBack(slot=slot):
                slots[line.name, slot] = held[: len(held) - held[::-1].index(line.version)]
            case AdapterArchived():
                adapters[key] = replace(adapters[key], archived=True)
    for (name, slot), held in slots.items():
        key = (name, held[-1])
        adapters[key] = replace(adapters[key], slots=(*adapters[key].slots, slot))
    return Registry(adapters, slots, said)


def names_registered(reference: str) -> bool:
    """Whether a reference has the form `NAME@VERSION` or `NAME@SLOT`; `./NAME@3` is a directory."""
    return _REFERENCE.fullmatch(reference) is not None


def resolve(project: Project, reference: str) -> Registered:
    """The adapter behind `NAME@VERSION`, `NAME@SLOT` or a directory (absolute, or relative to the project), its files
    compared with the registered hash. A directory whose name has such a form is meant if no adapter has that NAME.

    UsageError for what does not exist; IncompleteError for a registered adapter whose files changed or are gone, and
    for a directory that does not say what base it is for."""
    registry = read_registry(project)
    directory = (project.root / Path(reference).expanduser()).resolve()
    if names_registered(reference) and (_split(reference)[0] in registry.names() or not directory.is_dir()):
        adapter = registry.get(reference)
        check_unchanged(adapter)
        return adapter
    if not directory.is_dir():
        raise UsageError(
            f"no adapter is registered as {reference!r}, and there is no such directory",
            where=reference,
            next_step=f"{_LIST}, or give NAME@VERSION, NAME@SLOT or a directory",
        )
    sha256 = tree_sha256(directory)
    if known := registry.with_content(sha256):
        return replace(known[-1], directory=directory)
    return _unregistered(directory, sha256)


def check_unchanged(adapter: Registered) -> None:
    """IncompleteError if the files are not those that were registered."""
    if not adapter.directory.is_dir():
        archived = "; it is archived, so `gc` may have deleted them" if adapter.archived else ""
        raise IncompleteError(
            f"the files of {adapter.reference} are gone{archived}", where=str(adapter.directory), next_step=_LIST
        )
    found = tree_sha256(adapter.directory)
    if found != adapter.sha256:
        raise IncompleteError(
            f"{adapter.reference} was changed after it was registered: its hash is {found[:12]}, "
            f"registered was {adapter.sha256[:12]}",
            where=str(adapter.directory),
            next_step="register the changed files as a version of their own, or put the registered ones back",
        )


def check_base(adapter: Registered, model: ModelConfig, project: Path) -> None:
    """IncompleteError if the adapter was trained on another base than the configuration names."""
    found = model_fingerprint(resolve_model(model.ref, model.revision, project))
    if found != adapter.base_fingerprint:
        raise IncompleteError(
            f"{adapter.reference} was trained on {adapter.base} ({adapter.base_fingerprint[:12]}), not on {model.ref} "
            f"({found[:12]})",
            where=str(adapter.directory),
            next_step="score it with the base it was trained on",
        )


def version_directory(project: Project, name: str, version: int) -> Path:
    """Where the files of a version are."""
    return project.adapters / "versions" / name / str(version)


def _split(reference: str) -> tuple[str, str]:
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise UsageError(
            f"{reference!r} is no NAME@VERSION or NAME@SLOT", where=reference, next_step="e.g. demo@1, demo@production"
        )
    return found[1], found[2]


def _registered(project: Project, line: AdapterRegistered) -> Registered:
    return Registered(
        name=line.name,
        version=line.version,
        directory=version_directory(project, line.name, line.version),
        sha256=line.sha256,
        base=line.base,
        base_fingerprint=line.base_fingerprint,
        precision=line.precision,
        method=line.method,
        run=line.run,
        registration=line,
    )


def _unregistered(directory: Path, sha256: str) -> Registered:
    note = read_note(directory)
    if note is None:
        raise IncompleteError(
            f"the directory does not say which base its adapter is for: {NOTE} is missing",
            where=str(directory),
            next_step=f"workbench adapters register {directory} --name NAME --base MODEL",
        )
    return Registered(
        name=directory.name,
        version=None,
        directory=directory,
        sha256=sha256,
        base=note.base,
        base_fingerprint=note.base_fingerprint,
        precision=note.precision,
        method=note.method,
        run=None,
    )
