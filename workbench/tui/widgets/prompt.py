"""The line on which people write to a model: enter sends, and pasted text keeps its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

_NEW_LINE = ("ctrl+j", "shift+enter", "alt+enter")
_TAKEN = ("f6", "f7")
"""Keys of the chat, which a text area would use to select."""


class Prompt(TextArea, inherit_bindings=False):
    """Grows with what is written."""

    BINDINGS: ClassVar[list[BindingType]] = [
        binding for binding in TextArea.BINDINGS if isinstance(binding, Binding) and binding.key not in _TAKEN
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed."""

        prompt: Prompt

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted(self))
        elif event.key in _NEW_LINE:
            event.stop()
            event.prevent_default()
            self.insert("\n")
        else:
            await super()._on_key(event)
