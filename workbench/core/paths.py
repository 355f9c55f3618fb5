"""Where things are: the project's directories, the user's cache, the files that ship with the package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent


def starter_dir() -> Path:
    """Directory with the evals/, datasets_cfg/ and workbench.yaml that `workbench init` copies."""
    packaged = PACKAGE / "_starter"
    return packaged if packaged.is_dir() else PACKAGE.parent


def cache_dir() -> Path:
    """Cache for converted models: WORKBENCH_CACHE, else XDG_CACHE_HOME/workbench, else ~/.cache/workbench."""
    if chosen := os.environ.get("WORKBENCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "workbench"


def importable_environment() -> dict[str, str]:
    """This process's environment for a child, with the package importable from wherever this process found it."""
    package_root = str(PACKAGE.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{package_root}{os.pathsep}{inherited}" if inherited else package_root}


def user_config_file() -> Path:
    """The user's own defaults: XDG_CONFIG_HOME/workbench/config.yaml."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "workbench" / "config.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    """The directories of one project."""

    root: Path

    @property
    def state(self) -> Path:
        """Everything the program writes for itself."""
        return self.root / ".workbench"

    @property
    def artifacts(self) -> Path:
        """STAGE/FINGERPRINT/{parts, manifest.json}."""
        return self.state / "artifacts"

    @property
    def work(self) -> Path:
        """Resumable scratch, STAGE/FINGERPRINT."""
        return self.state / "work"

    @property
    def scores(self) -> Path:
        """ARM.jsonl: finished batches of scoring, a cache."""
        return self.state / "scores"

    @property
    def runs(self) -> Path:
        """RUN/{config.yaml, plan.json, events.jsonl, log.txt}."""
        return self.state / "runs"

    @property
    def decisions(self) -> Path:
        """*.jsonl, append-only."""
        return self.state / "decisions"

    @property
    def adapters(self) -> Path:
        """log.jsonl, append-only; versions/NAME/VERSION/, the files; slots/NAME/SLOT, links to them."""
        return self.state / "adapters"

    @property
    def index(self) -> Path:
        """The DuckDB index, rebuildable from the other three."""
        return self.state / "workbench.duckdb"

    @property
    def reports(self) -> Path:
        """RUN/{report.html, report.md, report.json, junit.xml}."""
        return self.root / "reports"


def inside(root: Path, relative: str, *, where: str) -> Path:
    """`relative` resolved under `root`; UsageError if it leaves it, symbolic links included."""
    resolved = (root / relative).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise UsageError(
            f"path {relative!r} leaves the project directory",
            where=where,
            next_step="copy the file into the project, or give an absolute path on the command line",
        )
    return resolved
