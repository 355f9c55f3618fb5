from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from report_artifacts import TARGET, built, make_run
from report_comparison import AFTER, BEFORE, flips, verdict_and_comparison

from workbench.core.errors import IncompleteError
from workbench.core.parts import write_model, write_rows
from workbench.report.build import target_of
from workbench.report.gaps import alarms
from workbench.report.model import ReportModel
from workbench.report.rows import controls, main_rows
from workbench.report.tally import tally


def test_only_flips_of_the_deciding_pair_are_counted_and_forgotten_ones_come_first(model: ReportModel) -> None:
    expected = Counter((flip.suite, flip.kind) for flip in flips() if flip.after_arm == AFTER)
    found = {(entry.suite, "forgotten"): entry.forgotten for entry in model.flips.counts}
    found |= {(entry.suite, "learned"): entry.learned for entry in model.flips.counts}
    assert {key: count for key, count in found.items() if count} == dict(expected)
    kinds = [flip.kind for flip in model.flips.shown]
    assert kinds == sorted(kinds)
    assert kinds[0] == "forgotten"


def test_with_little_room_every_suite_shows_some_of_its_forgotten_documents(tmp_path: Path) -> None:
    model = built(make_run(tmp_path, max_flips=8))
    assert len(model.flips.shown) == 8
    assert {flip.kind for flip in model.flips.shown} == {"forgotten"}
    assert {flip.suite for flip in model.flips.shown} == {flip.suite for flip in flips() if flip.kind == "forgotten"}
    assert any("8 of 112 changed answers are shown" in gap for gap in model.gaps)


