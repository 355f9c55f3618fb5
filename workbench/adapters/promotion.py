"""Slots: which version serves, for whom. A slot is given through a passed gate, taken back, and never silently moved.

    promote(project, "support@3", "production", who="ada")     ->  production: 3
    roll_back(project, "support", "production", who="ada")     ->  production: 2, the version before
    archive(project, "support@1", who="ada")                   ->  out of use; its files may be collected

    .workbench/adapters/slots/support/production  ->  ../../versions/support/3     a link for servers, replaced at once

The log decides; a link that a kill left behind is set right by the next command that writes.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from workbench.adapters.log import append, locked
from workbench.adapters.registry import Registered, Registry, check_unchanged, read_registry
from workbench.core.adapters import SLOT, AdapterArchived, AdapterLine, AdapterPromoted, AdapterRolledBack
from workbench.core.errors import IncompleteError, UsageError, WorkbenchError
from workbench.core.paths import Project


@dataclass(frozen=True, slots=True)
class Moved:
    """A slot before and after."""

    name: str
    slot: str
    before: int | None
    after: int
    forced: bool = False


def promote(
    project: Project,
    reference: str,
    slot: str,
    *,
    who: str,
    at: str,
    force: bool = False,
    reason: str = "",
    dry_run: bool = False,
) -> Moved:
    """Points a slot at an adapter whose last verdict is `passed`, or, with `force` and a reason, at any.

    UsageError for a slot's name that cannot be, or force without a reason; IncompleteError if the gate has not passed
    the adapter, or it is archived, or its files changed: none of this can be forced but the first."""
    check_slot(slot)
    if force and not reason.strip():
        raise UsageError(
            "--force needs a reason: whoever reads the history later should know why", next_step="--reason TEXT"
        )
    with nullcontext() if dry_run else locked(project):
        registry = read_registry(project)
        adapter = registry.get(reference)
        assert adapter.version is not None, "the registry's adapters have versions"
        _check_usable(adapter)
        passed = adapter.gate == "passed"
        if not passed and not force:
            raise _not_passed(adapter)
        held = registry.holder(adapter.name, slot)
        moved = Moved(adapter.name, slot, None if held is None else held.version, adapter.version, not passed)
        if dry_run:
            return moved
        line = AdapterPromoted(
            at=at,
            who=who,
            name=adapter.name,
            version=adapter.version,
            sha256=adapter.sha256,
            slot=slot,
            state=adapter.gate,
            run=adapter.judged[-1].run if adapter.judged else None,
            forced=not passed,
            reason=reason,
        )
        _write(project, line)
    return moved


def roll_back(
    project: Project, name: str, slot: str, *, who: str, at: str, reason: str = "", dry_run: bool = False
) -> Moved:
    """Points a slot at the version that held it before; archived ones are passed over.

    UsageError for a slot that is not in use; IncompleteError if no version is left before the present one, or the
    files of the one before changed."""
    with nullcontext() if dry_run else locked(project):
        registry = read_registry(project)
        present = registry.get(f"{name}@{slot}")
        held = registry.slots[name, slot]
        archived = {version for version in held if registry.adapters[name, version].archived}
        before = [version for version in held if version != present.version and version not in archived]
        if not before or present.version is None:
            raise IncompleteError(
                f"{present.reference} is the first in slot {slot!r} of {name!r}: there is none before it to go back to",
                next_step=f"workbench adapters promote {name}@VERSION --slot {slot}",
            )
        target = registry.adapters[name, before[-1]]
        check_unchanged(target)
        moved = Moved(name, slot, present.version, before[-1])
        if dry_run:
            return moved
        line = AdapterRolledBack(
            at=at,
            who=who,
            name=name,
            version=before[-1],
            sha256=target.sha256,
            slot=slot,
            withdrawn=present.version,
            reason=reason,
        )
        _write(project, line)
    return moved


def archive(
    project: Project, reference: str, *, who: str, at: str, reason: str = "", dry_run: bool = False
) -> Registered:
    """Takes an adapter out of use. IncompleteError if a slot points at it or it is archived already."""
    with nullcontext() if dry_run else locked(project):
        adapter = read_registry(project).get(reference)
        assert adapter.version is not None, "the registry's adapters have versions"
        if adapter.archived:
            raise IncompleteError(f"{adapter.reference} is archived already")
        if adapter.slots:
            raise IncompleteError(
                f"{adapter.reference} stands in slot {', '.join(adapter.slots)}",
                next_step=f"promote another version, or: workbench adapters rollback {adapter.name}@{adapter.slots[0]}",
            )
        if not dry_run:
            line = AdapterArchived(
                at=at, who=who, name=adapter.name, version=adapter.version, sha256=adapter.sha256, reason=reason
            )
            _write(project, line)
    return adapter


def check_slot(slot: str) -> None:
    """UsageError for what cannot be the name of a slot."""
    if not SLOT.fullmatch(slot):
        raise UsageError(
            f"{slot!r} cannot name a slot",
            where="--slot",
            next_step="begin with a letter; letters, digits, dot, dash and underscore, at most 64",
        )


def _check_usable(adapter: Registered) -> None:
    if adapter.archived:
        raise IncompleteError(
            f"{adapter.reference} is archived",
            next_step="register its files again under another name, or promote another version",
        )
    check_unchanged(adapter)


def _not_passed(adapter: Registered) -> WorkbenchError:
    if not adapter.judged:
        problem = f"no gate has judged {adapter.reference}"
        first = f"score it against its base: `adapter: {adapter.reference}` in an arm of a run"
    else:
        last = adapter.judged[-1]
        problem = f"the gate did not pass {adapter.reference}: {last.state} in run {last.run}. {last.headline}"
        first = "train a better one"
    advice = f"{first}; or promote it all the same, with a reason that is kept: --force --reason TEXT"
    return IncompleteError(problem, next_step=advice)


def _write(project: Project, line: AdapterLine) -> None:
    append(project, line)
    _set_links(project, read_registry(project))


def _set_links(project: Project, registry: Registry) -> None:
    """Makes every slot's link say what the log says; each is replaced at once."""
    for (name, slot), held in registry.slots.items():
        link = project.adapters / "slots" / name / slot
        target = Path("..", "..", "versions", name, str(held[-1]))
        if link.is_symlink() and link.readlink() == target:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        aside = link.with_name(f".{slot}.{os.getpid()}.tmp")
        aside.unlink(missing_ok=True)
        aside.symlink_to(target)
        aside.replace(link)
