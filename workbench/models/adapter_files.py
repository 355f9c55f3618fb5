"""Adapters on disk: what a trained adapter says about itself, and whether it belongs on a base.

    adapter/
      adapter_config.json, adapter_model.safetensors     PEFT's own files
      workbench_adapter.json                             AdapterNote: base, precision, template, settings
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig, Precision, TrainConfig
from workbench.core.errors import IncompleteError
from workbench.core.parts import read_model
from workbench.core.wire import Wire
from workbench.models.full_weights import is_full, overlaid
from workbench.models.gguf_conversion import converted_dir
from workbench.models.refs import PICKLED, model_fingerprint, resolve

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
NOTE = "workbench_adapter.json"
_PEFT_PREFIX = "base_model.model."
_NEXT = "score it with the base it was trained on, or train an adapter for this one"


class AdapterNote(Wire):
    """What an adapter was trained on and how."""

    schema_version: int = 1
    base: str
    """Model reference as the configuration named it."""
    base_fingerprint: str
    precision: str
    """Precision of the frozen base in training."""
    template_hash: str
    """Of the chat template and system prompt used in training."""
    train: TrainConfig
    seed: int


class TrainedOn(Wire, extra="ignore"):
    """A note as it is read: an adapter outlives the version that trained it, whose settings may be called otherwise."""

    base: str
    base_fingerprint: str
    precision: Precision
    template_hash: str
    train: dict[str, Any]
    seed: int

    @property
    def method(self) -> str:
        """The method's name at the time."""
        return str(self.train.get("method", "unknown"))


def read_note(adapter: Path) -> TrainedOn | None:
    """What the adapter says about its training; None if it has no note. IncompleteError for one that is none."""
    return read_model(adapter / NOTE, TrainedOn) if (adapter / NOTE).is_file() else None


def check_adapter_fits(adapter: Path, config: ModelConfig, project: Path, *, rates: bool = False) -> None:
    """Raises IncompleteError if `adapter` is no safetensors adapter, is one of another base than `config` names, or,
    without `rates`, one that rates answers and gives none.

    Told by the base's fingerprint in the adapter's note, and by the shapes of its LoRA matrices against the base's
    weights (not for a hub model, where the weights may not be here yet: `attached` finds out).
    """
    check_files(adapter)
    shapes = _tensor_shapes(adapter / WEIGHTS)
    source = resolve(config.ref, config.revision, project)
    if (note := read_note(adapter)) is not None:
        if not rates and note.train.get("objective") == "reward":
            raise IncompleteError(
                "adapter was trained to rate answers (objective reward) and cannot give any",
                where=str(adapter),
                next_step="name it under curate.rating.reward_model",
            )
        found = model_fingerprint(source)
        if note.base_fingerprint != found:
            raise IncompleteError(
                f"adapter was trained on {note.base} ({note.base_fingerprint[:12]}), "
                f"not on {config.ref} ({found[:12]})",
                where=str(adapter),
                next_step=_NEXT,
            )
    directory = converted_dir(source) if source.is_gguf else source.path
    if directory is not None:
        base: dict[str, list[int]] = {}
        for file in sorted(directory.glob("*.safetensors")):
            base |= _tensor_shapes(file)
        _check_shapes(shapes, base, adapter, config.ref)


def attached(model: Any, adapter: Path) -> Any:
    """PEFT model with the adapter (fp32) on `model`, or `model` with trained weights of its own; IncompleteError if a
    matrix is missing or does not fit."""
    if is_full(adapter):
        return overlaid(model, adapter)
    # 2 s: peft, only when there is an adapter
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            # Missing matrices are an error below, not a remark.
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            peft_model = PeftModel.from_pretrained(model, str(adapter), is_trainable=False, local_files_only=True)
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines)[:300] or type(error).__name__
        problem = f"adapter does not fit the base: {reason}"
        raise IncompleteError(problem, where=str(adapter), next_step=_NEXT) from error
    # "auto" would look for the base on the hub to see whether its vocabulary was changed.
    expected = set(get_peft_model_state_dict(peft_model, save_embedding_layers=False))
    given = set(_tensor_shapes(adapter / WEIGHTS))
    if expected != given:
        example = sorted(expected ^ given)[0]
        raise IncompleteError(
            f"adapter does not fit the base: {len(expected - given)} matrices missing, {len(given - expected)} "
            f"unknown, such as {example}",
            where=str(adapter),
            next_step=_NEXT,
        )
    return peft_model


def check_files(adapter: Path) -> None:
    """IncompleteError if the directory holds no adapter in safetensors."""
    if not adapter.is_dir():
        advice = "train an adapter, or correct the path"
        raise IncompleteError("adapter directory does not exist", where=str(adapter), next_step=advice)
    missing = [name for name in (CONFIG, WEIGHTS) if not (adapter / name).is_file()]
    if missing:
        pickled = sorted(path.name for path in adapter.iterdir() if path.suffix in PICKLED)
        found = f"; {', '.join(pickled)} are pickles, which can run code and are not loaded" if pickled else ""
        raise IncompleteError(
            f"no adapter: {' and '.join(missing)} missing{found}",
            where=str(adapter),
            next_step="save the adapter again as safetensors",
        )


def _tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor; the header's length is checked by safetensors before anything is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as tensors:
            names = tensors.keys()  # it is no mapping: it cannot be iterated
            return {name: list(tensors.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        raise IncompleteError(
            f"is no readable safetensors file: {error}", where=str(file), next_step="save the adapter again"
        ) from error


def _check_shapes(adapter: dict[str, list[int]], base: dict[str, list[int]], where: Path, ref: str) -> None:
    """LoRA's A is [rank, inputs], its B [outputs, rank], around a weight [outputs, inputs]; GPT-2 and its like keep
    their weights the other way round."""
    for name, shape in adapter.items():
        layer, is_lora, kind = name.removeprefix(_PEFT_PREFIX).partition(".lora_")
        if not is_lora or kind not in ("A.weight", "B.weight"):
            continue
        weight = base.get(f"{layer}.weight")
        outer = shape[1 if kind == "A.weight" else 0] if len(shape) == 2 else None
        if weight is None or len(weight) != 2 or outer not in weight:
            raise IncompleteError(
                f"adapter does not fit {ref}: {name} is {shape}, the base's layer is {weight or 'absent'}",
                where=str(where),
                next_step=_NEXT,
            )
