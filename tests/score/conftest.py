"""A tiny model loaded once, and the smallest surroundings in which the stage runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from score_surroundings import Runner, suite_of, write_lines
from stock_beside import random_models

from workbench.core.config import ModelConfig, Precision
from workbench.core.suites import read_documents
from workbench.models.loading import LoadedModel, load
from workbench.score.scoring import Job


@pytest.fixture(scope="session")
def tiny(tiny_model_dir: Path) -> LoadedModel:
    """The tiny random model in fp32 with a short maximum length."""
    return load(ModelConfig(ref=str(tiny_model_dir), precision="fp32", max_length=64), "fp32", Path())


@pytest.fixture(scope="session")
def family(tiny_model_dir: Path) -> Callable[[str], Any]:
    """A random model and its tokenizer by the name of the family; a test that changes one copies it first."""
    return random_models(tiny_model_dir)


@pytest.fixture
def job(tiny: LoadedModel, tmp_path: Path) -> Callable[..., Job]:
    """Makes a job from a suite's settings and its documents, read as the stage reads them."""

    def make(documents: Sequence[dict[str, Any]], *, batch_size: int = 3, **settings: Any) -> Job:
        suite = suite_of(**settings)
        path = tmp_path / f"{suite.name}.jsonl"
        write_lines(path, documents)
        return Job(
            arm="base",
            suite=suite,
            documents=read_documents(path, suite),
            loaded=tiny,
            batch_size=batch_size,
            system_prompt=None,
            on_batch=lambda done, total: None,
        )

    return make


@pytest.fixture(scope="session")
def loaded_bases() -> dict[tuple[str, str], LoadedModel]:
    """Base models that were loaded in this session; loading one takes longer than scoring it."""
    return {}


@pytest.fixture
def runner(
    tiny_model_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loaded_bases: dict[tuple[str, str], LoadedModel],
) -> Runner:
    """A project with the tiny model in bf16. Bases are loaded once; an adapter always gets a base of its own."""

    def load_once(config: ModelConfig, precision: Precision, project: Path, adapter: Path | None = None) -> LoadedModel:
        if adapter is not None:
            return load(config, precision, project, adapter)
        key = (config.model_dump_json(), precision)
        if key not in loaded_bases:
            loaded_bases[key] = load(config, precision, project)
        return loaded_bases[key]

    monkeypatch.setattr("workbench.models.loading.load", load_once)
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    model = ModelConfig(ref=str(tiny_model_dir), precision="bf16", max_length=64)
    return Runner(project=tmp_path, model=model, work_dir=work_dir)
