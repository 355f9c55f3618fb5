"""A dataset of the Hugging Face hub, by id.

    {kind: hub, id: tatsu-lab/alpaca, split: train, revision: dce01c9}   ->  its rows
    {kind: hub, id: openai/gsm8k, config: main, split: train+test}       ->  the rows of both, each with its split

Code that comes with a dataset is never run. The hub's own conversions have already happened (dates are timestamps,
columns of mixed types are JSON); whoever needs the bytes as they were downloads the file and names it instead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from workbench.core.cards import HubSource
from workbench.core.errors import PrerequisiteError, UsageError
from workbench.ingest.readers.arrow_rows import refuse_repeated_columns, rows_of
from workbench.ingest.rows import DataFile, ReadOptions, RowStream
from workbench.ingest.splits import split_named

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_BATCH_ROWS = 1000
_PROBE_TIMEOUT_S = 10


def check_id(source: HubSource) -> None:
    """UsageError unless the id is OWNER/NAME: an address or a path would make the library read something else."""
    where = _where(source)
    if not _ID.fullmatch(source.id) or ".." in source.id:
        raise UsageError("the id of a hub dataset is OWNER/NAME, such as tatsu-lab/alpaca", where=where)
    if Path(source.id).exists():
        raise UsageError(
            "there is a local file or folder of that name, which would be read instead",
            where=where,
            next_step="use source: {kind: file, path: ...}, or run from another directory",
        )


def hub_name(source: HubSource) -> str:
    """Id, subset, revision and split as one URL-like name."""
    subset = f"/{source.config}" if source.config else ""
    subset += f"/{source.folder}" if source.folder else ""
    return f"hub:{source.id}{subset}@{source.revision or 'main'}#{source.split}"


def read(source: HubSource, options: ReadOptions, loaded: dict[str, Any]) -> RowStream:
    """Rows of a hub dataset; `loaded` keeps its splits, so that a second pass does not load them again.

    Raises PrerequisiteError if the hub cannot be reached, UsageError for a wrong split."""
    check_id(source)
    if source.revision is None:
        options.warn(f"{source.id}: no revision named, so the rows may change between runs")
    for split in source.split.split("+"):
        one = source.model_copy(update={"split": split.strip()})
        if one.split not in loaded:
            loaded[one.split] = _loaded(one)
        dataset = loaded[one.split]
        refuse_repeated_columns(dataset.column_names, _where(source))
        file = DataFile(Path(source.id), hub_name(one), split=split_named(one.split))
        row = 0
        for table in dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
            for batch in table.to_batches():
                yield from rows_of(batch, row, file, options, trusted=True)
                row += batch.num_rows


def _loaded(source: HubSource) -> Any:
    import datasets  # 2 s: brings pandas and pyarrow
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if not HF_HUB_OFFLINE:
        _ask_hub(source, ENDPOINT)
    bars_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()  # a stage does not write to the terminal
    try:
        folder = {"data_dir": source.folder} if source.folder else {}
        return datasets.load_dataset(source.id, source.config, split=source.split, revision=source.revision, **folder)
    except DatasetNotFoundError as error:
        raise _not_open(source, _first_line(error)) from None
    except OSError as error:  # ConnectionError and TimeoutError are among them
        raise _unreachable(source, _first_line(error)) from None
    except (ValueError, DatasetsError, RuntimeError) as error:
        raise UsageError(f"cannot be loaded: {_first_line(error)}", where=_where(source)) from None
    finally:
        if bars_shown:
            datasets.enable_progress_bars()


def _ask_hub(source: HubSource, endpoint: str) -> None:
    """One short request first: the library itself tries for half a minute before it gives up, and logs each attempt."""
    import http.client
    import urllib.error
    import urllib.request

    from huggingface_hub import get_token

    token = get_token()
    request = urllib.request.Request(
        f"{endpoint}/api/datasets/{source.id}", headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise _not_open(source, f"{endpoint} answers {error.code}") from None
        raise _unreachable(source, f"{endpoint} answers {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(source, f"{endpoint}: {_first_line(error)}") from None


def _not_open(source: HubSource, reason: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"not found on the hub, or not open to you: {reason}",
        where=_where(source),
        next_step="check the id and the revision; for a private or gated dataset set HF_TOKEN",
    )


def _unreachable(source: HubSource, reason: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the hub cannot be reached: {reason}",
        where=_where(source),
        next_step="check the network and HF_ENDPOINT; set HF_HUB_OFFLINE=1 if the dataset is in your cache; or download"
        " it and use source: {kind: file, path: ...}",
    )


def _where(source: HubSource) -> str:
    return f"hub dataset {source.id!r}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
