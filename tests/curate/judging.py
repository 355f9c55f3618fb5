"""Survivors, a node and a context for the judges that run a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from contexts import made_up_context

from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.curation import CurateConfig
from workbench.core.events import NodeMessage
from workbench.core.nodes import CurateNode
from workbench.core.records import Record


def survivors(records: Sequence[Record]) -> Callable[[], Iterator[tuple[int, Record]]]:
    """Rows 0, 2, 4...: row numbers are not positions."""
    return lambda: ((2 * place, record) for place, record in enumerate(records))


def node(model: Path | str, endpoint: EndpointConfig | None = None, **curate: Any) -> CurateNode:
    """A node whose base model is `model`; the keys of `CurateConfig` are given by name."""
    return CurateNode(
        curate=CurateConfig(**curate),
        datasets=("data",),
        suites=(),
        suites_dir="evals",
        model=ModelConfig(ref=str(model)),
        max_length=128,
        endpoint=endpoint,
        seed=0,
    )


class Room:
    """A context that keeps what was said; `stop_after` cancels at that look."""

    def __init__(self, root: Path, stop_after: int | None = None) -> None:
        self.said: list[Any] = []
        self._looks_left = stop_after
        self.context = made_up_context(
            "curate", root / "out", work_dir=root / "work", project=root, emit=self.said.append,
            cancelled=self._cancelled,
        )  # fmt: skip

    def messages(self, level: str) -> list[str]:
        """What was said at `info` or `warning`."""
        return [event.message for event in self.said if isinstance(event, NodeMessage) and event.level == level]

    def _cancelled(self) -> bool:
        if self._looks_left is None:
            return False
        self._looks_left -= 1
        return self._looks_left < 0
