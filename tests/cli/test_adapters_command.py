"""`workbench adapters` as a user meets it: one document, one message, the right exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import Shown, workbench

from workbench.adapters.versions import Training, judge, register
from workbench.core.adapters import AdapterJudged
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.paths import Project
from workbench.core.results import RunState

AT = "2026-11-22T10:00:00+00:00"
ESCAPE = "\x1b]52;c;aGk=\x07"


def adapters(*arguments: str) -> Shown:
    return workbench("adapters", *arguments)


def peft_adapter(directory: Path, model: Path, seed: int = 0) -> Path:
    """A LoRA for the tiny model as PEFT saves it, without a note of ours."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        get_peft_model(base, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"])).save_pretrained(str(directory))
    return directory


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(project: Path, number: int, state: RunState | None, headline: str = "The verdict.") -> str:
    """Registers a version as a run does, with a verdict."""
    directory = project / f"made-{number}"
    directory.mkdir()
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "number": number}))
    trained = Training(directory, "pypi:a-base", "b" * 64, "qlora", "nf4", run=f"run-{number}")
    found, _ = register(Project(project), trained, "support", who="nightly", at=AT)
    assert found.version is not None
    if state is not None:
        judgement = AdapterJudged(
            at=AT,
            who="nightly",
            name="support",
            version=found.version,
            sha256=found.sha256,
            run=f"run-{number}",
            gate=f"g{number}",
            state=state,
            headline=headline,
            before="base@nf4",
        )
        judge(Project(project), judgement)
    return found.reference


