"""Models that answer what a test says, in place of the process with the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from workbench.core.config import ModelConfig
from workbench.core.records import Message
from workbench.loop.chat import Answered, ChatEvent, Duet, Ready, Said, Side

DUET = Duet(name="support@1", adapter="/nowhere", model=ModelConfig(ref="tiny"), precision="fp32")


class Scripted:
    """Hears what is asked; `answers` are given by the test."""

    def __init__(self, *, stays: bool = True, loads: bool = False) -> None:
        self.asked: list[tuple[list[str], list[str]]] = []
        self.stopped = 0
        self.ended = False
        self._stays = stays
        self._loads = loads
        self._heard: Callable[[ChatEvent], object] = lambda event: None

    async def run(self, heard: Callable[[ChatEvent], object]) -> None:
        self._heard = heard
        if not self._loads:
            heard(Ready(shared=True))
        try:
            if self._stays:
                await asyncio.Event().wait()
        finally:
            self.ended = True

    def ask(self, base: Sequence[Message], tuned: Sequence[Message]) -> None:
        self.asked.append(([turn.content for turn in base], [turn.content for turn in tuned]))

    def stop(self) -> None:
        self.stopped += 1
        for side in ("base", "tuned"):
            self.answer(side, "half an ans", "cancelled")

    def tell(self, event: ChatEvent) -> None:
        """What the process would say."""
        self._heard(event)

    def said(self, side: Side, text: str) -> None:
        self.tell(Said(side=side, text=text))

    def answer(self, side: Side, text: str, finish_reason: str = "stop") -> None:
        values = {"side": side, "text": text, "tokens": 5, "seconds": 0.5, "finish_reason": finish_reason}
        self.tell(Answered.model_validate(values))
