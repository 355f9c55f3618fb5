"""The commands that run a whole loop, as a run's record spells them.

    {"run": "demo-20261101-120000", "command": "workbench sweep f.yaml --set train.rank=8,16"}   ->   starts with SWEEP

By its command a run that is continued is planned as it was at first.
"""

from __future__ import annotations

from typing import Final

DEMO: Final = "workbench demo"
RUN: Final = "workbench run"
ABLATE: Final = "workbench ablate"
ITERATE: Final = "workbench iterate"
SWEEP: Final = "workbench sweep"
RESUMABLE: Final = (RUN, DEMO, ABLATE, ITERATE, SWEEP)
"""Commands whose runs `workbench run --resume` continues: their configuration is a whole loop."""
