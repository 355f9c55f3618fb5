"""Chat turns as regression items: the answer somebody called right, against what the other side said.

    items = ChatItems(project, "chat-regressions")
    items.add(turns, right="Lima", wrong="Quito", side="tuned")
        ->  evals/chat-regressions.yaml, made when it is not there, and a line in evals/chat-regressions.jsonl:
            {"question": "Capital of Peru?", "choices": ["Quito", "Lima"], "answer": 1, "group": "tuned", ...}

An arm passes an item if the right answer is the likelier one per character: long answers are not at a disadvantage.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Literal

from workbench.core.errors import ConfigErrors, UsageError
from workbench.core.fingerprints import short_id
from workbench.core.parts import write_text
from workbench.core.paths import Project, inside
from workbench.core.records import Message
from workbench.core.suites import Suite
from workbench.core.who import user_name
from workbench.core.wire import storable
from workbench.core.yamlfile import validate
from workbench.loop.settings import load_suite, suites_dir
from workbench.score.dialogue import FIELD

DEFAULT_SUITE = "chat-regressions"
_SAME = ("question", FIELD, "choices", "answer")
"""What makes two items the same."""
_YAML = """\
# Made by `workbench chat`: f5 and f6 add items, f7 takes the last one back.
name: {name}
description: Answers that somebody called right in a chat, against what the other side said.
licence: unknown
kind: regression
role: general
documents: {{file: {name}.jsonl}}
primary_metric: acc_norm
groups: group
chat: true
allowed_failures: 0
tags: [chat]
"""


class ChatItems:
    """The suite that a chat adds to; it remembers what it added, so that it can take it back."""

    def __init__(self, project: Project, name: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """UsageError or ConfigErrors if there is a suite of this name that cannot take such items, or none can have
        it."""
        directory = suites_dir(project)
        self._directory = project.root / directory
        self._name = name
        self._clock = clock
        self.suite_file = self._directory / f"{name}.yaml"
        self._added: list[tuple[bytes, bool]] = []
        """Lines written, and whether the suite was made for them."""
        suite = _new_suite(name)
        if self.suite_file.is_file():
            suite = load_suite(project.root, directory, name)
        if suite.kind != "regression" or suite.documents.file is None or suite.task:
            raise UsageError(
                "items of a chat need a suite of kind `regression` with a documents file and no `task`",
                where=str(self.suite_file),
                next_step="choose another name: --suite NAME",
            )
        self.items_file = inside(self._directory, suite.documents.file, where=f"suite {name}: documents.file")

    def add(self, turns: Sequence[Message], right: str, wrong: str, side: Literal["base", "tuned"]) -> Path:
        """Appends an item: `turns` end with the prompt and may begin with a system turn; gives the file. UsageError if
        the answers leave no choice, or the item stands there already. After an OSError all is as it was."""
        if not right.strip() or not wrong.strip() or right.strip() == wrong.strip():
            raise UsageError("an item needs two different answers that say something")
        item = self._item(turns, right, wrong, side)
        line = json.dumps(item, ensure_ascii=False).encode() + b"\n"
        new_suite, before = not self.suite_file.is_file(), self._items_size()
        try:
            if new_suite:
                write_text(self.suite_file, _YAML.format(name=self._name))
            self._write(item, line)
        except OSError:
            if new_suite and self._items_size() == before:
                self._take_suite_back()
            raise
        self._added.append((line, new_suite))
        return self.items_file

    def _write(self, item: dict[str, object], line: bytes) -> None:
        self.items_file.parent.mkdir(parents=True, exist_ok=True)
        with self.items_file.open("a+b", buffering=0) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            written = stream.read()
            if _stands_in(written, item):
                raise UsageError("this item stands there already", where=str(self.items_file))
            _append(stream, (b"\n" if written and not written.endswith(b"\n") else b"") + line, len(written))

    def _items_size(self) -> int:
        return self.items_file.stat().st_size if self.items_file.is_file() else 0

    def _take_suite_back(self) -> None:
        """The suite that was made for an item; of the items' file nothing that is in it."""
        if not self._items_size():
            self.items_file.unlink(missing_ok=True)
        self.suite_file.unlink(missing_ok=True)

    def undo(self) -> bool:
        """Takes the last item of this chat back, and the suite with it if it was made for that; False if there is none.

        UsageError if somebody wrote to the file since."""
        if not self._added:
            return False
        line, new_suite = self._added[-1]
        with self.items_file.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            written = stream.read()
            if not written.endswith(line):
                raise UsageError(
                    "the last line is not the item of this chat any more",
                    where=str(self.items_file),
                    next_step="take it out with an editor",
                )
            stream.truncate(len(written) - len(line))
        self._added.pop()
        if new_suite and not self._items_size():
            self._take_suite_back()
        return True

    def _item(self, turns: Sequence[Message], right: str, wrong: str, side: str) -> dict[str, object]:
        question = storable(as_prompt(turns))
        # Which place the right answer has follows from the texts, so that it is not always the same one.
        answer = int(short_id([question, sorted((right, wrong))]), 16) % 2
        choices = [right, wrong] if answer == 0 else [wrong, right]
        several = [{"role": turn.role, "content": turn.content} for turn in turns] if len(turns) > 1 else None
        return {
            "question": question,
            **({FIELD: several} if several else {}),
            "choices": [storable(choice) for choice in choices],
            "answer": answer,
            "group": side,
            "added_by": user_name(),
            "added_at": self._clock().isoformat(timespec="seconds"),
        }


def as_prompt(turns: Sequence[Message]) -> str:
    """One question as it is; of a conversation all turns under their roles. System turns are not part of it."""
    said = [turn for turn in turns if turn.role != "system"]
    if len(said) == 1:
        return said[0].content
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in said)


def _append(stream: FileIO, line: bytes, whole: int) -> None:
    """Writes a line and waits until it is on the disk; if it does not fit, the file is again `whole` bytes long."""
    try:
        while line:
            line = line[stream.write(line) :]
        os.fsync(stream.fileno())
    except OSError:
        stream.truncate(whole)
        raise


def _stands_in(written: bytes, item: dict[str, object]) -> bool:
    for line in written.splitlines():
        try:
            other = json.loads(line)
        except ValueError:
            continue
        if isinstance(other, dict) and all(other.get(key) == item.get(key) for key in _SAME):
            return True
    return False


def _new_suite(name: str) -> Suite:
    import yaml

    try:
        return validate(yaml.safe_load(_YAML.format(name=name)), Suite, file="--suite")
    except (yaml.YAMLError, ConfigErrors) as error:
        raise UsageError(
            f"no suite can be called {name!r}", where="--suite", next_step="letters, digits, - and _"
        ) from error
