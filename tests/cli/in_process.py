"""The command in this process: what it printed, and its errors as exceptions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from workbench.cli.main import app
from workbench.core.errors import WorkbenchError


@dataclass(frozen=True)
class Shown:
    """What a command printed."""

    code: int
    out: str
    error: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def workbench(*arguments: str) -> Shown:
    """Runs a command; errors for people are raised."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, WorkbenchError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Shown(result.exit_code, result.stdout, result.stderr)
