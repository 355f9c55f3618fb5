"""Who decides, where nobody said so."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The user's name; `uid N` where the system has none for it, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # before and since Python 3.13
        return f"uid {os.getuid()}"
