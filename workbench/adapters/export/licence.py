"""Under which licence the base was published, as far as its own files say.

    GGUF file             general.license            apache-2.0
    directory             README.md, front matter    license: llama3.2
    distribution          License-Expression, License
    hub model             the hub's card
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import yaml

from workbench.models.refs import PYPI_PREFIX, ModelSource

_LOOKUP_TIMEOUT_S = 10.0
_CARD_BYTES = 64_000


def base_licence(source: ModelSource) -> str | None:
    """Identifier of the licence, lower case, or None if nothing says it."""
    found = None
    if source.kind == "hub":
        found = _of_hub(source)
    elif source.is_gguf:
        assert source.path is not None, source
        found = _of_gguf(source.path)
    elif source.path is not None:
        found = _of_card(source.path / "README.md")
    if found is None and source.name.startswith(PYPI_PREFIX):
        found = _of_distribution(source.name.removeprefix(PYPI_PREFIX))
    return found.strip().lower() if found and found.strip() else None


def _of_gguf(file: Path) -> str | None:
    # 0.3 s: only where the base is a GGUF file
    import gguf

    field = gguf.GGUFReader(file).get_field("general.license")
    return None if field is None else str(field.contents())


def _of_card(card: Path) -> str | None:
    if not card.is_file():
        return None
    with card.open("rb") as stream:
        text = stream.read(_CARD_BYTES).decode("utf-8", "replace")
    pieces = text.split("---\n", 2)
    if not text.startswith("---\n") or len(pieces) < 3:
        return None
    try:
        front = yaml.safe_load(pieces[1])
    except yaml.YAMLError:
        return None
    licence = front.get("license") if isinstance(front, dict) else None
    return licence if isinstance(licence, str) else None


def _of_distribution(name: str) -> str | None:
    about = metadata.metadata(name)
    stated = [str(about[key]) for key in ("License-Expression", "License") if key in about]
    # Some put the whole text of the licence there.
    return next((licence for licence in stated if len(licence) <= 64), None)


def _of_hub(source: ModelSource) -> str | None:
    # 0.2 s: only hub models pay for it
    from httpx2 import HTTPError as TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    assert source.hub_id is not None, source
    try:
        card = HfApi().model_info(source.hub_id, revision=source.revision, timeout=_LOOKUP_TIMEOUT_S).card_data
    except (HfHubHTTPError, TransportError, OSError):
        # Offline the export goes on: the card then says that the licence is not known.
        return None
    return card.license if card is not None and isinstance(card.license, str) else None
