"""What a training says of itself besides its loss: one block of numbers, one of answers.

    learning rate 1.8e-04   gradient norm 0.42   387 tokens/s   memory 1.90 GiB
    validation loss 3.050 at step 20, lowest 3.021 at step 15

    step 30  What does len() do? → Counts items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.text import Text

from workbench.core.records import TrainingSample
from workbench.tui.signs import one_line

_KNOWN = ("learning_rate", "grad_norm", "tokens_per_s", "memory_bytes")
_GIB = 1 << 30


def numbers_text(numbers: Mapping[str, float], validation: Mapping[int, float]) -> Text:
    """Everything but the loss, in two or three lines; empty before the first step."""
    pieces = [_known(name, numbers[name]) for name in _KNOWN if name in numbers]
    lines = ["   ".join(pieces)] if pieces else []
    if validation:
        last, best = max(validation), min(validation, key=lambda step: validation[step])
        lowest = "" if best == last else f", lowest {validation[best]:.3f} at step {best}"
        lines.append(f"validation loss {validation[last]:.3f} at step {last}{lowest}")
    others = [f"{one_line(name, 30)} {value:.4g}" for name, value in numbers.items() if name not in _KNOWN]
    if others:
        lines.append("   ".join(others))
    return Text("\n".join(lines))


def samples_text(samples: Iterable[TrainingSample], width: int) -> Text:
    """The last answer to each prompt, two lines of `width` columns at most."""
    text = Text()
    for sample in samples:
        text.append("\n" if text else "").append(f"step {sample.step}  ", "dim")
        text.append(one_line(sample.prompt, max(10, width // 2))).append(" → ", "dim")
        text.append(one_line(sample.answer, max(10, width)), "bold")
    return text


def _known(name: str, value: float) -> str:
    if name == "learning_rate":
        return f"learning rate {value:.1e}"
    if name == "grad_norm":
        return f"gradient norm {value:.2f}"
    return f"{value:,.0f} tokens/s" if name == "tokens_per_s" else f"memory {value / _GIB:.2f} GiB"
