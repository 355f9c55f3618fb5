"""The models of one arm, loaded when first needed: its own with its score cache, and the loop's base beside it.

    models = ArmModels(node, adapter, project)
    models.own()    the arm's model with its adapter
    models.memo()   its finished batches, from every run of the project
    models.base()   the loop's model without an adapter, for what is measured against it
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError
from workbench.core.fingerprints import tree_sha256
from workbench.core.nodes import ScoreNode
from workbench.core.paths import Project
from workbench.score.cache import ScoreCache
from workbench.score.conditions import arm_key, encoded_probes

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel


class ArmModels:
    """A base is always loaded apart, never made by switching an adapter off: some adapters change the base's weights
    when they are attached (PiSSA, OLoRA, full fine-tunes)."""

    def __init__(self, node: ScoreNode, adapter: Path | None, project: Path) -> None:
        self._node = node
        self._adapter = adapter
        self._project = project
        self._own: LoadedModel | None = None
        self._base: LoadedModel | None = None
        self._memo: ScoreCache | None = None
        self.adapter_sha256 = tree_sha256(adapter) if adapter else None
        self.differs_from_base = adapter is not None or node.base is not None
        """Whether the arm's weights are others than those of the loop's base in the same precision."""

    @property
    def loaded(self) -> bool:
        """Whether the arm's model is in memory."""
        return self._own is not None

    def own(self) -> LoadedModel:
        """The arm's model. Raises as `load`; IncompleteError if it writes text in other tokens than the loop's base."""
        if self._own is None:
            if self._node.base is not None:
                _require_same_tokens(self._node.model, self._node.base, self._node.arm.name, self._project)
            self._own = self._load(self._node.model, self._adapter)
        return self._own

    def base(self) -> LoadedModel:
        """The loop's base in the arm's precision, beside the arm's own model."""
        if self._base is None:
            self._base = self._load(self._node.base or self._node.model, None)
        return self._base

    def memo(self) -> ScoreCache:
        """The arm's part of the project's score cache."""
        if self._memo is None:
            self._memo = ScoreCache(Project(self._project).scores, arm_key(self.own(), self.adapter_sha256))
        return self._memo

    def damaged_lines(self) -> int:
        """Lines of the cache that could not be used."""
        return 0 if self._memo is None else self._memo.damaged

    def _load(self, model: ModelConfig, adapter: Path | None) -> LoadedModel:
        from workbench.models.loading import load

        return load(model, self._node.arm.precision or model.precision, self._project, adapter)


def _require_same_tokens(model: ModelConfig, base: ModelConfig, arm: str, project: Path) -> None:
    from workbench.models.loading import load_tokenizer

    own, other = (encoded_probes(load_tokenizer(config, project)) for config in (model, base))
    for text, ids in own.items():
        if ids != other[text]:
            raise IncompleteError(
                f"model {model.ref!r} writes {text[:40]!r} in other tokens than {base.ref!r}: {ids[:8]} and "
                f"{other[text][:8]}; scores per token of the two cannot be compared",
                where=f"score.arms {arm}: model",
                next_step="export with the base's tokenizer, or score that model in a loop of its own",
            )
