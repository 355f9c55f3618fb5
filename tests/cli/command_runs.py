"""The command in a process of its own, and a small project to run it in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def workbench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def small_project(directory: Path, settings: str = "") -> Path:
    """Forty rows, a card for them, and a configuration that names it and says `settings`."""
    (directory / "datasets_cfg").mkdir()
    (directory / "evals").mkdir()
    (directory / "datasets_cfg" / "mine.yaml").write_text("name: mine\nsource: {kind: file, path: mine.jsonl}\n")
    rows = [{"instruction": f"Name a number above {n}", "output": f"{n + 1}"} for n in range(40)]
    (directory / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "workbench.yaml").write_text("data: [mine]\n" + settings)
    return directory
