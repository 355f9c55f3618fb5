"""Rows as people have them: JSON Lines or a JSON list, chats among them.

rows_of(Path("chats.jsonl"))
->  [{"prompt": "Capital of Peru?", "answer": "Lima"}]      of {"messages": [{"role": "user", ...}, ...]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.fingerprints import canonical_json
from workbench.core.suites import read_objects

Row = dict[str, Any]


def rows_of(file: Path, limit: int | None = None) -> list[Row]:
    """Rows of JSON Lines, or of a `.json` file with those, a list, or an object that has a list of `examples`.

    UsageError for a file that is not there or holds none, IncompleteError names a line that is no row."""
    if not file.is_file():
        raise UsageError("is a folder" if file.is_dir() else "file does not exist", where=str(file))
    rows = _listed(file, limit) if file.suffix == ".json" else read_objects(file, limit)
    if not rows:
        raise UsageError("holds no rows", where=str(file), next_step="give one JSON object a line")
    return rows


def _listed(file: Path, limit: int | None) -> list[Row]:
    try:
        whole = json.loads(file.read_text(encoding="utf-8-sig"))
        canonical_json(whole).encode("utf-8")
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":  # a whole value, and then another
            return read_objects(file, limit)
        raise UsageError(f"is not JSON: {error}", where=str(file)) from None
    rows = whole.get("examples") if isinstance(whole, dict) else whole
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError("expected a list of JSON objects", where=str(file))
    return rows[:limit]


def plain_chat(row: Row) -> Row:
    """A chat as `prompt` and `answer`, or as `turns` where the user speaks more than once."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return row
    asked = [_said(one) for one in messages if one.get("role") == "user"]
    said = [_said(one) for one in messages if one.get("role") == "assistant"]
    rest = {name: value for name, value in row.items() if name != "messages"}
    if len(asked) > 1:
        return {**rest, "turns": asked, **({"reference": said} if len(said) == len(asked) else {})}
    return {**rest, **({"prompt": asked[0]} if asked else {}), **({"answer": said[-1]} if said else {})}


def _said(message: Row) -> Any:
    """What a message says: its text, or the texts of its parts where it has nothing else."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in content):
        return "".join(one["text"] for one in content)
    return content
