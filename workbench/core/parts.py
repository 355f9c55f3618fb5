"""Parts: the files of an artifact. JSON Lines of one model each, written aside and renamed.

write_rows(out / "records.jsonl", records)       ->  number of rows
read_rows(artifact / "records.jsonl", Record)    ->  iterator of Record
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import file_sha256
from workbench.core.records import Part

Model = TypeVar("Model", bound=BaseModel)


def write_text(path: Path, text: str) -> None:
    """Writes a file so that readers see the old content or the new one, never half of it."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`, for bytes."""
    with _aside(path) as stream:
        stream.write(data)


def write_model(path: Path, model: BaseModel) -> None:
    """One model as an indented JSON document."""
    write_text(path, model.model_dump_json(indent=2) + "\n")


def read_model(path: Path, model: type[Model]) -> Model:
    """The model in a JSON document; IncompleteError if the file is missing or is not one."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise IncompleteError("file is missing", where=str(path)) from None
    except ValidationError as error:
        raise IncompleteError(f"is no valid {model.__name__}: {_first_problem(error)}", where=str(path)) from None


def write_rows(path: Path, rows: Iterable[BaseModel]) -> int:
    """Writes one JSON line per row, aside and renamed; returns the number of rows."""
    count = 0
    with _aside(path) as stream:
        for row in rows:
            stream.write(row.model_dump_json(exclude_defaults=True).encode() + b"\n")
            count += 1
    return count


def read_rows(path: Path, model: type[Model], *, torn_last: bool = False) -> Iterator[Model]:
    """Rows of a JSON Lines part, one at a time; IncompleteError names the line that is not a row.

    With `torn_last` a last line that breaks off is none: the process that was appending it was killed.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise IncompleteError("part is missing", where=str(path)) from None
    with stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield model.model_validate_json(line)
            except ValidationError as error:
                if torn_last and not line.endswith(b"\n") and error.errors()[0]["type"] == "json_invalid":
                    return
                message = f"is no valid {model.__name__}: {_first_problem(error)}"
                raise IncompleteError(message, where=f"{path}:{number}") from None


def write_documents(path: Path, documents: Iterable[dict[str, Any]]) -> int:
    """Suite documents (free-form JSON objects), one per line; returns their number."""
    lines = [json.dumps(document, ensure_ascii=False, sort_keys=True) for document in documents]
    write_text(path, "".join(line + "\n" for line in lines))
    return len(lines)


def describe_parts(root: Path) -> tuple[Part, ...]:
    """Size, hash and rows of every file under `root`, in name order, hidden files and the manifest left out."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return tuple(_describe(root, path) for path in files if path.name != "manifest.json")


@contextmanager
def _aside(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place once all is on the disk, and is gone if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _describe(root: Path, path: Path) -> Part:
    rows = None
    if path.suffix == ".jsonl":
        with path.open("rb") as stream:
            rows = sum(1 for _ in stream)
    return Part(
        path=path.relative_to(root).as_posix(),
        rows=rows,
        size_bytes=path.stat().st_size,
        sha256=file_sha256(path),
    )


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(piece) for piece in problem["loc"])
    return f"{key}: {problem['msg']}" if key else str(problem["msg"])
