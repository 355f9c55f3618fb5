"""What both sides of the training benchmark learn: questions about the standard library, answered by its docstrings."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from workbench.core.records import Message, Record, Source

MODULES = (
    "argparse", "ast", "bisect", "calendar", "codecs", "configparser", "contextlib", "csv", "datetime", "difflib",
    "enum", "fractions", "functools", "heapq", "inspect", "logging/__init__", "pathlib", "random", "shutil",
    "statistics", "subprocess", "tempfile", "textwrap", "threading", "typing", "unittest/case",
    "urllib/parse", "zipfile",
)  # fmt: skip


def docstring_records(wanted: int) -> list[Record]:
    """The same records on every machine with the same Python, in one shuffled order."""
    library = Path(sysconfig.get_paths()["stdlib"])
    records: list[Record] = []
    for name in MODULES:
        for function, text in _docstrings(library / f"{name}.py"):
            question = Message(role="user", content=f"What does `{function}` in the Python module `{name}` do?")
            turns = (question, Message(role="assistant", content=text))
            source = Source(dataset="stdlib", part_of=name)
            records.append(Record(id=f"{len(records):016x}", kind="chat", messages=turns, source=source))
    random.Random(0).shuffle(records)
    assert len(records) >= wanted, f"{len(records)} documented functions, {wanted} wanted"
    return records[:wanted]


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text and len(text.split()) >= 12:
                yield node.name, text
