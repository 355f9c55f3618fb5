"""Were two arms scored under the same conditions? What may differ depends on what the pair is for.

base@nf4 and candidate, purpose "candidate":  the adapter may differ, compute_dtype may not
base and base@nf4, purpose "quantisation":    the precision may differ, nothing else
base@nf4 and noise, purpose "noise":          the batch size may differ, nothing else
candidate and exported, purpose "export":     model, adapter and precision may differ, the tokenizer may not
"""

from __future__ import annotations

from collections.abc import Mapping

from workbench.core.results import ArmInfo

_SUITE = "suite:"
_SHOWN_CHARS = 60
_MAY_DIFFER: Mapping[str, frozenset[str]] = {
    "candidate": frozenset({"model", "adapter", "tokenizer"}),
    "sham": frozenset({"adapter"}),
    "noise": frozenset({"batch size"}),
    "quantisation": frozenset({"precision"}),
    "prompt": frozenset({"prompt"}),
    "export": frozenset({"model", "adapter", "precision"}),
    "other": frozenset({"model", "adapter", "tokenizer"}),
    "precision sweep": frozenset({"model", "adapter", "precision"}),
}


def arm_obstacles(before: ArmInfo, after: ArmInfo, purpose: str) -> tuple[str, ...]:
    """A sentence for every condition that differs and must not; suites' documents and settings are left out."""
    left, right = _conditions(before), _conditions(after)
    allowed = _MAY_DIFFER[purpose]
    return tuple(
        f"{key} differs: {_shown(left.get(key))} in {before.arm}, {_shown(right.get(key))} in {after.arm}; "
        "score both arms with the same one"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key) and _aspect(key) not in allowed
    )


def suite_obstacles(before: ArmInfo, after: ArmInfo, suite: str) -> tuple[str, ...]:
    """A sentence if the arms saw other documents or settings of this suite."""
    key = _SUITE + suite
    if before.conditions.get(key) == after.conditions.get(key):
        return ()
    return (f"documents or settings of the suite differ between {before.arm} and {after.arm}; score both arms again",)


def _conditions(info: ArmInfo) -> dict[str, str]:
    own = {
        "model": f"{info.model} ({info.model_fingerprint})",
        "adapter": info.adapter_sha256 or info.adapter or "none",
        "precision": info.precision,
        "system_prompt": "none" if info.system_prompt is None else repr(info.system_prompt),
        "batch_size": str(info.batch_size),
    }
    # A condition of the same name would hide what the arm says of itself.
    rest = {key: value for key, value in info.conditions.items() if not key.startswith(_SUITE)}
    return rest | own


def _shown(value: str | None) -> str:
    """The beginning of a value: hashes and prompts are long."""
    if value is None:
        return "not recorded"
    return value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "..."


def _aspect(key: str) -> str:
    """What a condition is about; most are about themselves."""
    if key in ("precision", "compute_dtype", "quantisation"):
        return "precision"
    if key in ("system_prompt", "template_hash"):
        return "prompt"
    return "batch size" if key == "batch_size" else key
