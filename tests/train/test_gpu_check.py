"""The GPU check on a machine without a GPU, what makes a line good or bad, and what training would use on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from workbench.train import gpu_kernels
from workbench.train.gpu_kernels import choose_kernels

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = spec_from_file_location("gpu_check", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_nothing_is_run_and_the_exit_code_is_4(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    monkeypatch.setattr(subprocess, "run", never)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--json"])
    assert gpu.main() == 4
    said = capsys.readouterr()
    assert "there is no CUDA device" in said.err and "next:" in said.err
    document = json.loads(said.out)
    assert "there is no CUDA device" in document["error"] and document["lines"] == []


@pytest.mark.parametrize(("model", "code"), [("/nonexist", 2), ("pypi:no-such-distribution", 4)])
def test_a_model_that_is_not_there_ends_with_one_line_and_the_code(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--model", model])
    assert gpu.main() == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and len(said.err.splitlines()) <= 2
    assert model.removeprefix("pypi:") in said.err


@pytest.mark.parametrize(
    ("ended", "stderr", "code", "words"),
    [
        (4, "noise of a library\nerror: it cannot be read\n", 4, "speed on cpu failed: it cannot be read"),
        (1, "Traceback ...\nRuntimeError: no\n", 3, "RuntimeError: no"),
    ],
)
def test_a_measurement_that_fails_says_what_it_said_for_people(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, ended: int, stderr: str, code: int, words: str
) -> None:
    done = subprocess.CompletedProcess([], ended, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: done)
    with pytest.raises(gpu.MeasurementError, match=words) as caught:
        gpu.in_child("cpu", "speed")
    assert caught.value.exit_code == code and "noise" not in str(caught.value)


def _answers(adapter: str = "a", drift: float = 0.0, resumed: tuple[int, ...] = (2,)) -> Any:
    def in_child(device: str, what: str, **arguments: Any) -> dict[str, Any]:
        if what == "facts":
            return {
                "name": "Some GPU", "memory_bytes": 24 << 30, "bf16": True, "cuda": "13.0",
                "versions": {"triton": "3.1"},
            }  # fmt: skip
        if what == "speed":
            losses = [3.0, 2.5 * (1 + drift)] if arguments["side"] == "workbench" else [3.0, 2.5]
            seconds = 2.0 if arguments["side"] == "workbench" else 5.0
            return {"tokens": 1000, "seconds": seconds, "losses": losses, "peak_bytes": 1 << 30, "longest": 256}
        if what == "train":
            stopped = arguments["root"].endswith("stopped")
            return {"adapter": adapter if stopped else "a", "losses": [1.0], "resumed_from": list(resumed * stopped)}
        return {"nll": [1.0, 2.0 + drift * (device == "cuda")]}

    return in_child


@pytest.mark.parametrize(
    ("answers", "predicted", "failed"),
    [
        ({}, 1.0, []),
        ({"drift": 0.05}, 1.0, ["losses", "scores"]),
        ({"adapter": "b"}, 1.0, ["resume"]),
        ({"resumed": ()}, 1.0, ["resume"]),  # it began anew: nothing was shown
        ({}, 0.5, ["memory"]),
        ({}, 2.0, ["memory"]),
    ],
)
def test_a_line_fails_when_what_it_checks_is_not_as_expected(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: dict[str, Any],
    predicted: float, failed: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu, "in_child", _answers(**answers))
    monkeypatch.setattr(gpu, "shapes_of", lambda model: None)
    monkeypatch.setattr(gpu, "predicted_bytes", lambda *arguments: int(predicted * (1 << 30)))
    lines = gpu.check("model", "cuda", quick=True)
    assert [line.check for line in lines if line.state == "not as expected"] == failed
    assert [line.check for line in lines] == ["device", "kernels", "speed", "losses", "memory", "resume", "scores"]
    table = capsys.readouterr().out
    assert "flash-attn not found, liger-kernel not found, triton 3.1" in table
    assert "500 tokens/s, TRL 200: 2.50 times" in table


@pytest.mark.slow
def test_every_measurement_gets_to_its_end_on_a_cpu(tiny_model_dir: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--json", "--model", str(tiny_model_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["error"] is None
    checks = [line["check"] for line in document["lines"]]
    assert checks == ["device", "kernels", "speed", "losses", "memory", "resume", "scores"]
    # What the others expect was measured on real models; these hold for every one.
    assert not {"losses", "resume", "scores"} & set(document["failed"])


@dataclass
class _Settings:
    _attn_implementation: str = "sdpa"

    def get_text_config(self) -> _Settings:
        return self


@dataclass
class _Model:
    """What the choice asks of a model."""

    kind: str = "cuda"
    _supports_flash_attn: bool = True
    config: _Settings = field(default_factory=_Settings)

    @property
    def device(self) -> Any:
        import torch

        return torch.device(self.kind)

    def set_attn_implementation(self, name: str) -> None:
        self.config._attn_implementation = name


@pytest.mark.parametrize(
    ("model", "options", "installed", "attention", "liger"),
    [
        (_Model(), {}, {"flash_attn", "liger_kernel"}, "flash_attention_2", True),
        (_Model(), {}, {"liger_kernel"}, "sdpa", True),
        (_Model(), {}, set(), "sdpa", False),
        (_Model(_supports_flash_attn=False), {}, {"flash_attn"}, "sdpa", False),
        (_Model(), {"half": False}, {"flash_attn"}, "sdpa", False),
        (_Model(), {"wanted": False}, {"flash_attn", "liger_kernel"}, "sdpa", False),
        (_Model(kind="cpu"), {}, {"flash_attn", "liger_kernel"}, "sdpa", False),
    ],
)
def test_kernels_are_used_on_a_gpu_where_they_are_installed(
    monkeypatch: pytest.MonkeyPatch, model: _Model, options: dict[str, bool], installed: set[str], attention: str,
    liger: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(gpu_kernels, "find_spec", lambda name: name if name in installed else None)
    chosen = choose_kernels(model, **({"half": True, "wanted": True} | options))
    assert (chosen.attention, chosen.liger) == (attention, liger)
    assert model.config._attn_implementation == attention
    assert chosen.arguments() == ({"use_liger_kernel": True} if liger else {})
