"""The process in which base and adapter answer: `python -m workbench.loop.chat_process PROJECT DUET`.

    in    {"base": [{"role": "user", "content": "Capital of Peru?"}], "tuned": [...]}      {} stops the answers
    out   {"event": "ready", "shared": true}   {"event": "said", "side": "base", "text": "Li"}   {"event": "answered"}

It ends when its input does: then nobody is listening.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from workbench.core.errors import WorkbenchError
from workbench.core.records import Message
from workbench.loop.chat import Answered, Ask, ChatEvent, Duet, Failed, Ready, Said, Side, encoded

if TYPE_CHECKING:
    from workbench.models.side_by_side import SideBySide

_SAID_EVERY_S = 0.1


def main() -> int:
    """Loads, then answers until the input ends."""
    project, duet = Path(sys.argv[1]), Duet.model_validate_json(sys.argv[2])
    # What libraries print must not come between the events.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked: queue.Queue[Ask] = queue.Queue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(asked, stop), daemon=True).start()
    try:
        from workbench.models.side_by_side import load_side_by_side

        pair = load_side_by_side(duet.model, duet.precision, project, Path(duet.adapter))
    except WorkbenchError as error:
        _tell(out, Failed(problem=str(error), fatal=True))
        return int(error.exit_code)
    _tell(out, Ready(shared=pair.shared))
    while True:
        ask = asked.get()
        try:
            _answer(out, pair, "base", ask.base, duet.max_new_tokens, stop)
            _answer(out, pair, "tuned", ask.tuned, duet.max_new_tokens, stop)
        except WorkbenchError as error:
            _tell(out, Failed(problem=str(error), fatal=False))


def _listen(asked: queue.Queue[Ask], stop: threading.Event) -> None:
    for line in sys.stdin:
        ask = Ask.model_validate_json(line)
        if ask.base:
            stop.clear()
            asked.put(ask)
        else:
            stop.set()
    os._exit(0)  # the main thread may be inside a library, and there is nothing to save


def _answer(
    out: TextIO, pair: SideBySide, side: Side, turns: tuple[Message, ...], max_new_tokens: int, stop: threading.Event
) -> None:
    if stop.is_set():
        _tell(out, Answered(side=side, text="", tokens=0, seconds=0.0, finish_reason="cancelled"))
        return
    from workbench.models.side_by_side import answer

    told = 0.0

    def on_text(text: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _SAID_EVERY_S:
            told = time.monotonic()
            _tell(out, Said(side=side, text=text))

    made = answer(pair, side, turns, max_new_tokens, on_text, stop.is_set)
    _tell(
        out,
        Answered(side=side, text=made.text, tokens=made.tokens, seconds=made.seconds, finish_reason=made.finish_reason),
    )


def _tell(out: TextIO, event: ChatEvent) -> None:
    out.write(encoded(event))
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