def test_long_texts_of_flips_are_cut_and_say_by_how_much(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    long = [flip.model_copy(update={"prompt": "x" * 5000}) for flip in flips()[:1]]
    write_rows(run.inputs["compare"].part("flips.jsonl"), long)
    model = built(run)
    assert model.flips.shortened == 1
    assert model.flips.shown[0].prompt == "x" * 2000 + "… (3,000 more characters)"


def test_generations_are_the_first_prompts_of_the_judge_suite_in_file_order(model: ReportModel) -> None:
    assert [pair.prompt.split()[0] for pair in model.generations] == ["What", "Explain", "What", "When", "Say"]
    assert [pair.same for pair in model.generations] == [False, False, False, False, True]
    assert [entry.preference for entry in model.generations[0].preferences] == [0.2, 0.9]
    assert model.generations_suite == "answers"


def test_data_side_counts_agree_with_the_artifacts(model: ReportModel) -> None:
    by_name = {dataset.name: dataset for dataset in model.intake}
    assert by_name["tickets"].quarantined == 5
    assert {entry.reason: entry.rows for entry in by_name["tickets"].quarantine} == {"bad_json": 3, "unknown_shape": 2}
    assert by_name["mmlu-dev"].used_for == "scoring"
    assert by_name["python-docs"].documents == {"heldout.jsonl": 20}
    assert model.curation is not None
    assert (model.curation.overlaps_dropped, model.curation.overlaps_flagged) == (1, 1)
    assert model.curation.near_duplicate_pairs == 3
    assert [cluster.rows for cluster in model.curation.funnel.largest_clusters] == [85, 31]
    made = {entry.strategy: (entry.accepted, entry.rejected) for entry in model.synthesis}
    assert made == {"doc_pairs": (15, 5), "qa_from_docs": (7, 3)}


@pytest.mark.parametrize(
    ("state", "suite"), [("passed", "docs-heldout"), ("inconclusive", "capitals"), ("regressed", "capitals")]
)
def test_the_deciding_suite_fails_the_run_leaves_it_open_or_carries_its_claim(
    tmp_path: Path, state: str, suite: str
) -> None:
    model = built(make_run(tmp_path, state))
    assert model.deciding is not None
    assert model.deciding.suite == suite


def test_without_comparable_arms_no_suite_decides(tmp_path: Path) -> None:
    model = built(make_run(tmp_path, "not comparable"))
    assert model.deciding is None
    assert main_rows(model) == ()


def test_the_tally_adds_up_transitions_of_all_suites(model: ReportModel) -> None:
    found = tally(model)
    binary = [row.data for row in main_rows(model) if row.data.forgotten is not None]
    assert found.forgotten == sum(entry.forgotten for entry in model.flips.counts)
    assert found.right_before == sum(round(data.before.value * data.n) for data in binary)
    assert found.noise == 15
    assert [row.data.suite for row in found.open] == ["capitals", "mmlu-dev"]


def test_an_undecided_suite_names_the_documents_it_needs_and_a_decided_one_does_not(model: ReportModel) -> None:
    capitals = [gap for gap in model.gaps if gap.startswith("capitals")]
    assert capitals == [
        "capitals: a loss of 5 points would often be missed; this comparison reliably finds 6.8 points. "
        "About 240 documents would do."
    ]
    assert not any(gap.startswith("agreement") for gap in model.gaps)


def test_limits_are_found_in_the_numbers(model: ReportModel) -> None:
    text = "\n".join(model.gaps)
    assert "The judge is left out of the verdict: the lower bound of kappa is -0.20" in text
    assert "The mixture asked for 10.0% of tickets and got 6.0%: its 6 rows are repeated 4 times, the limit" in text
    assert "5 pieces of input could not be read" in text
    assert "refusals: no answer could be read from 1 output before and 2 after." in text
    assert not model.judge_counts


def test_a_sham_that_changes_something_and_a_severed_gradient_raise_the_alarm() -> None:
    verdict, _ = verdict_and_comparison("passed")
    assert list(alarms(verdict, None)) == []
    changed = verdict.others[0].model_copy(update={"nothing_changed": False})
    broken = verdict.model_copy(update={"others": (changed, *verdict.others[1:])})
    assert ["sham" in alarm for alarm in alarms(broken, None)] == [True]


def test_a_severed_gradient_raises_the_alarm(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    model = built(run)
    assert model.alarms == ()
    assert model.training is not None
    severed = model.training.summary.model_copy(update={"gradient_check": 0.139})
    write_model(run.inputs["train"].part("training.json"), severed)
    assert "gradient check failed (cosine 0.139" in built(run).alarms[0]


def test_controls_say_whether_something_changed(model: ReportModel) -> None:
    outcomes = {control.title: control.outcome.label for control in controls(model)}
    assert outcomes == {
        "Sham adapter": "nothing changed",
        "A/A noise": "3 of 4 suites changed",
        "Quantisation": "3 of 3 suites changed",
    }


@pytest.mark.parametrize("node", ["compare", "gate"])
def test_without_comparison_or_verdict_there_is_no_report(tmp_path: Path, node: str) -> None:
    run = make_run(tmp_path)
    del run.inputs[node]
    with pytest.raises(IncompleteError, match=node):
        built(run)


def test_a_run_without_data_or_training_is_reported_and_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for name in [name for name in run.inputs if name.partition(":")[0] not in ("compare", "gate", "score")]:
        del run.inputs[name]
    del run.inputs["score:judge"]
    model = built(run)
    assert model.training is None
    assert model.curation is None
    assert model.intake == ()
    assert "Training: this run trained no adapter." in model.not_run


def test_credentials_in_addresses_reach_no_part_of_the_report(model: ReportModel) -> None:
    text = model.model_dump_json()
    assert "hunter2" not in text
    assert "http://127.0.0.1:8000/v1" in text


def test_the_model_round_trips_through_json(model: ReportModel) -> None:
    assert ReportModel.model_validate_json(model.model_dump_json()) == model
    assert json.loads(model.model_dump_json())["schema_version"] == 1


def test_the_same_artifacts_give_the_same_target_and_other_artifacts_another(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert target_of(run.config, run.inputs, TARGET) == TARGET
    first = target_of(run.config, run.inputs, "")
    assert first == target_of(run.config, dict(run.inputs), "")
    assert (run.config.before, run.config.after) == (BEFORE, AFTER)
    del run.inputs["score:noise"]
    assert target_of(run.config, run.inputs, "") != first
