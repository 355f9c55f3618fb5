"""Content addresses: the same content always has the same name.

>>> fingerprint({"b": 1, "a": [1, 2]}) == fingerprint({"a": [1, 2], "b": 1})
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text per value. NaN and infinity are refused (ValueError)."""
    return _CANONICAL.encode(value)


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def short_id(value: Any) -> str:
    """First 16 digits of `fingerprint`: 64 bits, enough to name rows of one project."""
    return fingerprint(value)[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def tree_sha256(root: Path) -> str:
    """SHA-256 over relative names and contents of all files under `root`, in name order."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return fingerprint([(name, file_sha256(root / name)) for name in names])


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution (without importing it); "absent" where there is none."""
    versions: dict[str, str] = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
