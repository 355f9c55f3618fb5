"""One at a time, in the order in which they came.

    line = Line()
    with line.turn():
        ...
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """Threads that wait; a lock would let any of them go next."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for everybody who came before."""
        ticket = object()
        with self._moved:
            self._waiting.append(ticket)
            self._moved.wait_for(lambda: self._waiting[0] is ticket)
        try:
            yield
        finally:
            with self._moved:
                self._waiting.popleft()
                self._moved.notify_all()
