"""How long scoring took: what `timing.json` holds, apart from everything that is compared."""

from __future__ import annotations

from workbench.core.wire import Wire


class SuiteTiming(Wire):
    """How long one suite took on one arm, as if nothing had been in the score cache.

    Batches from the cache count with the seconds they took when they were computed."""

    suite: str
    documents: int
    seconds: float
    """Wall time without loading the model."""
    seconds_per_document: float
    """What a document costs on this machine."""
    batches: int
    """Batches asked for, where the kind of suite uses the cache."""
    reused_batches: int
    """Of them, how many were in the cache."""
    longest_batch_seconds: float
    """What one waits for at most: answers of a batch are ready together."""
    generated_tokens: int
    tokens_per_second: float | None = None
    """Generated tokens per second of the suite; None where nothing is generated."""


class ArmTiming(Wire):
    """Latency, throughput and cost of an arm. It differs from run to run, so nothing that is compared depends on it."""

    suites: tuple[SuiteTiming, ...]
