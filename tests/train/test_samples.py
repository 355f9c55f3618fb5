"""Answers while training: told, kept, taken up again, and without influence on what is learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_train_stage import Killed, kill_after
from training_run import STEPS, TrainingRun, tiny_train_node, training_records

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.events import NodeSample
from workbench.core.parts import read_rows
from workbench.core.records import Record, Source, TrainingSample
from workbench.models.chat import prompt_ids
from workbench.models.loading import load
from workbench.train.defaults import resolved
from workbench.train.samples import samples_for

MakeRun = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def sampled(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """The unbroken run of conftest.py with three looks at two prompts."""
    node = tiny_train_node(tiny_model_dir, samples=2, sample_tokens=6)
    run = TrainingRun(tmp_path_factory.mktemp("sampled"), node, training_records())
    run.attempt()
    return run


def _samples(run: TrainingRun) -> list[TrainingSample]:
    return list(read_rows(run.out / "samples.jsonl", TrainingSample))


def _weights_and_curve(run: TrainingRun) -> tuple[bytes, list[dict[str, Any]]]:
    return run.adapter_bytes()["adapter_model.safetensors"], run.curve()


def test_the_same_adapter_and_losses_with_and_without_samples(sampled: TrainingRun, unbroken: TrainingRun) -> None:
    assert _weights_and_curve(sampled) == _weights_and_curve(unbroken)
    assert [sample.step for sample in _samples(sampled)] == [0, 0, 4, 4, 8, 8]
    assert not (unbroken.out / "samples.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_checkpointing": True},
        {"method": "prefix", "virtual_tokens": 3},
        {"method": "full", "precision": "bf16"},
        {"method": "dora", "validation_share": 0.3, "validation_steps": 3},
    ],
)
def test_no_method_learns_otherwise_with_samples(make_run: MakeRun, settings: dict[str, Any]) -> None:
    short = {"max_steps": 3, "checkpoint_steps": 9, **settings}
    plain = make_run("plain", **short)
    sampled = make_run("sampled", samples=2, sample_steps=1, sample_tokens=4, **short)
    plain.attempt()
    sampled.attempt()
    assert _weights_and_curve(sampled) == _weights_and_curve(plain)
    assert [sample.step for sample in _samples(sampled)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_answer_is_told_as_it_is_kept(sampled: TrainingRun) -> None:
    told = [event for event in sampled.events if isinstance(event, NodeSample)]
    assert [event.sample for event in told] == _samples(sampled)
    assert all(event.node == "train" for event in told)


def test_answers_are_what_the_saved_adapter_generates(make_run: MakeRun, tmp_path: Path) -> None:
    """Against `generate` of transformers, prompt by prompt, on the adapter as it is loaded for scoring."""
    run = make_run("run", precision="fp32", method="lora", samples=2, sample_tokens=8, learning_rate=1e-2)
    run.attempt()
    loaded = load(ModelConfig(ref=run.config.model.ref), "fp32", tmp_path, run.out / "adapter")
    by_id = {record.id: record for record in run.records}
    last = [sample for sample in _samples(run) if sample.step == STEPS]
    assert len(last) == 2
    for sample in last:
        record = by_id[sample.record]
        ids = prompt_ids(loaded.tokenizer, record.messages[:-1], None)
        import torch

        out = loaded.model.generate(input_ids=torch.tensor([ids]), max_new_tokens=8, do_sample=False)
        assert sample.answer == loaded.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
        assert sample.prompt == record.prompt() and sample.reference.strip() == record.answer().strip()


def test_killed_and_taken_up_again_the_samples_are_those_of_the_unbroken_run(
    make_run: MakeRun, sampled: TrainingRun
) -> None:
    run = make_run("run", samples=2, sample_tokens=6)
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(5))
    run.attempt()
    assert run.summary()["resumed_from"] == [4]
    assert (run.out / "samples.jsonl").read_bytes() == (sampled.out / "samples.jsonl").read_bytes()


def test_prompts_are_held_back_where_rows_are_and_chosen_by_the_seed(tiny_model_dir: Path, tmp_path: Path) -> None:
    loaded = load(ModelConfig(ref=str(tiny_model_dir), max_length=96), "bf16", tmp_path)
    records = training_records()

    def chosen(seed: int, **settings: Any) -> list[tuple[str, bool]]:
        configured = TrainConfig(max_steps=20, samples=3, **settings)
        found = samples_for(loaded, records, configured, resolved(configured, 18, 1), seed, lambda sample: None)
        assert found is not None and found.every == 10
        return [(prompt.record, prompt.held_back) for prompt in found.prompts]

    from workbench.train.validation import held_back

    back = {records[index].id for index in held_back(records, 5, 0)}
    assert {record for record, _ in chosen(0, validation_share=0.3)} <= back
    assert all(held for _, held in chosen(0, validation_share=0.3))
    assert not any(held for _, held in chosen(0)) and chosen(0) == chosen(0) != chosen(1)


def test_an_answer_with_thumbs_down_is_never_shown_as_the_datas(tiny_model_dir: Path, tmp_path: Path) -> None:
    loaded = load(ModelConfig(ref=str(tiny_model_dir), max_length=96), "bf16", tmp_path)
    records = [one.model_copy(update={"label": number % 3 == 0}) for number, one in enumerate(training_records())]
    good = {one.id for one in records if one.label}
    for settings, held in (({"validation_share": 0.5}, True), ({}, False)):
        configured = TrainConfig(objective="kto", max_steps=20, samples=16, **settings)
        found = samples_for(loaded, records, configured, resolved(configured, 18, 1), 0, lambda sample: None)
        assert found is not None and {prompt.record for prompt in found.prompts} <= good
        assert {prompt.held_back for prompt in found.prompts} == {held}


def test_a_document_is_continued_from_its_beginning(tiny_model_dir: Path, tmp_path: Path) -> None:
    loaded = load(ModelConfig(ref=str(tiny_model_dir), max_length=96), "bf16", tmp_path)
    text = " ".join(f"word{number}" for number in range(60))
    record = Record(id="0" * 16, kind="document", text=text, source=Source(dataset="d"))
    short = Record(id="1" * 16, kind="document", text="too short", source=Source(dataset="d"))
    settings = TrainConfig(max_steps=1, samples=2)
    found = samples_for(loaded, [short, record], settings, resolved(settings, 2, 1), 0, lambda sample: None)
    assert found is not None
    (prompt,) = found.prompts
    assert text.startswith(prompt.prompt) and text.startswith(prompt.prompt + prompt.reference[:20])


def test_an_answer_survives_the_file_of_events(sampled: TrainingRun, tmp_path: Path) -> None:
    from workbench.core.events import EventWriter, read_events

    writer = EventWriter(tmp_path / "events.jsonl", lambda: "")
    event = next(event for event in sampled.events if isinstance(event, NodeSample))
    writer.write(event)
    writer.close()
    (read,) = read_events(tmp_path / "events.jsonl")[0]
    assert isinstance(read, NodeSample) and read.sample == event.sample
    assert json.loads((tmp_path / "events.jsonl").read_text())["event"] == "node_sample"
