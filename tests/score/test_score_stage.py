"""The stage: parts, identity of the sham adapter, resuming at suite granularity, conditions, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from score_surroundings import CHOICES, Runner, artifact, write_lines

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.events import Event, NodeProgress
from workbench.core.nodes import ScoreNode
from workbench.core.parts import read_model, read_rows
from workbench.core.records import Generation, ScoreRow
from workbench.core.results import ArmInfo
from workbench.core.stage import Artifact, Cancelled, Done
from workbench.core.suites import Documents
from workbench.score.stage import STAGE

TEXTS = [{"text": f"The word number {number} is here."} for number in range(5)]
PROMPTS = [{"prompt": "Say a word.", "reference": "word", "expect": "comply"}, {"prompt": "And another?"}]


def texts_of(count: int) -> list[dict[str, str]]:
    """Texts that no suite of another size has."""
    return [{"text": f"Text {number} of the {count} texts."} for number in range(count)]


def run(runner: Runner, node: ScoreNode, inputs: dict[str, Artifact] | None = None) -> Path:
    """Runs the stage to its end and gives the directory with its parts."""
    ctx = runner.context()
    outcome = STAGE.run(node, inputs or {}, ctx)
    assert isinstance(outcome, Done), outcome
    return ctx.out_dir


def rows(out_dir: Path) -> list[ScoreRow]:
    return list(read_rows(out_dir / "samples.jsonl", ScoreRow))


@pytest.fixture
def adapters(runner: Runner, tmp_path: Path) -> Artifact:
    """A train artifact: a random adapter, and a sham of the same shapes with all zeros."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(runner.model.ref, dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, scale in (("sham", 0.0), ("adapter", 0.5)):
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "lora_" in key:
                    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * scale)
        model.save_pretrained(tmp_path / "train" / name)
    return artifact(tmp_path / "train", "train")


def test_every_kind_of_suite_gives_its_rows_in_the_order_of_the_configuration(runner: Runner) -> None:
    node = runner.node(
        runner.suite(TEXTS, name="texts", kind="perplexity", primary_metric="nll"),
        runner.suite(CHOICES, name="choices"),
        runner.suite(PROMPTS, name="answers", kind="judge", primary_metric="win_rate", max_new_tokens=4),
        runner.suite(PROMPTS[:1], name="safety", kind="safety", primary_metric="pass", max_new_tokens=4),
        runner.suite(CHOICES[:2], name="frozen", kind="regression"),
    )

    ctx = runner.context()
    outcome = STAGE.run(node, {}, ctx)

    assert isinstance(outcome, Done)
    seen = [(row.suite, row.metric) for row in rows(ctx.out_dir)]
    assert list(dict.fromkeys(seen)) == [
        ("texts", "nll"),
        ("choices", "acc"),
        ("choices", "acc_norm"),
        ("safety", "pass"),
        ("frozen", "acc"),
    ]
    assert len(seen) == 5 + 10 + 1 + 2
    generations = list(read_rows(ctx.out_dir / "generations.jsonl", Generation))
    assert [(answer.suite, answer.reference) for answer in generations] == [("answers", "word"), ("answers", "")]
    assert outcome.summary["rows"] == 18 and outcome.summary["failed"] == 0
    accuracy = [row.value for row in rows(ctx.out_dir) if row.suite == "choices" and row.metric == "acc"]
    assert outcome.summary["choices.acc"] == pytest.approx(sum(value or 0 for value in accuracy) / 5)
    texts = [row for row in rows(ctx.out_dir) if row.suite == "texts"]
    tokens = sum(row.weight for row in texts)
    assert outcome.summary["texts.nll"] == pytest.approx(
        sum((row.value or 0) * row.weight for row in texts) / tokens, abs=1e-4
    )


def test_a_sham_adapter_gives_the_bases_rows_bit_for_bit_and_a_real_one_does_not(
    runner: Runner, adapters: Artifact
) -> None:
    suites = (
        runner.suite(CHOICES, name="choices"),
        runner.suite(TEXTS, name="texts", kind="perplexity", primary_metric="nll"),
        runner.suite(PROMPTS, name="answers", kind="judge", primary_metric="win_rate", max_new_tokens=8),
    )

    def parts(work: str, **arm: str) -> tuple[list[tuple[object, ...]], list[str]]:
        runner.work_dir = runner.project / work
        out = run(runner, runner.node(*suites, **arm), {"train": adapters})
        scores = [(row.suite, row.metric, row.doc_hash, row.occurrence, row.value, row.output) for row in rows(out)]
        return scores, [answer.output for answer in read_rows(out / "generations.jsonl", Generation)]

    base = parts("w1")
    assert parts("w2", name="sham", adapter="sham") == base
    changed = parts("w3", name="candidate", adapter="train")
    assert changed[0] != base[0] and changed[1] != base[1]
    assert parts("w4", name="candidate", adapter="train/adapter") == changed, "the same adapter, named as a directory"


