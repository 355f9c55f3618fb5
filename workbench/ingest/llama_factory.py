"""Entries of LLaMA-Factory's `dataset_info.json`: where the rows are, and what their columns and tags mean.

    "tickets": {"file_name": "tickets.json", "columns": {"prompt": "task", "response": "reply"}}
    ->  {"task": "Capital of Peru?", "reply": "Lima"} is the row {"instruction": "Capital of Peru?", "output": "Lima"}

    "talks": {"file_name": "talks.json", "formatting": "sharegpt", "tags": {"role_tag": "who", "content_tag": "says",
              "user_tag": "customer", "assistant_tag": "agent"}}
    ->  {"who": "customer", "says": "Hello"} is the turn {"role": "user", "content": "Hello"}

Read as LLaMA-Factory reads them: where an entry names `columns`, those it does not name are not used; `prompt` without
a `response` is a text to learn whole; a turn whose role is no tag of the entry makes the row unusable.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.cards import Card, FileSource, HubSource, LlamaFactorySource
from workbench.core.errors import UsageError
from workbench.core.paths import inside
from workbench.ingest.formats.shape import column_names, optional_text, type_name
from workbench.ingest.rows import Row, RowProblem
from workbench.ingest.strict_json import parse
from workbench.ingest.unread import says_something

INDEX = "dataset_info.json"
_INDEX_BYTES = 16 << 20
_ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
_SHAREGPT_COLUMNS = {"messages": "conversations"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
_TOOL_KEYS = ("tool_calls", "tool_call_id", "name")
"""Keys of a turn that say more about tools, whatever the tags are."""
_FORMATTINGS = ("alpaca", "sharegpt", "openai")
_SAME_NAME = ("system", "tools", "images", "videos", "audios", "kto_tag")
_KEPT = ("topic", "category", "split")
"""Columns that say something about a row whatever the entry names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, with its defaults filled in."""

    source: FileSource | HubSource
    formatting: str
    ranking: bool
    columns: Mapping[str, str]
    """LLaMA-Factory's name of a column to the data's."""
    tags: Mapping[str, str]
    num_samples: int | None
    content: Mapping[str, Any]
    """The entry as it stands."""

    def unnamed(self, row: Row) -> list[str]:
        """Columns of a row that say something and that the entry does not name."""
        read = {*self.columns.values(), *_KEPT}
        return [name for name, value in row.items() if name not in read and says_something(name, value)]


def load_entry(source: LlamaFactorySource, card: Card, project: Path) -> Entry:
    """The entry a card names. Raises UsageError for everything that cannot be read as it says."""
    where = f"dataset card {card.name}"
    if card.format != "auto" or card.columns:
        raise UsageError("the entry says what the columns are", where=where, next_step="leave out format and columns")
    if not Path(source.path).is_absolute():
        inside(project, source.path, where=where)
    index = index_file(source, project)
    entries = _read_index(index, where)
    where = f"{index.name}: {source.entry}"
    if source.entry not in entries:
        close = difflib.get_close_matches(source.entry, entries, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"entries: {', '.join(list(entries)[:20])}"
        raise UsageError("there is no such entry", where=where, next_step=advice)
    content = entries[source.entry]
    if not isinstance(content, dict):
        raise UsageError(f"the entry is {type_name(content)}, expected an object", where=where)
    return _entry(content, source, project, index, where)


def index_file(source: LlamaFactorySource, project: Path) -> Path:
    """The `dataset_info.json` that a source names, itself or by its folder."""
    index = project / source.path
    return index / INDEX if index.is_dir() else index


def canonical(row: Row, entry: Entry) -> Row:
    """A row under the names that the formats know. Raises RowProblem."""
    known = {name: row[column] for name, column in entry.columns.items() if column in row}
    kept = {name: row[name] for name in _KEPT if name in row}
    same = {name: known[name] for name in _SAME_NAME if name in known}
    made = _alpaca(known, entry, row) if entry.formatting == "alpaca" else _sharegpt(known, entry, row)
    return kept | same | made


def _alpaca(known: Row, entry: Entry, row: Row) -> Row:
    _require("prompt", known, entry, row)
    asked: Row = {"instruction": known["prompt"], "input": known.get("query"), "history": known.get("history")}
    if entry.ranking:
        return asked | {"chosen": known.get("chosen"), "rejected": known.get("rejected")}
    if "response" in entry.columns:
        return asked | {"output": known.get("response")}
    texts = [text for name in ("prompt", "query") if (text := optional_text(known, name))]
    return {"text": "\n".join(texts)}


def _sharegpt(known: Row, entry: Entry, row: Row) -> Row:
    _require("messages", known, entry, row)
    turns = parse(known["messages"]) if isinstance(known["messages"], str) else known["messages"]
    if not isinstance(turns, list):
        raise RowProblem("bad_content", f"{entry.columns['messages']} holds {type_name(turns)}, expected a list")
    made: Row = {"messages": [_turn(turn, entry, f"turn {number}") for number, turn in enumerate(turns, start=1)]}
    if entry.ranking:
        for name in ("chosen", "rejected"):
            answer = known.get(name)
            made[name] = _turn(answer, entry, name) if isinstance(answer, dict) else answer
    return made


def _turn(turn: Any, entry: Entry, what: str) -> Row:
    if not isinstance(turn, dict):
        raise RowProblem("bad_content", f"{what} is {type_name(turn)}, expected a message")
    tag = turn.get(entry.tags["role_tag"])
    role = next((role for name, role in _ROLES.items() if entry.tags.get(name) == tag), None)
    if role is None:
        known = ", ".join(entry.tags[name] for name in _ROLES if name in entry.tags)
        raise RowProblem("bad_role", f"{what} has role {tag!r}; tags of the entry: {known}")
    kept = {name: turn[name] for name in _TOOL_KEYS if turn.get(name)}
    return {"role": role, "content": turn.get(entry.tags["content_tag"])} | kept


def _require(name: str, known: Row, entry: Entry, row: Row) -> None:
    if known.get(name) is None:
        column = entry.columns.get(name)
        what = f"no column {column!r}" if column else f"the entry names no column for {name}"
        raise RowProblem("missing_column", f"{what}; the row has {column_names(row)}")


def _read_index(index: Path, where: str) -> dict[str, Any]:
    try:
        if index.stat().st_size > _INDEX_BYTES:
            raise UsageError(f"larger than {_INDEX_BYTES >> 20} MiB: this is no {INDEX}", where=str(index))
        entries = json.loads(index.read_bytes())
    except OSError as error:
        problem = f"{index} cannot be read: {error.strerror or error}"
        raise UsageError(problem, where=where, next_step=f"name the folder of {INDEX}, or the file") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", where=str(index)) from None
    if not isinstance(entries, dict):
        raise UsageError(f"{INDEX} is an object of entries, this is {type_name(entries)}", where=str(index))
    return entries


def _entry(content: dict[str, Any], source: LlamaFactorySource, project: Path, index: Path, where: str) -> Entry:
    formatting = content.get("formatting") or "alpaca"
    if formatting not in _FORMATTINGS:
        raise UsageError(f"formatting {formatting!r} is not one of {', '.join(_FORMATTINGS)}", where=where)
    columns = _names(content, "columns", _ALPACA_COLUMNS if formatting == "alpaca" else _SHAREGPT_COLUMNS, where)
    tags = _names(content, "tags", _TAGS, where)
    if missing := [name for name in ("role_tag", "content_tag") if name not in tags]:
        raise UsageError(f"tags: {missing[0]} is missing", where=where)
    ranking = content.get("ranking") or False
    if ranking and not {"chosen", "rejected"} <= columns.keys():
        raise UsageError("ranking needs columns chosen and rejected", where=where)
    samples = content.get("num_samples")
    if samples is not None and (not isinstance(samples, int) or samples < 1):
        raise UsageError(f"num_samples is {samples!r}, expected a whole number above 0", where=where)
    rows = _source(content, source, project, index, where)
    return Entry(rows, formatting, bool(ranking), columns, tags, samples, content)


def _names(content: dict[str, Any], key: str, defaults: dict[str, str], where: str) -> dict[str, str]:
    """`columns` or `tags`: the defaults count only where the entry has none at all."""
    given = content.get(key)
    if given is None:
        return defaults
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given.values() if name is not None):
        raise UsageError(f"{key} must be an object of names", where=where)
    return {name: value for name, value in given.items() if value is not None}


def _source(
    content: dict[str, Any], source: LlamaFactorySource, project: Path, index: Path, where: str
) -> FileSource | HubSource:
    """What LLaMA-Factory would load: the hub before a local file."""
    texts = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name", "file_name")
    names = ("subset", "split", "folder", "revision")
    if wrong := [name for name in (*texts, *names) if not isinstance(content.get(name, ""), str | None)]:
        raise UsageError(f"{wrong[0]} must be text", where=where)
    if hub_id := content.get("hf_hub_url"):
        revision, subset, folder = (content.get(name) for name in ("revision", "subset", "folder"))
        split = content.get("split") or "train"
        return HubSource(kind="hub", id=hub_id, split=split, revision=revision, config=subset, folder=folder)
    if content.get("script_url"):
        raise UsageError(
            "the entry loads its data by a script, and code that comes with data is never run",
            where=where,
            next_step="run it yourself and name the file it makes",
        )
    if not (name := content.get("file_name")):
        other = next((name for name in texts if content.get(name)), None)
        problem = f"{other} is not supported" if other else "the entry names no data"
        raise UsageError(problem, where=where, next_step="download the data and give the entry a file_name")
    inside(index.parent if Path(source.path).is_absolute() else project, str(index.parent / name), where=where)
    relative = index.parent / name if Path(source.path).is_absolute() else (index.parent / name).relative_to(project)
    return FileSource(kind="file", path=str(relative))
