"""Compiles hot loops with numba where it is installed, and leaves them as Python where it is not.

    @compiled
    def overlap(left, right): ...      # machine code, compiled at the first call and cached on disk; or plain Python

Only modules that are themselves imported inside functions may use it: it imports numba (0.3 s).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar, cast

SWITCH = "WORKBENCH_NO_NUMBA"
"""Environment variable: set to anything but 0, nothing is compiled."""

Loop = TypeVar("Loop", bound=Callable[..., Any])


@lru_cache(maxsize=1)
def numba_is_used() -> bool:
    """Whether loops are compiled: numba is installed and not switched off."""
    return os.environ.get(SWITCH, "0") in ("", "0") and find_spec("numba") is not None


def compiled(function: Loop) -> Loop:
    """`function` as machine code that releases the interpreter's lock, or as it is."""
    if not numba_is_used():
        return function
    import numba

    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast(Loop, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # neither the package nor the home directory can be written to
        return cast(Loop, numba.njit(**options)(function))