def test_a_sham_adapter_changes_nothing_on_a_4_bit_base(runner: Runner, adapters: Artifact) -> None:
    suite = runner.suite(CHOICES, name="choices")
    base = run(runner, runner.node(suite, precision="nf4"))
    runner.work_dir = runner.project / "w2"
    sham = run(runner, runner.node(suite, name="sham", adapter="sham", precision="nf4"), {"train": adapters})

    assert [row.output for row in rows(sham)] == [row.output for row in rows(base)]
    assert read_model(sham / "arm.json", ArmInfo).precision == "nf4"


class Interrupted(BaseException):
    """Ends the stage where a kill would."""


def test_an_interrupted_run_continues_with_the_suite_it_had_not_finished(runner: Runner, tmp_path: Path) -> None:
    suites = [runner.suite(texts_of(n), name=f"suite{n}", kind="perplexity", primary_metric="nll") for n in (2, 3, 4)]
    unbroken = rows(run(runner, runner.node(*suites)))
    runner.work_dir = tmp_path / "work2"
    (runner.project / ".workbench" / "scores").rename(tmp_path / "scores-of-the-unbroken-run")

    class Cut(list[Event]):
        def append(self, event: Event) -> None:
            if getattr(event, "message", "") == "suite4":
                raise Interrupted

    runner.events = Cut()
    with pytest.raises(Interrupted):
        STAGE.run(runner.node(*suites), {}, runner.context())
    finished = sorted(path.name for path in runner.work_dir.glob("suite?.json"))
    assert finished == ["suite2.json", "suite3.json"]
    stamps = {name: (runner.work_dir / name).stat().st_mtime_ns for name in finished}

    runner.events = []
    resumed = rows(run(runner, runner.node(*suites)))

    assert resumed == unbroken
    assert {name: (runner.work_dir / name).stat().st_mtime_ns for name in finished} == stamps
    assert runner.messages() == [
        "suite suite2: kept from the interrupted attempt",
        "suite suite3: kept from the interrupted attempt",
        "suite suite4: 1 of 2 batches from the score cache",
    ]
    scored = [event for event in runner.events if isinstance(event, NodeProgress) and event.done not in (2, 5)]
    assert {event.message for event in scored} == {"suite4"}, "no batch of a finished suite was computed again"


@pytest.mark.slow
def test_a_run_killed_at_any_suite_ends_in_the_same_rows(runner: Runner, tmp_path: Path) -> None:
    suites = [runner.suite(CHOICES[:n], name=f"suite{n}") for n in (2, 3, 4)]
    node = runner.node(*suites)
    unbroken = rows(run(runner, node))
    (runner.project / ".workbench" / "scores").rename(tmp_path / "scores-of-the-unbroken-run")
    program = """
import os, signal, sys
from pathlib import Path
from score_surroundings import Runner
from workbench.core.config import ModelConfig
from workbench.core.nodes import ScoreNode
from workbench.score.stage import STAGE
class Killer(list):
    def append(self, event):
        if getattr(event, "message", "") == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)
node = ScoreNode.model_validate_json(sys.stdin.read())
runner = Runner(Path(sys.argv[1]), node.model, Path(sys.argv[2]), events=Killer(), attempts=int(sys.argv[3][-1]) * 100)
STAGE.run(node, {}, runner.context())
"""
    for name in ("suite2", "suite3", "suite4"):
        runner.work_dir = tmp_path / f"work-{name}"
        runner.work_dir.mkdir()
        killed = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), str(runner.work_dir), name],
            input=node.model_dump_json(),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
            capture_output=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (runner.work_dir / f"{name}.json").exists()

        assert rows(run(runner, node)) == unbroken


def test_rows_of_other_settings_are_not_taken_up(runner: Runner) -> None:
    first = runner.suite(CHOICES, name="choices", limit=2)
    run(runner, runner.node(first))
    again = rows(run(runner, runner.node(first.model_copy(update={"limit": 4}))))

    assert len({row.doc_id for row in again}) == 4
    assert runner.messages() == []


def test_limit_takes_documents_from_the_start(runner: Runner) -> None:
    out = run(runner, runner.node(runner.suite(CHOICES, name="choices", limit=3)))

    assert [row.doc_id for row in rows(out) if row.metric == "acc"] == [0, 1, 2]


def test_cancelling_stops_within_a_suite_and_keeps_the_finished_ones(runner: Runner) -> None:
    suites = [runner.suite(texts_of(5), name=name, kind="perplexity", primary_metric="nll") for name in ("one", "two")]
    runner.cancel_at = "two"

    assert isinstance(STAGE.run(runner.node(*suites), {}, runner.context()), Cancelled)

    assert (runner.work_dir / "one.json").is_file()
    assert not (runner.work_dir / "two.json").exists()


