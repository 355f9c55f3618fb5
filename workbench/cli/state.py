"""What every command knows: the project it was called for, and the options that recur."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workbench.core.paths import Project

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. train.max_steps=30.")
]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The project directory of this call. Paths on the command line start at the working directory, those in a
    configuration (and in `--set`) at the project."""

    root: Path

    @property
    def project(self) -> Project:
        """The project's directories; UsageError if the root is missing."""
        from workbench.core.errors import UsageError
        from workbench.core.paths import Project

        if not self.root.is_dir():
            raise UsageError(
                "project directory does not exist", where=str(self.root), next_step=f"workbench init {self.root}"
            )
        return Project(self.root)

    def from_here(self, reference: str) -> str:
        """A model or adapter as typed, for a project that starts relative paths at its own root.

        What is there from the working directory, or is written as a path (`./x`, `../x`, `~/x`), becomes absolute;
        names (all `NAME@VERSION`) and ids stay, and so does everything where the working directory is the project.
        """
        from workbench.core.errors import UsageError

        try:
            path = Path(reference).expanduser()
        except RuntimeError:
            raise UsageError("there is no such home directory", where=reference) from None
        is_name = not reference or ("@" in reference and "/" not in reference)
        is_path = reference.startswith(("./", "../", "~")) or (not is_name and path.exists())
        return str(path.absolute()) if is_path and self.root != Path.cwd() else reference
