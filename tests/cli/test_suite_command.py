"""`workbench suite`: what is printed, what is written, and which exit code tells of what."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from in_process import Shown, workbench

from workbench.core.errors import PrerequisiteError, UsageError
from workbench.score.cost import Tokens

ROWS = [{"prompt": f"Number {n} is", "options": ["odd", "even"], "label": (n + 1) % 2} for n in range(12)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def test_new_says_what_it_guessed_and_writes_what_check_accepts(project: Path) -> None:
    tried = workbench("suite", "new", "parity", "rows.jsonl", "--dry-run")
    assert tried.code == 0 and not (project / "evals").exists()
    assert "would write" in tried.error

    made = workbench("suite", "new", "parity", "rows.jsonl", "--role", "general")
    assert made.code == 0 and "kind: lm_eval" in made.out
    assert "`options` is read as `choices`" in made.error

    shown = workbench("suite", "check", "--quick", "--json")
    [check] = shown.document["suites"]
    assert (check["documents"], check["chance"], check["findings"], check["exit_code"]) == (12, 0.5, [], 0)


def test_new_as_one_document(project: Path) -> None:
    document = workbench("suite", "new", "parity", "rows.jsonl", "--json", "--dry-run").document

    assert document["schema_version"] == 1 and document["written"] is False
    assert document["suite"]["kind"] == "lm_eval" and document["documents"] == 12


def test_new_of_a_benchmark_from_files(project: Path) -> None:
    write(project / "bench.jsonl", [{"question": "1 + 1?", "answer": "2\n#### 2"}] * 1)
    options = ("--task", "gsm8k", "--fewshot", "0", "--documents", "bench.jsonl")

    assert workbench("suite", "new", "gsm", *options).code == 0

    files = sorted(path.name for path in (project / "evals").iterdir())
    assert files == ["gsm.jsonl", "gsm.provenance.json", "gsm.yaml"]
    assert workbench("suite", "check", "gsm", "--quick").code == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("x",), UsageError, "give a file of rows, or a benchmark"),
        (("x", "rows.jsonl", "--task", "gsm8k"), UsageError, "give a file of rows, or a benchmark"),
        (("x", "rows.jsonl", "--fewshot", "0"), UsageError, "--fewshot goes with --task"),
        (("x", "--task", "gsm8k", "--kind", "judge"), UsageError, "--kind goes without --task"),
        (("x", "--task", "gsm9k"), UsageError, "did you mean 'gsm8k'"),
        (("x", "--task", "hellaswag"), PrerequisiteError, "cannot be fetched from the hub"),
    ],
)
def test_what_cannot_be_made_is_refused(
    arguments: tuple[str, ...], error: type[Exception], message: str, project: Path
) -> None:
    with pytest.raises(error, match=message):
        workbench("suite", "new", *arguments)


def test_a_negative_margin_would_freeze_what_the_base_gets_wrong(project: Path) -> None:
    shown = workbench("suite", "freeze", "rows.jsonl", "-o", "evals/x.jsonl", "--margin", "-1")

    assert shown.code == 2 and "--margin" in shown.error


def test_freeze_asks_the_projects_model_unless_told_otherwise(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def freeze_items(items: Path, out: Path, model: Any, *_: Any, **__: Any) -> Any:
        asked.append((model.ref, model.precision))
        raise UsageError("far enough")

    monkeypatch.setattr("workbench.score.freeze.freeze_items", freeze_items)
    (project / "workbench.yaml").write_text("model: {ref: hub/mine, precision: bf16}\n", encoding="utf-8")
    for given in ((), ("--model", "hub/other")):
        with pytest.raises(UsageError, match="far enough"):
            workbench("suite", "freeze", "rows.jsonl", "-o", "evals/x.jsonl", *given)

    assert asked == [("hub/mine", "bf16"), ("hub/other", "nf4")]


@pytest.mark.parametrize(("json_wanted", "terminal"), [(False, True), (True, True), (False, False)])
def test_freezing_shows_how_far_it_is_on_a_terminal(
    json_wanted: bool, terminal: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freeze_items(*_: Any, on_batch: Callable[[str, int, int], None], **__: Any) -> Any:
        on_batch("every rotation", 5, 20)
        raise UsageError("far enough")

    monkeypatch.setattr("workbench.score.freeze.freeze_items", freeze_items)
    monkeypatch.setenv("TERM", "xterm")
    reading, writing = pty.openpty() if terminal else os.pipe()
    kept = os.dup(2)
    os.dup2(writing, 2)
    try:
        with pytest.raises(UsageError, match="far enough"):
            workbench("suite", "freeze", "rows.jsonl", "-o", "evals/x.jsonl", *(["--json"] if json_wanted else []))
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    os.write(writing, b"end")
    shown = os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)

    if terminal and not json_wanted:
        assert "[1/1] freeze  every rotation  #####...............  5/20 rows" in shown
    else:
        assert shown == "end"


def test_a_check_of_no_suites_is_no_success(project: Path) -> None:
    with pytest.raises(UsageError, match="there are no suites"):
        workbench("suite", "check")


def test_a_suite_that_the_chat_template_cannot_show_does_not_hide_the_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens_of(suite: Any, *_: Any, **__: Any) -> Tokens:
        if suite.name == "talk":
            raise UsageError("the tokenizer has no chat template")
        return Tokens(len(ROWS), read=7, generated=0)

    monkeypatch.setattr("workbench.models.loading.load_tokenizer", lambda *_: None)
    monkeypatch.setattr("workbench.loop.suite_checks.tokens_of", tokens_of)
    for name in ("talk", "words"):
        workbench("suite", "new", name, "rows.jsonl")

    shown = workbench("suite", "check", "--json")

    talk, words = shown.document["suites"]
    assert (shown.code, talk["exit_code"], words["exit_code"], words["tokens_read"]) == (2, 2, 0, 7)
    assert "no chat template" in talk["findings"][-1]["text"]


def test_check_goes_through_all_suites_before_it_fails(project: Path) -> None:
    workbench("suite", "new", "parity", "rows.jsonl")
    evals = project / "evals"
    sound = (evals / "parity.yaml").read_text(encoding="utf-8")
    (evals / "wrong.yaml").write_text(sound.replace("name: parity", "name: wrong").replace(": acc", ": akk"))
    (evals / "empty.yaml").write_text(sound.replace("parity", "empty"))
    (evals / "empty.jsonl").write_text("")
    (evals / "torn.yaml").write_text("name: [torn")

    shown: Shown = workbench("suite", "check", "--quick", "--json")

    codes = {one["suite"]: one["exit_code"] for one in shown.document["suites"]}
    assert codes == {"empty": 3, "parity": 0, "torn": 2, "wrong": 2}
    said = {one["suite"]: one["findings"][0]["text"] for one in shown.document["suites"] if one["findings"]}
    assert "unknown metric 'akk'" in said["wrong"] and "no documents" in said["empty"]
    assert "not valid YAML" in said["torn"]
    assert shown.code == 3
    assert "error: " in workbench("suite", "check", "wrong", "--quick").out


@pytest.mark.slow  # the tokenizer and lm-eval are read
def test_check_counts_tokens_and_takes_seconds_and_levels_from_earlier_runs(
    project: Path, tiny_model_dir: Path
) -> None:
    from manifests import made_up_manifest

    from workbench.core.parts import write_model
    from workbench.core.timing import ArmTiming, SuiteTiming

    workbench("suite", "new", "parity", "rows.jsonl")
    (project / "workbench.yaml").write_text(f"model: {{ref: {tiny_model_dir}}}\n", encoding="utf-8")
    before = workbench("suite", "check", "--json").document["suites"][0]
    assert before["tokens_read"] > 12 * 2 and before["seconds"] is None and before["base"] is None

    scored = project / ".workbench" / "artifacts" / "score" / "abc"
    timing = SuiteTiming(
        suite="parity",
        documents=6,
        seconds=3,
        seconds_per_document=0.5,
        batches=0,
        reused_batches=0,
        longest_batch_seconds=1,
        generated_tokens=0,
    )
    write_model(scored / "timing.json", ArmTiming(suites=(timing,)))
    config = {"arm": {"name": "base", "adapter": None}, "model": {"ref": str(tiny_model_dir)}}
    manifest = made_up_manifest("score:base").model_copy(
        update={"stage": "score", "fingerprint": "abc", "config": config, "summary": {"parity.acc": 0.5}}
    )
    write_model(scored / "manifest.json", manifest)

    after = workbench("suite", "check", "--json").document["suites"][0]
    assert (after["seconds"], after["base"]) == (6.0, 0.5)
    assert any("at the floor" in one["text"] for one in after["findings"])
