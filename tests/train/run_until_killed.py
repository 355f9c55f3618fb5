"""The train stage in a process of its own, each event a line on stdout: python run_until_killed.py ROOT NODE_JSON"""

from __future__ import annotations

import sys
from pathlib import Path

from training_run import TrainingRun

from workbench.core.events import Event
from workbench.core.nodes import TrainNode


class _Resumed(TrainingRun):
    def __post_init__(self) -> None:
        """The directories are there already."""


def _tell(event: Event) -> None:
    sys.stdout.write(event.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _Resumed(Path(sys.argv[1]), TrainNode.model_validate_json(sys.argv[2]), []).attempt(emit=_tell)
