"""An endpoint on a scripted server under a clock that jumps as far as anyone sleeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.core.config import EndpointConfig
from workbench.core.records import Message
from workbench.endpoints.calls import ChatRequest
from workbench.endpoints.server import ServerEndpoint

KEY = "sk-very-secret-0123456789"


class FakeTime:
    """The clock, what was slept, and what the endpoint said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.said: list[str] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def question(text: str = "Capital of Peru?", **settings: Any) -> ChatRequest:
    return ChatRequest((Message(role="user", content=text),), max_tokens=settings.pop("max_tokens", 8), **settings)


def questions(count: int) -> list[ChatRequest]:
    return [question(f"q{number}") for number in range(count)]


def open_on(
    url: str, directory: Path, time: FakeTime | None = None, key: str = KEY, **settings: Any
) -> ServerEndpoint:
    config = EndpointConfig(base_url=url, model="scripted", **{"timeout_s": 30, "max_retries": 2} | settings)
    time = time or FakeTime()
    return ServerEndpoint(
        config,
        base_url=url,
        model="scripted",
        key=key,
        cache_dir=directory,
        say=time.said.append,
        clock=time.clock,
        sleep=time.sleep,
    )
