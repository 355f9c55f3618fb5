"""The base of every model that crosses a wall, and the cleaning of text that may come from anywhere."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

DECIDING = {"for": "fingerprint"}
"""Context of a dump that is to hold only what can change a result."""


class Wire(BaseModel):
    """Immutable, strict about unknown keys; field docstrings become the descriptions of the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    def for_fingerprint(self) -> dict[str, Any]:
        """As JSON, for a fingerprint: without what cannot change a result, wherever it stands. Each part knows its own
        and leaves it out when it is dumped with the context `DECIDING`."""
        return self.model_dump(mode="json", context=DECIDING)


def storable(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD, so that UTF-8 and the database accept it."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def printable(text: str) -> str:
    """`text` safe for a terminal: escape, control and bidirectional characters shown as `\\xNN` or `\\uNNNN`."""
    return _CONTROLS.sub(lambda match: _escaped(match.group()), storable(text))


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