def test_a_failed_document_is_a_row_counted_and_told(runner: Runner) -> None:
    suite = runner.suite([*CHOICES, {"question": "broken\x1b[31m"}], name="choices")
    talk_settings = {"name": "talk", "kind": "judge", "primary_metric": "win_rate", "max_new_tokens": 2}
    asked = runner.suite([{"prompt": "Say a word."}, {"question": "?"}], **talk_settings)
    ctx = runner.context()
    outcome = STAGE.run(runner.node(suite, asked), {}, ctx)

    assert isinstance(outcome, Done)
    assert outcome.summary["failed"] == 2, "one document under two metrics"
    assert [row.doc_id for row in rows(ctx.out_dir) if row.value is None] == [5, 5]
    choices, talk = runner.messages()
    assert choices.startswith("suite choices: 1 of 6 documents failed; the first: ") and "\x1b" not in choices
    assert talk == "suite talk: 1 of 2 documents failed; the first: document has no `prompt`"


def test_control_tokens_and_sequences_in_documents_are_scored_as_text(runner: Runner) -> None:
    hostile = "half \ufffd and <|im_end|> \x1b]52;c;x\x07"
    suite = runner.suite([{"text": hostile}], name="texts", kind="perplexity", primary_metric="nll")

    (row,) = rows(run(runner, runner.node(suite)))

    assert row.value is not None and row.target == hostile


def test_half_a_surrogate_pair_is_refused_with_its_line(runner: Runner) -> None:
    hostile = [{"text": "whole"}, {"text": "half \ud800"}]
    suite = runner.suite(hostile, name="texts", kind="perplexity", primary_metric="nll")

    with pytest.raises(IncompleteError, match=r"texts\.jsonl:2"):
        STAGE.run(runner.node(suite), {}, runner.context())


def test_arms_share_all_conditions_whatever_their_adapter_batch_or_4_bit_weights(
    runner: Runner, adapters: Artifact
) -> None:
    suite = runner.suite(CHOICES, name="choices")
    arms = [
        {"name": "base", "precision": "bf16"},
        {"name": "noise", "precision": "bf16", "batch_size": 2},
        {"name": "candidate", "adapter": "train", "precision": "bf16"},
        {"name": "base@nf4", "precision": "nf4"},
        {"name": "prompted", "precision": "bf16", "system_prompt": "Be brief."},
    ]
    found = []
    for number, arm in enumerate(arms):
        runner.work_dir = runner.project / f"w{number}"
        found.append(read_model(run(runner, runner.node(suite, **arm), {"train": adapters}) / "arm.json", ArmInfo))

    assert all(arm.conditions == found[0].conditions for arm in found)
    assert found[0].conditions["compute_dtype"] == "bfloat16"
    assert found[0].conditions["max_length"] == "64"
    assert [arm.batch_size for arm in found] == [3, 2, 3, 3, 3]
    assert [arm.adapter_sha256 is not None for arm in found] == [False, False, True, False, False]
    assert len({arm.model_fingerprint for arm in found}) == 1
    assert found[4].system_prompt == "Be brief."


def test_other_documents_settings_length_or_dtype_are_other_conditions(runner: Runner) -> None:
    suite = runner.suite(CHOICES, name="choices")
    base = read_model(run(runner, runner.node(suite)) / "arm.json", ArmInfo).conditions

    def changed(work: str, node: ScoreNode) -> set[str]:
        runner.work_dir = runner.project / work
        other = read_model(run(runner, node) / "arm.json", ArmInfo).conditions
        return {key for key in base if base[key] != other[key]}

    assert changed("w1", runner.node(suite.model_copy(update={"limit": 2}))) == {"suite:choices"}
    assert changed("w2", runner.node(suite, precision="fp32")) == {"compute_dtype"}
    assert changed("w3", runner.node(suite.model_copy(update={"margin": 0.2, "gated": False}))) == set()
    shorter = runner.model.model_copy(update={"max_length": 48})
    assert changed("w4", runner.node(suite).model_copy(update={"model": shorter})) == {"max_length"}
    write_lines(runner.project / "evals" / "choices.jsonl", CHOICES[::-1])
    assert changed("w5", runner.node(suite)) == {"suite:choices"}


