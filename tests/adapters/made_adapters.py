"""Adapters without a model: the three files of a trained one, with numbers from a seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from workbench.adapters.versions import Training, judge, register
from workbench.core.adapters import AdapterJudged, SuiteResult
from workbench.core.config import TrainConfig
from workbench.core.parts import write_model
from workbench.core.paths import Project
from workbench.core.results import RunState
from workbench.models.adapter_files import AdapterNote

AT = "2026-11-22T10:00:00+00:00"
BASE_FINGERPRINT = "b" * 64


def write_adapter(directory: Path, seed: int = 0, *, base_fingerprint: str = BASE_FINGERPRINT) -> Path:
    """An adapter of rank 2 on one layer."""
    directory.mkdir(parents=True)
    numbers = np.random.default_rng(seed)
    layer = "base_model.model.model.layers.0.mlp.up_proj"
    tensors = {
        f"{layer}.lora_A.weight": numbers.normal(size=(2, 6)).astype(np.float32),
        f"{layer}.lora_B.weight": numbers.normal(size=(8, 2)).astype(np.float32),
    }
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    note = AdapterNote(
        base="pypi:some-base",
        base_fingerprint=base_fingerprint,
        precision="nf4",
        template_hash="t",
        train=TrainConfig(),
        seed=seed,
    )
    write_model(directory / "workbench_adapter.json", note)
    return directory


def registered(project: Project, seed: int, name: str = "support") -> str:
    """Registers an adapter as a run would; its reference."""
    directory = project.root / f"trained-{seed}"
    if not directory.exists():
        write_adapter(directory, seed)
    trained = Training(directory, "pypi:some-base", BASE_FINGERPRINT, "qlora", "nf4", seed, run=f"run-{seed}")
    return register(project, trained, name, who="trainer", at=AT)[0].reference


def judged(project: Project, reference: str, state: RunState, gate: str = "") -> None:
    """Writes a verdict on a registered adapter."""
    name, _, version = reference.partition("@")
    suite = SuiteResult(
        suite="capitals",
        metric="acc",
        role="general",
        gated=True,
        state="non-inferior",
        gain=0.01,
        low=-0.02,
        high=0.04,
    )
    judge(
        project,
        AdapterJudged(
            at=AT,
            who="gate",
            name=name,
            version=int(version),
            sha256="",
            run=f"judging-{version}",
            gate=gate or f"{reference}-{state}",
            state=state,
            headline="The verdict.",
            before="base@nf4",
            suites=(suite,),
            artifacts={"gate": f"gate-of-{version}"},
        ),
    )


def passed(project: Project, seed: int, name: str = "support") -> str:
    """A registered adapter that the gate passed."""
    reference = registered(project, seed, name)
    judged(project, reference, "passed")
    return reference