def test_promote_list_show_and_roll_back(project: Path) -> None:
    first, second = add(project, 1, "passed"), add(project, 2, "passed")
    assert adapters("promote", first, "--who", "ada").out == (
        "support@production points at support@1 (before: nothing)\n"
    )
    document = adapters("promote", second, "--json").document
    assert document | {"schema_version": 1} == {
        "schema_version": 1,
        "name": "support",
        "slot": "production",
        "before": 1,
        "after": 2,
        "forced": False,
        "dry_run": False,
    }
    lines = adapters("list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["adapter", "support@2", "support@1"]
    assert lines[1].split()[1:3] == ["production", "passed"]
    assert "(before: support@2)" in adapters("rollback", "support", "--reason", "complaints").out
    shown = adapters("show", "support@2").out
    assert "withdrawn from production, by" in shown and "complaints" in shown
    history = adapters("show", "support@production", "--json").document["history"]
    assert [line["event"] for line in history] == ["registered", "judged", "promoted", "rolled_back"]
    assert adapters("list", "--json").document["slots"] == [{"name": "support", "slot": "production", "version": 1}]


def test_a_refused_promotion_says_why_and_what_next_and_force_is_shown_for_good(project: Path) -> None:
    reference = add(project, 1, "regressed", f"capitals fell {ESCAPE}by a third.")
    with pytest.raises(IncompleteError, match=r"regressed in run run-1(.|\n)*next: .*--force --reason"):
        adapters("promote", reference)
    with pytest.raises(UsageError, match="--reason TEXT"):
        adapters("promote", reference, "--force")
    assert "forced: the gate had not passed it" in adapters("promote", reference, "--force", "--reason", "now").out
    shown = adapters("show", reference).out
    assert "FORCED (gate: regressed)" in shown and "now" in shown
    assert "\x1b" not in shown and "\\x1b" in shown


def test_the_exit_code_and_the_document_of_a_refusal(project: Path) -> None:
    add(project, 1, None)
    command = [sys.executable, "-m", "workbench", "adapters", "promote", "support@1", "--json"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 3 and "Traceback" not in result.stderr
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == 3 and error["message"] == "no gate has judged support@1"


def test_a_dry_run_changes_nothing_and_leaves_no_file(project: Path) -> None:
    reference = add(project, 1, "passed")
    before = sorted(path for path in (project / ".workbench").rglob("*"))
    assert "would point at support@1" in adapters("promote", reference, "--dry-run").out
    assert "would archive support@1" in adapters("archive", reference, "--dry-run").out
    assert sorted(path for path in (project / ".workbench").rglob("*")) == before


def test_archived_adapters_are_listed_on_request_and_unknown_names_are_errors(project: Path) -> None:
    reference = add(project, 1, "passed")
    adapters("archive", reference, "--reason", "superseded")
    assert adapters("list").out == "" and "archived" in adapters("list", "--archived").out
    with pytest.raises(UsageError, match="no adapter is named 'nobody'; registered: support"):
        adapters("list", "nobody")
    with pytest.raises(UsageError, match="is no NAME@VERSION or NAME@SLOT"):
        adapters("show", "support")


def test_a_directory_of_peft_is_registered_with_the_base_it_fits(project: Path, tiny_model_dir: Path) -> None:
    directory = peft_adapter(project / "theirs", tiny_model_dir)
    with pytest.raises(UsageError, match="needs a name"):
        adapters("register", "theirs")
    with pytest.raises(IncompleteError, match=r"which base(.|\n)*--base MODEL"):
        adapters("register", "theirs", "--name", "support")
    with pytest.raises(UsageError, match="cannot name an adapter"):
        adapters("register", "theirs", "--name", "../out", "--base", str(tiny_model_dir))
    base = ("--base", str(tiny_model_dir))
    assert adapters("register", "theirs", "--name", "support", *base, "--dry-run").out == "support@1\n"
    assert not (project / ".workbench" / "adapters").exists()
    document = adapters("register", "theirs", "--name", "support", *base, "--json").document
    assert (document["reference"], document["new"], document["method"], document["run"]) == (
        "support@1",
        True,
        "lora",
        None,
    )
    assert not adapters("register", "theirs", "--name", "support", *base, "--json").document["new"]
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")
    with pytest.raises(IncompleteError, match="pickles, which can run code"):
        adapters("register", "theirs", "--name", "support", *base)


def test_an_adapter_of_another_base_is_not_registered(project: Path, tiny_model_dir: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    directory = peft_adapter(project / "theirs", tiny_model_dir)
    file = directory / "adapter_model.safetensors"
    wider = {
        name: torch.zeros(2, 80) if name.endswith("lora_A.weight") else tensor
        for name, tensor in load_file(str(file)).items()
    }
    save_file(wider, str(file))
    with pytest.raises(IncompleteError, match="adapter does not fit"):
        adapters("register", "theirs", "--name", "support", "--base", str(tiny_model_dir))
    with pytest.raises(PrerequisiteError, match="not installed"):
        adapters("register", "theirs", "--name", "support", "--base", "pypi:no-such-base")


def test_diff_of_two_directories(project: Path, tiny_model_dir: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        peft_adapter(project / name, tiny_model_dir, seed)
        adapters("register", name, "--name", "support", "--base", str(tiny_model_dir))
    # PEFT starts B at zero: both change nothing, so there is no direction to compare.
    text = adapters("diff", "support@1", "support@2").out
    assert text.startswith("support@1 -> support@2") and "2 in both" in text and "one of them is zero" in text
    document = adapters("diff", "support@1", "two", "--json").document
    assert document["weights"]["compared"] == "weight changes" and document["suites"] == []
    shutil.rmtree(project / ".workbench" / "adapters" / "versions" / "support" / "2")
    with pytest.raises(IncompleteError, match="the files of support@2 are gone"):
        adapters("diff", "support@1", "support@2")


def test_decisions_are_rows_of_the_index(project: Path) -> None:
    reference = add(project, 1, "regressed")
    adapters("promote", reference, "--force", "--reason", "now", "--who", "ada")
    sql = "select event, who, slot, state, forced, reason from adapter_events order by position"
    assert workbench("store", "query", sql, "--json").document["rows"] == [
        ["registered", "nightly", None, None, None, None],
        ["judged", "nightly", None, "regressed", None, None],
        ["promoted", "ada", "production", "regressed", True, "now"],
    ]
    index = project / ".workbench" / "workbench.duckdb"
    index.unlink()
    workbench("store", "rebuild")
    assert workbench("store", "query", sql, "--json").document["rows"][2][1] == "ada"