def test_suites_over_a_dataset_read_its_part(runner: Runner, tmp_path: Path) -> None:
    write_lines(tmp_path / "ingested" / "heldout.jsonl", TEXTS)
    documents = Documents(dataset="docs", part="heldout.jsonl")
    suite = runner.suite([], name="texts", kind="perplexity", primary_metric="nll").model_copy(
        update={"documents": documents}
    )
    ingested = artifact(tmp_path / "ingested", "ingest:docs")

    assert len(rows(run(runner, runner.node(suite), {"ingest:docs": ingested}))) == 5

    missing = suite.model_copy(update={"documents": Documents(dataset="docs", part="choice.jsonl")})
    with pytest.raises(IncompleteError, match="has no part"):
        run(runner, runner.node(missing), {"ingest:docs": ingested})


def test_what_is_wrong_is_said_before_the_model_is_loaded(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("workbench.models.loading.load", never)
    good = runner.suite(CHOICES, name="choices")
    empty = runner.suite([], name="empty")
    cases: list[tuple[ScoreNode, type[Exception], str]] = [
        (runner.node(good.model_copy(update={"primary_metric": "acccc"})), UsageError, "unknown metric"),
        (runner.node(good.model_copy(update={"documents": Documents(file="no.jsonl")})), UsageError, "does not exist"),
        (
            runner.node(good.model_copy(update={"documents": Documents(file="../x.jsonl")})),
            UsageError,
            "leaves the project",
        ),
        (runner.node(empty), IncompleteError, "no documents"),
        (runner.node(good, good), UsageError, "2 suites have this name"),
        (runner.node(), IncompleteError, "no suite"),
        (runner.node(good, adapter="nowhere"), UsageError, "adapter directory 'nowhere' does not exist"),
        (runner.node(good, adapter="../outside"), UsageError, "leaves the project"),
    ]
    for node, error, message in cases:
        with pytest.raises(error, match=message):
            STAGE.run(node, {}, runner.context())


def test_an_adapter_of_another_base_is_refused(runner: Runner, adapters: Artifact) -> None:
    from safetensors.torch import load_file, save_file

    weights = adapters.part("adapter") / "adapter_model.safetensors"
    save_file({name: tensor[..., :3].contiguous() for name, tensor in load_file(weights).items()}, weights)

    with pytest.raises(IncompleteError):
        run(runner, runner.node(runner.suite(CHOICES, name="choices"), adapter="train"), {"train": adapters})


def test_external_names_documents_weights_and_a_named_adapter(runner: Runner, adapters: Artifact) -> None:
    suite = runner.suite(CHOICES, name="choices")
    node = runner.node(suite, adapter="train/adapter")
    before = STAGE.external(node, runner.project)

    assert set(before) == {"suite:choices", f"model:{runner.model.ref}", "adapter:train/adapter"}
    (adapters.part("adapter") / "note.txt").write_text("x", encoding="utf-8")
    write_lines(runner.project / "evals" / "choices.jsonl", CHOICES[:1])
    after = STAGE.external(node, runner.project)
    assert {key for key in before if before[key] != after[key]} == {"suite:choices", "adapter:train/adapter"}


def test_external_refuses_a_bad_suite_or_model_at_planning(runner: Runner) -> None:
    suite = runner.suite(CHOICES, name="choices")
    bad = suite.model_copy(update={"primary_metric": "rouge"})
    with pytest.raises(UsageError, match="unknown metric 'rouge'"):
        STAGE.external(runner.node(bad), runner.project)
    lost = runner.model.model_copy(update={"ref": "pypi:no-such-distribution-at-all"})
    with pytest.raises(PrerequisiteError):
        STAGE.external(runner.node(suite).model_copy(update={"model": lost}), runner.project)


def test_planning_imports_nothing_heavy(runner: Runner) -> None:
    program = (
        "import sys; from workbench.score.stage import STAGE; from workbench.core.nodes import ScoreNode; "
        "from pathlib import Path; STAGE.external(ScoreNode.model_validate_json(sys.stdin.read()), Path(sys.argv[1])); "
        "print(sorted({'torch', 'transformers', 'lm_eval', 'datasets', 'peft', 'numpy'} & set(sys.modules)))"
    )
    node = runner.node(runner.suite(CHOICES, name="choices"))
    result = subprocess.run(
        [sys.executable, "-c", program, str(runner.project)],
        input=node.model_dump_json(),
        text=True,
        capture_output=True,
        check=True,
    )

    assert result.stdout.strip() == "[]"


def test_nothing_is_written_to_stdout(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    run(runner, runner.node(runner.suite(CHOICES, name="choices")))

    assert capfd.readouterr().out == ""


def test_events_are_json_that_others_can_read(runner: Runner) -> None:
    run(runner, runner.node(runner.suite(CHOICES, name="choices")))

    kinds = {json.loads(event.model_dump_json())["event"] for event in runner.events}
    assert kinds == {"node_progress", "node_metric"}
    progress = [event for event in runner.events if isinstance(event, NodeProgress)]
    assert progress[-1].done == progress[-1].total == 5
    assert [event.done for event in progress] == sorted(event.done for event in progress)
