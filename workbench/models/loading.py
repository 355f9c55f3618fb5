"""Loading: a model reference at one precision, with or without an adapter, the same way for every arm.

    load(config, "nf4", project)                          ->  LoadedModel of the base
    load(config, "nf4", project, adapter=out/"adapter")   ->  the same base with the adapter on it

A GGUF file is dequantised once into the cache and loaded from there. Nothing in a model's or adapter's directory is
ever executed: no remote code, no pickles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import PrerequisiteError, UsageError
from workbench.models import gradient_guard
from workbench.models.adapter_files import attached, check_adapter_fits
from workbench.models.gguf_conversion import converted_dir
from workbench.models.quiet import quiet_libraries
from workbench.models.refs import hub_commit, model_fingerprint, named_at, resolve

__all__ = ["LoadedModel", "Location", "check_adapter_fits", "load", "load_tokenizer", "locate", "readable"]


RATING_HEADS = ("score", "classifier")
"""What transformers calls the output layer of a reward model; PEFT trains and saves both."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, in evaluation mode."""

    model: Any
    """transformers model, or the PEFT model around it if there is an adapter."""
    tokenizer: Any
    config: ModelConfig
    precision: Precision
    fingerprint: str
    """Of the base's weights, as `model_fingerprint` gives it."""


def load_tokenizer(config: ModelConfig, project: Path) -> Any:
    """The model's tokenizer with a pad token set; raises as `resolve`, or PrerequisiteError if it cannot be read."""
    # 4 s: transformers, on first use only
    from transformers import AutoTokenizer

    quiet_libraries()
    location = locate(config.ref, config.revision, project)
    with readable(config.ref):
        tokenizer = AutoTokenizer.from_pretrained(location.name, trust_remote_code=False, **location.options)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load(
    config: ModelConfig, precision: Precision, project: Path, adapter: Path | None = None, *, rates: bool = False
) -> LoadedModel:
    """The model at `precision` (nf4: double quantisation, bf16 arithmetic), in evaluation mode, on a GPU if present.

    With `rates` it has one output for a whole sequence in the place of the vocabulary's: a reward model, whose output
    layer is random until it is trained or comes with the adapter. Raises as `resolve`; PrerequisiteError if weights
    cannot be read; IncompleteError if the adapter is of another base.
    """
    # 4 s: torch and transformers, on first use only
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    quiet_libraries()
    location = locate(config.ref, config.revision, project)
    if adapter is not None:
        check_adapter_fits(adapter, config, project, rates=rates)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    kind = AutoModelForSequenceClassification if rates else AutoModelForCausalLM
    with readable(config.ref):
        model = kind.from_pretrained(
            location.name,
            dtype=dtype,
            device_map={"": device},
            quantization_config=_nf4() if precision == "nf4" else None,
            use_safetensors=True,
            trust_remote_code=False,
            **({"num_labels": 1} if rates else {}),
            **location.options,
        )
    gradient_guard.disable_packed_path(model)
    gradient_guard.check_unpacked(model)
    tokenizer = load_tokenizer(config, project)
    if rates:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id  # its score is read before the padding
        _keep_exact(model)
    if adapter is not None:
        model = attached(model, adapter)
        gradient_guard.disable_packed_path(model)
    model.eval()
    fingerprint = model_fingerprint(resolve(config.ref, config.revision, project))
    return LoadedModel(model, tokenizer, config, precision, fingerprint)


@dataclass(frozen=True, slots=True)
class Location:
    """What from_pretrained is called with."""

    name: str
    options: dict[str, Any]


def locate(ref: str, revision: str | None, project: Path) -> Location:
    """Where transformers finds the model that `ref` names; a GGUF file is dequantised first. Raises as `resolve`."""
    source = resolve(ref, revision, project)
    if source.kind == "hub":
        assert source.hub_id is not None
        return Location(source.hub_id, {"revision": hub_commit(source)})
    directory = converted_dir(source) if source.is_gguf else source.path
    return Location(str(directory), {"local_files_only": True})


def _keep_exact(model: Any) -> None:
    """The new output layer in fp32, as it is trained and saved, above a base in bf16."""
    for name in RATING_HEADS:
        if (head := getattr(model, name, None)) is not None:
            head.float()
            head.register_forward_pre_hook(lambda layer, inputs: (inputs[0].float(), *inputs[1:]))


def _nf4() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


@contextmanager
def readable(ref: str, where: str = "model.ref") -> Iterator[None]:
    """Turns what from_pretrained raises for a broken or missing model into an error for people, at the key `where`."""
    from safetensors import SafetensorError

    try:
        with named_at(where):
            yield
    except OSError as error:
        raise PrerequisiteError(
            f"model {ref!r} cannot be read: {_first_line(error)}",
            where=where,
            next_step="check the files, or the connection to the hub",
        ) from error
    except (ValueError, KeyError, SafetensorError) as error:
        raise UsageError(
            f"model {ref!r} cannot be loaded: {_first_line(error)}",
            where=where,
            next_step="take a model that transformers knows, with safetensors weights; remote code is never run",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
