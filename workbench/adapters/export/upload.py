"""Publishing an export on the hub: what would be sent, and sending exactly that.

    plan_upload("out", "me/capitals", private=True)  ->  files with size and SHA-256, compared with export.json
    upload(plan)                                     ->  address of the commit

Only files that `export.json` lists are sent, and only if they are what was verified. The token is the hub client's own
(HF_TOKEN, or `hf auth login`): it is neither read nor shown here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.adapters.export.record import RECORD, ExportRecord
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.fingerprints import file_sha256
from workbench.core.parts import read_model
from workbench.core.records import Part

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What will be sent where."""

    directory: Path
    repository: str
    private: bool
    record: ExportRecord
    files: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


def plan_upload(directory: Path, repository: str, *, private: bool) -> UploadPlan:
    """Raises UsageError for a bad name or a directory that is no export, IncompleteError for changed files."""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise UsageError(f"{repository!r} is no ORG/NAME", where="REPOSITORY", next_step="e.g. my-org/support-bot")
    if not (directory / RECORD).is_file():
        raise UsageError(
            f"no export: {RECORD} is missing",
            where=str(directory),
            next_step="workbench adapters export NAME@VERSION --to DIR",
        )
    record = read_model(directory / RECORD, ExportRecord)
    for part in record.files:
        file = directory / part.path
        if Path(part.path).is_absolute() or ".." in Path(part.path).parts:
            raise IncompleteError(f"names a file outside of the export: {part.path!r}", where=str(directory / RECORD))
        if file.is_symlink() or not file.is_file():
            raise IncompleteError("is missing, or a link", where=str(file), next_step="export again")
        if file.stat().st_size != part.size_bytes or file_sha256(file) != part.sha256:
            raise IncompleteError("was changed after it was verified", where=str(file), next_step="export again")
    own = directory / RECORD
    listed = Part(path=RECORD, rows=None, size_bytes=own.stat().st_size, sha256=file_sha256(own))
    return UploadPlan(directory, repository, private, record, (*record.files, listed))


def upload(plan: UploadPlan) -> str:
    """Creates the repository if there is none, and sends the files in one commit; returns its address.

    Raises PrerequisiteError if the hub cannot be reached or refuses, as without a token.
    """
    # 0.5 s
    from httpx2 import HTTPError as TransportError
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    added = [CommitOperationAdd(part.path, str(plan.directory / part.path)) for part in plan.files]
    try:
        api.create_repo(plan.repository, private=plan.private, repo_type="model", exist_ok=True)
        commit = api.create_commit(
            plan.repository,
            added,
            commit_message=f"{plan.record.format} of {plan.record.reference}",
            repo_type="model",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise PrerequisiteError(
            f"the hub refused ({status})",
            where=plan.repository,
            next_step="set HF_TOKEN to a token that may write to this repository",
        ) from None
    except LocalTokenNotFoundError:
        raise PrerequisiteError(
            "no token for the hub", where=plan.repository, next_step="set HF_TOKEN, or run: hf auth login"
        ) from None
    except (TransportError, OSError) as error:
        raise PrerequisiteError(
            f"the hub cannot be reached ({type(error).__name__})",
            where=plan.repository,
            next_step="check the connection, HF_ENDPOINT and HF_HUB_OFFLINE",
        ) from None
    return str(commit.commit_url)
