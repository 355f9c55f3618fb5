"""What is recommended, when something else is to be tried first, and where a time comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import made_up_manifest

from workbench.core.cards import Card, FileSource
from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.methods import METHODS
from workbench.core.paths import Project
from workbench.loop.advice import USABLE_SHARE, Advice, advise
from workbench.loop.advice_text import render_advice
from workbench.loop.dataset_facts import DatasetFacts, dataset_facts, stands_in
from workbench.loop.settings import with_settings
from workbench.loop.training_time import GPU_SHARE, Duration, expected_time
from workbench.models.architecture import Architecture, read_architecture
from workbench.models.machine import Machine, named_gpu
from workbench.models.memory import GIB

RUN = ["run"]
"""How training on the data is started."""
ORDINARY = DatasetFacts(
    name="tickets",
    rows=4000,
    quarantined=0,
    documents=0,
    unusable=0,
    duplicates=0,
    lengths=tuple(range(100, 500)) * 10,
    answer_tokens=400_000,
    distinct_answers=1000,
    copied=0,
    counted_by="a tokenizer",
    has_template=True,
)


@pytest.fixture(scope="module")
def eight() -> Architecture:
    return read_architecture("llama-3-8b", None, Path())


@pytest.fixture(scope="module")
def small() -> Architecture:
    return read_architecture("smollm2-135m", None, Path())


def gpu(gibibytes: float, flops: float | None = None) -> Machine:
    return Machine("a GPU", "cuda", round(gibibytes * GIB), flops)


@pytest.mark.parametrize(
    ("gibibytes", "method", "checkpointing"),
    [(80, "lora", False), (30, "qlora", False), (24, "lora", True), (12, "qlora", True)],
)
def test_less_room_first_costs_precision_then_time(
    eight: Architecture, gibibytes: float, method: str, checkpointing: bool
) -> None:
    found = advise(eight, gpu(gibibytes), ORDINARY).recommendation
    assert found is not None
    assert (found.setting.method, found.setting.gradient_checkpointing) == (method, checkpointing)
    assert found.parts.total <= USABLE_SHARE * gibibytes * GIB
    assert found.setting.length == 512, "99% of the rows need 496 tokens, the next multiple of 64"
    assert found.setting.batch_size * found.setting.gradient_accumulation == found.effective_batch == 8


def test_where_nothing_fits_smaller_models_that_do_are_named_with_their_licence(eight: Architecture) -> None:
    advice = advise(eight, gpu(4), ORDINARY)
    assert advice.recommendation is None and not any(one.fits for one in advice.methods)
    assert advice.instead and all(one.name != "llama-3-70b" for one in advice.instead)
    assert all(one.total_bytes <= USABLE_SHARE * 4 * GIB and one.licence for one in advice.instead)
    shown = render_advice(advice, None, RUN)
    assert "Nothing fits into 4 GiB" in shown and advice.instead[0].name in shown


def test_every_method_has_a_line_for_each_base_it_trains_on(small: Architecture) -> None:
    methods = advise(small, gpu(24)).methods
    wanted = {(method, one) for method, facts in METHODS.items() for one in facts.precisions if one != "fp32"}
    assert {(one.method, one.precision) for one in methods} == wanted
    shown = render_advice(advise(small, gpu(24)), None, RUN)
    assert all(f"\n{method} " in shown for method in METHODS)
    assert max(len(line) for line in shown.splitlines() if not line.startswith("workbench run")) <= 120


@pytest.mark.parametrize(("answer_tokens", "rank"), [(1_000, 16), (9_000_000, 16), (11_000_000, 32), (10**9, 128)])
def test_rank_grows_with_what_the_answers_teach(small: Architecture, answer_tokens: int, rank: int) -> None:
    # rank 16 of SmolLM2-135M: 4,884,480 parameters of 2 bits, an answer token teaches 1 bit
    data = replace(ORDINARY, lengths=(1_000_000,) * 2000, answer_tokens=answer_tokens)
    found = advise(small, gpu(80), data, max_length=256).recommendation
    assert found is not None and found.setting.rank == rank


def test_recommended_settings_are_ones_the_configuration_takes(eight: Architecture, tmp_path: Path) -> None:
    found = advise(eight, gpu(24), ORDINARY).recommendation
    assert found is not None
    typed = [f"{key}={json.dumps(value)}" for key, value in found.settings.items()]
    config = with_settings({}, typed, tmp_path / "none.yaml", (), environment={})
    assert config.model.ref == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert (config.train.method, config.model.precision) == (found.setting.method, found.setting.precision)
    assert (config.train.rank, config.train.max_length) == (found.setting.rank, found.setting.length)
    assert config.train.gradient_checkpointing == found.setting.gradient_checkpointing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lengths": (100,) * 20, "rows": 20}, "20 rows are too few"),
        ({"lengths": (100,) * 150, "rows": 150}, "150 rows are few"),
        ({"distinct_answers": 1}, "all answers are the same"),
        ({"distinct_answers": 3}, "3 different answers: this is classification"),
        ({"copied": 3900}, "this is extraction"),
        ({"documents": 4000}, "arXiv:2312.05934"),
        ({"duplicates": 1000}, "1,000 of 4,000 rows are exact copies"),
        ({"has_template": False}, "no chat template"),
        ({"lengths": (100,) * 3990 + (9000,) * 10}, "10 rows are longer than the 8,192 tokens"),
        ({"unusable": 7}, "7 rows have no answer"),
    ],
)
def test_what_should_be_tried_or_mended_first(small: Architecture, change: dict[str, object], words: str) -> None:
    cautions = advise(small, gpu(24), replace(ORDINARY, **change)).cautions
    assert len(cautions) == 1 and words in cautions[0].problem and cautions[0].first


def test_ordinary_data_sets_off_no_caution(small: Architecture) -> None:
    assert advise(small, gpu(24), ORDINARY).cautions == ()


def _lines(path: Path, rows: list[dict[str, str]]) -> Card:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Card(name="mine", source=FileSource(kind="file", path=str(path)), heldout_fraction=0)


def test_dataset_is_described_with_the_numbers_of_the_training_reader(tiny_model_dir: Path, tmp_path: Path) -> None:
    from workbench.core.records import Record
    from workbench.ingest.read import read_records
    from workbench.models.chat import encode_record
    from workbench.models.loading import load_tokenizer

    rows = [{"instruction": f"Is {n} even?", "output": "yes" if n % 2 == 0 else "no"} for n in range(60)]
    rows += [{"instruction": "Say the word: blue", "output": "blue"}] * 3
    card = _lines(tmp_path / "mine.jsonl", rows)
    model = ModelConfig(ref=str(tiny_model_dir))
    found = dataset_facts(card, tmp_path, model)
    assert (found.rows, found.duplicates, found.distinct_answers, found.copied) == (63, 2, 3, 3)
    tokenizer = load_tokenizer(model, tmp_path)
    records: list[Record] = read_records(card, tmp_path).records
    encoded = [encode_record(tokenizer, record, 4096, None) for record in records]
    assert found.lengths == tuple(sorted(len(one.input_ids) for one in encoded))
    assert found.answer_tokens == sum(one.answer_tokens for one in encoded)


def test_without_a_tokenizer_tokens_are_estimated_and_it_says_so(tmp_path: Path) -> None:
    card = _lines(tmp_path / "mine.jsonl", [{"instruction": "x" * 40, "output": "y" * 81}] * 2)
    found = dataset_facts(card, tmp_path, ModelConfig(ref="llama-3-8b"))
    assert (found.lengths, found.answer_tokens) == ((31, 31), 42)
    assert found.counted_by.startswith("4 bytes of UTF-8 per token")


def test_letters_of_several_bytes_make_more_tokens_where_there_is_no_tokenizer(tmp_path: Path) -> None:
    card = _lines(tmp_path / "mine.jsonl", [{"instruction": "\u0434" * 40, "output": "\u6c34" * 40}])
    found = dataset_facts(card, tmp_path, ModelConfig(ref="llama-3-8b"))
    assert (found.lengths, found.answer_tokens) == ((50,), 30)


@pytest.mark.parametrize(
    ("answer", "prompt", "stands"),
    [
        ("no", "Do you know it?", False),
        ("no", "Answer yes or no.", True),
        ("no", "I know: no!", True),
        ("3", "It was in 2013.", False),
        ("3", "It has 3 parts", True),
        ("caf\u00e9", "two caf\u00e9s", False),
        ("\u6771\u4eac", "\u79c1\u306f\u6771\u4eac\u306b\u4f4f\u3080", True),  # no spaces between words
    ],
)
def test_an_answer_stands_in_the_prompt_as_whole_words_only(answer: str, prompt: str, stands: bool) -> None:
    assert stands_in(answer, prompt) is stands


@pytest.mark.parametrize(("gpu", "usable", "has_bf16"), [("t4", 14.6, False), ("l4", 22.1, True)])
def test_named_gpu_has_what_the_driver_leaves(small: Architecture, gpu: str, usable: float, has_bf16: bool) -> None:
    machine = named_gpu(gpu)
    assert machine.memory_bytes <= usable * GIB
    assert ["no bf16" in one.problem for one in advise(small, machine, ORDINARY).cautions] == [True] * (not has_bf16)


def test_length_beyond_the_context_is_said_and_not_recommended(small: Architecture) -> None:
    advice = advise(small, gpu(24), ORDINARY, max_length=100_000)
    assert advice.recommendation is not None and advice.recommendation.setting.length == 8192
    assert "--max-length 100,000 is beyond the 8,192 tokens" in advice.cautions[0].problem
    assert advise(small, gpu(24), ORDINARY, max_length=8192).cautions == ()


def test_one_of_a_thing_and_no_time_at_all_read_like_a_sentence(small: Architecture) -> None:
    advice = advise(small, gpu(24), replace(ORDINARY, rows=1, lengths=(20,), answer_tokens=5))
    assert advice.recommendation is not None
    one_step = replace(advice, recommendation=replace(advice.recommendation, steps=1))
    shown = render_advice(one_step, Duration(0.01, "a guess", 1e9), RUN)
    for words in ("1 row (0 documents)", "1 row is too few", "1 step of 8 rows", "less than a second (a guess)"):
        assert words in shown
    shown = render_advice(advise(small, gpu(0.001)), None, RUN)
    assert "1 sequence at a time" in shown


def test_the_printed_command_is_for_the_data_that_was_looked_at(small: Architecture) -> None:
    shown = render_advice(advise(small, gpu(24), ORDINARY), None, ["train", "--data", "my file.jsonl"])
    assert shown.splitlines()[-1].startswith("workbench train --data 'my file.jsonl' --set model.ref=")


def test_a_file_without_rows_is_named_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    card = Card(name="empty", source=FileSource(kind="file", path="empty.jsonl"), heldout_fraction=0)
    with pytest.raises(IncompleteError, match=r"^empty\.jsonl: the dataset is empty") as caught:
        dataset_facts(card, tmp_path, ModelConfig(ref="llama-3-8b"))
    assert caught.value.next_step


def test_data_without_a_single_usable_row_ends_with_a_message(tmp_path: Path) -> None:
    card = _lines(tmp_path / "mine.jsonl", [{"instruction": "Why?", "output": ""}] * 3)
    with pytest.raises(IncompleteError):
        dataset_facts(card, tmp_path, ModelConfig(ref="llama-3-8b"))


def _advice(architecture: Architecture, machine: Machine) -> Advice:
    return advise(architecture, machine, ORDINARY)


def test_time_on_a_known_gpu_is_operations_over_a_share_of_its_peak(eight: Architecture, tmp_path: Path) -> None:
    advice = _advice(eight, gpu(80, 312e12))
    found = expected_time(advice, Project(tmp_path), here=False)
    assert found is not None and found.seconds == pytest.approx(found.flops / (GPU_SHARE * 312e12))
    assert "an assumption" in found.source
    # 4 per frozen weight and token, three passes over 4,000 rows: a lower bound of what is counted
    assert found.flops > 2 * 4 * 7e9 * ORDINARY.tokens


def test_unknown_speed_gives_no_time_and_says_how_to_get_one(eight: Architecture, tmp_path: Path) -> None:
    found = expected_time(_advice(eight, gpu(80)), Project(tmp_path), here=False)
    assert found is not None and found.seconds is None and "--gpu takes names" in found.source


def test_an_earlier_training_of_the_project_is_the_better_source(small: Architecture, tmp_path: Path) -> None:
    from workbench.core.results import TrainSummary

    directory = tmp_path / ".workbench" / "artifacts" / "train" / "f1"
    directory.mkdir(parents=True)
    summary = TrainSummary(
        method="lora",
        base="smollm2-135m",
        base_fingerprint="f",
        precision="bf16",
        trainable_parameters=1,
        total_parameters=2,
        steps=50,
        answer_tokens=10_000,
        first_loss=2,
        last_loss=1,
        gradient_check=1,
        seconds=100,
        adapter_sha256="a",
    )
    (directory / "training.json").write_text(summary.model_dump_json())
    manifest = made_up_manifest("train", fingerprint="f1", seconds=100)
    (directory / "manifest.json").write_text(manifest.model_dump_json())
    advice = _advice(small, gpu(80, 312e12))
    found = expected_time(advice, Project(tmp_path), here=True)
    assert advice.recommendation is not None and found is not None
    passes = advice.recommendation.steps * advice.recommendation.effective_batch / ORDINARY.rows
    assert found.seconds == pytest.approx(0.01 * passes * ORDINARY.answer_tokens)
    assert found.source.startswith("measured: 50 steps of lora")


@pytest.mark.parametrize(("typed", "gibibytes"), [("24GB", 24), ("24", 24), ("11.5 GiB", 11.5), ("A100-80GB", 80)])
def test_gpu_by_memory_or_name(typed: str, gibibytes: float) -> None:
    assert named_gpu(typed).memory_bytes == gibibytes * GIB


@pytest.mark.parametrize("typed", ["", "0GB", "-1GB", "big", "24TB", "nan"])
def test_anything_else_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="neither an amount of memory nor a GPU"):
        named_gpu(typed)
