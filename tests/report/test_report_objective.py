"""What the page says of a training that did not learn answers: its objective, its own numbers, no nats."""

from __future__ import annotations

import json
from pathlib import Path

from report_artifacts import built, make_run

from workbench.core.parts import read_model, read_rows, write_model, write_rows
from workbench.core.records import CurvePoint
from workbench.core.results import Interval, TrainSummary
from workbench.report.model import ReportModel
from workbench.report.render.html import render_html
from workbench.report.render.markdown import render_markdown


def _preferences(place: Path) -> ReportModel:
    run = make_run(place)
    train = run.inputs["train"]
    curve = list(read_rows(train.part("curve.jsonl"), CurvePoint))
    measured = [point.model_copy(update={"measures": {"rewards/margins": point.step / 10}}) for point in curve]
    write_rows(train.part("curve.jsonl"), measured)
    summary = read_model(train.part("training.json"), TrainSummary)
    order = {"held_back_pairs": 40, "pairs_in_order": Interval(value=0.9, low=0.769, high=0.96)}
    write_model(train.part("training.json"), summary.model_copy(update={"objective": "dpo", **order}))
    return built(run)


def test_objective_its_numbers_and_held_back_pairs_are_shown(tmp_path: Path) -> None:
    model = _preferences(tmp_path)
    # 60 steps: means of steps 1 to 6 and 55 to 60, divided by ten
    expected = "0.350 → 5.750"
    page, text = render_html(model), render_markdown(model)
    for written in (page, text):
        assert "Objective dpo" in written and "rewards/margins" in written and expected in written
        assert "90.0%" in written and " of 40 " in written
    assert "nats per answer token, by step" not in page


def test_settings_of_other_objectives_are_not_listed(tmp_path: Path) -> None:
    model = built(make_run(tmp_path))
    assert model.training is not None
    assert not {"dpo", "kto", "orpo", "reward", "grpo", "gkd"} & set(model.training.hyperparameters)
    assert not model.training.measures and "Objective" not in render_markdown(model)
    assert json.loads(model.model_dump_json())["training"]["summary"]["objective"] == "sft"
