from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from record_makers import chat, document, preference

from workbench.core.config import ModelConfig
from workbench.core.curation import CurateConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.core.stage import Cancelled, Done
from workbench.core.suites import Documents, Suite
from workbench.curate.stage import STAGE, external
from workbench.curate.summary import render_funnel

RULES = ("empty_output", "repetition", "output_equals_prompt", "special_tokens", "template_placeholder")
"""Filters with few surprises: these tests are about the stage."""
GOOD = [chat(f"Name the {n}th prime and say why it is one.", f"Prime number {n} it is.", row=n) for n in range(4)]


def mixed_bag() -> list[Record]:
    """Rows of every kind and fate."""
    page = " ".join(f"word{number}" for number in range(80))
    return [
        *GOOD,
        chat("Capital of Peru?", "Lima", row=10),
        chat("capital of  PERU?", "lima", row=11),
        chat("Say something.", "", row=12),
        chat("Say something.", "", row=13),
        chat("Hello", "Hello {{name}}. " + "I do not know what to say to you. " * 20, row=14),
        chat("Name a river.", "Rhine<|endoftext|>", row=15),
        document(page, row=16),
        document(page.replace("word40", "changed"), row=17),
        document(page + " and a longer ending", row=18),
        preference("Which is better?", "This one.", "That one.", row=19),
        preference("Which is better?", "This one.", "Another one.", row=20),
        chat("Rate this.", "A fine answer.", row=21, label=True),
        chat("Rate this.", "A fine answer.", row=22, label=False),
    ]


def node(**settings: object) -> CurateNode:
    """A node without data, for what is asked before a run."""
    values = {"datasets": (), "suites": (), "suites_dir": "evals", "max_length": 512, "seed": 0}
    return CurateNode.model_validate({**values, "model": ModelConfig(), "curate": CurateConfig(), **settings})


def test_every_row_is_kept_or_dropped_with_its_reasons(curate: Callable) -> None:
    records = mixed_bag()
    result = curate(records)
    assert isinstance(result.outcome, Done)
    assert result.funnel.rows_in == len(records) == result.funnel.rows_out + len(result.dropped)
    assert len(result.records) == result.funnel.rows_out
    assert [drop.record for drop in result.dropped] == [records[drop.row] for drop in result.dropped]
    for drop in result.dropped:
        assert list(drop.findings) == [finding for finding in result.findings if finding.row == drop.row]
        assert any(finding.action == "drop" for finding in drop.findings)
    dropped_rows = {finding.row for finding in result.findings if finding.action == "drop"}
    assert dropped_rows == {drop.row for drop in result.dropped}


def test_a_row_keeps_all_its_reasons_and_not_only_the_first(curate: Callable) -> None:
    result = curate(mixed_bag(), filters=RULES)
    assert result.reasons(6) == ["empty_output"]
    assert result.reasons(7) == ["empty_output", "exact_duplicate"]
    assert result.reasons(8) == ["template_placeholder", "repetition"]


def test_counts_tell_unique_from_overlapping_reasons(curate: Callable) -> None:
    result = curate(mixed_bag(), filters=RULES)
    counts = {count.reason: (count.action, count.rows, count.only) for count in result.funnel.reasons}
    assert counts == {
        "empty_output": ("drop", 2, 1),
        "exact_duplicate": ("drop", 2, 1),
        "near_duplicate": ("drop", 2, 2),
        "template_placeholder": ("drop", 1, 0),
        "repetition": ("drop", 1, 0),
        "edge_special_token": ("repair", 1, 1),
    }
    for count in result.funnel.reasons:
        rows = {f.row for f in result.findings if (f.action, f.reason) == (count.action, count.reason)}
        assert len(rows) == count.rows
        assert 1 <= len(count.examples) <= min(3, count.rows)


def test_repaired_rows_go_on_repaired_and_are_neither_dropped_nor_flagged(curate: Callable) -> None:
    result = curate(mixed_bag(), filters=RULES)
    assert chat("Name a river.", "Rhine", row=15) in result.records
    assert result.reasons(9) == [] and result.reasons(9, "repair") == ["edge_special_token"]


def test_an_answer_that_a_repair_leaves_empty_is_dropped_as_it_was_read(curate: Callable) -> None:
    result = curate([*GOOD, chat("Capital?", "<|endoftext|>", row=9)], filters=RULES)
    assert result.reasons(4) == ["empty_output"]
    assert result.dropped[0].record == chat("Capital?", "<|endoftext|>", row=9)


def test_flagged_rows_stay(curate: Callable) -> None:
    flagged = chat("Correct the grammar.\nShe sings well", "She sings well", row=9)
    result = curate([*GOOD, flagged], filters=RULES)
    assert flagged in result.records
    assert result.reasons(4, "flag") == ["output_equals_prompt"]
    assert {(count.reason, count.action) for count in result.funnel.reasons} == {("output_equals_prompt", "flag")}


def test_different_labels_rejections_and_kinds_are_not_copies(curate: Callable) -> None:
    result = curate(mixed_bag(), filters=RULES)
    kept = {record.source.row for record in result.records}
    assert {19, 20, 21, 22} <= kept
    text = "The answer to a question is also the text of a document, word for word, from start to end."
    assert len(curate([document(text), chat("What?", text)], filters=RULES).records) == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_input_decides_nothing(curate: Callable, seed: int) -> None:
    records = mixed_bag() + [
        document(" ".join(f"w{n}" for n in range(start, start + 60)), row=100 + start) for start in range(0, 20, 3)
    ]
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    reference, result = curate(records, filters=RULES), curate(shuffled, filters=RULES)
    assert Counter(result.records) == Counter(reference.records)
    assert [(c.reason, c.action, c.rows, c.only) for c in result.funnel.reasons] == [
        (c.reason, c.action, c.rows, c.only) for c in reference.funnel.reasons
    ]
    assert {frozenset((e.left, e.right)) for e in result.edges} == {
        frozenset((e.left, e.right)) for e in reference.edges
    }
    assert result.records == [r for r in (repaired(s) for s in shuffled) if r in result.records]


def repaired(record: Record) -> Record:
    """The one row of the bag that gets repaired."""
    return chat("Name a river.", "Rhine", row=15) if record.source.row == 15 else record


def test_two_processes_write_the_same_bytes_as_none(
    prepare: Callable, in_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = [prepare(mixed_bag()) for _ in range(2)]
    with_workers = ready[0].run().out_dir
    monkeypatch.setattr("workbench.curate.stage.processes_for", lambda rows: 0)
    alone = ready[1].run().out_dir
    names = ["dropped.jsonl", "edges.jsonl", "findings.jsonl", "funnel.json", "records.jsonl"]
    for directory in (with_workers, alone):
        assert sorted(path.name for path in directory.iterdir()) == names
    assert [(alone / name).read_bytes() for name in names] == [(with_workers / name).read_bytes() for name in names]


def test_scratch_is_gone_in_the_end(prepare: Callable) -> None:
    ready = prepare(mixed_bag())
    ready.run()
    assert list(ready.context.work_dir.iterdir()) == []


def test_thresholds_and_the_choice_of_filters_come_from_the_configuration(curate: Callable) -> None:
    result = curate(
        mixed_bag(),
        filters=("length",),
        max_words=50,
        min_answer_chars=5,
        exact_duplicates=False,
        near_duplicates={"enabled": False},
    )
    assert {finding.reason for finding in result.findings} == {"too_short", "too_long"}
    assert result.edges == [] and result.funnel.near_duplicate_settings == {}
    assert result.funnel.largest_clusters == ()


def test_actions_turn_drops_into_flags_flags_into_drops_and_switch_reasons_off(curate: Callable) -> None:
    rows = [
        *GOOD,
        chat("Say something.", "", row=4),
        chat("Correct the grammar.\nShe sings well", "She sings well", row=5),
        chat("Hello", "I do not know what to say to you. " * 20, row=6),
        chat("capital of  PERU?", "lima", row=7),
        chat("Capital of Peru?", "Lima", row=8),
    ]
    actions = {"empty_output": "flag", "output_equals_prompt": "drop", "repetition": "off", "exact_duplicate": "flag"}
    result = curate(rows, filters=RULES, actions=actions)
    assert {drop.row for drop in result.dropped} == {5}
    assert result.reasons(4, "flag") == ["empty_output"]
    assert result.reasons(5) == ["output_equals_prompt"]
    assert not [finding for finding in result.findings if finding.row == 6]
    assert [finding.action for finding in result.findings if finding.reason == "exact_duplicate"] == ["flag"]


def test_a_repair_that_is_switched_off_leaves_the_text_as_it_is(curate: Callable) -> None:
    row = chat("Name a river.", "Rhine<|endoftext|>", row=9)
    for action in ("off", "flag"):
        actions = {"edge_special_token": action, "special_token_in_text": "flag"}
        result = curate([*GOOD, row], filters=("special_tokens",), actions=actions)
        assert row in result.records
        assert ("edge_special_token" in result.reasons(4, "flag")) == (action == "flag")
    dropped = curate([*GOOD, row], filters=("special_tokens",), actions={"edge_special_token": "drop"})
    assert dropped.dropped[0].record == row


def test_an_unknown_filter_or_reason_is_refused_when_the_run_is_planned_and_when_it_runs(
    curate: Callable, tmp_path: Path
) -> None:
    for settings, message in (
        ({"filters": ("lenght",)}, "did you mean 'length'"),
        ({"actions": {"repetitoin": "flag"}}, "unknown reason 'repetitoin'; did you mean 'repetition'"),
    ):
        with pytest.raises(UsageError, match=message):
            curate(GOOD, **settings)
        with pytest.raises(UsageError, match=message):
            external(node(curate=CurateConfig.model_validate(settings)), tmp_path)


def test_nothing_left_is_written_with_all_reasons(curate: Callable) -> None:
    curated = curate([chat("Q?", ""), chat("Q?", "")], filters=RULES)
    assert (curated.funnel.rows_in, curated.funnel.rows_out, len(curated.dropped)) == (2, 0, 2)


def test_no_records_at_all_is_an_error(curate: Callable) -> None:
    with pytest.raises(IncompleteError, match="no records in data"):
        curate([])


def test_a_damaged_line_is_named(prepare: Callable) -> None:
    ready = prepare(GOOD)
    path = ready.inputs["ingest:data"].part("records.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"id": 3}\n', *lines[3:]]))
    with pytest.raises(IncompleteError, match=r"records.jsonl:3: is no valid Record"):
        ready.run()


def test_changed_suite_documents_change_what_the_stage_depends_on(tmp_path: Path) -> None:
    suite = Suite(
        name="s", kind="lm_eval", role="general", documents=Documents(file="s.jsonl"), primary_metric="acc"
    )
    settings = node(suites=(suite,), curate=CurateConfig(count_tokens=False))
    (tmp_path / "evals").mkdir()
    hashes = []
    for question in ("one?", "two?"):
        (tmp_path / "evals" / "s.jsonl").write_text(f'{{"question": "{question}"}}\n')
        hashes.append(STAGE.external(settings, tmp_path))
    assert hashes[0].keys() == {"suite:s"} and hashes[0] != hashes[1]
    off = CurateConfig.model_validate({"count_tokens": False, "decontamination": {"enabled": False}})
    without = settings.model_copy(update={"curate": off})
    assert STAGE.external(without, tmp_path) == {}


def test_another_model_or_none_changes_what_the_stage_depends_on(tmp_path: Path) -> None:
    missing = external(node(model=ModelConfig(ref="pypi:no-such-distribution")), tmp_path)
    assert missing == {"tokenizer": "absent"}


@pytest.mark.parametrize("looks", range(4))
def test_a_cancelled_stage_commits_nothing(prepare: Callable, looks: int) -> None:
    ready = prepare(GOOD)
    left = iter(range(looks))
    context = replace(ready.context, cancelled=lambda: next(left, None) is None)
    outcome = STAGE.run(ready.config, ready.inputs, context)
    assert outcome == Cancelled()
    assert not (ready.context.out_dir / "funnel.json").exists()
    assert list(ready.context.work_dir.iterdir()) == []


def test_progress_reaches_the_number_of_rows(curate: Callable) -> None:
    events = [event for event in curate(GOOD).said if event.event == "node_progress"]
    assert {(event.done, event.total) for event in events} >= {(0, len(GOOD)), (len(GOOD), len(GOOD))}


def test_lengths_are_word_counts_of_what_is_kept_where_no_tokens_are_counted(curate: Callable) -> None:
    result = curate([document(" ".join(f"{n}x{m}" for m in range(n))) for n in range(1, 101)])
    lengths = result.funnel.lengths
    assert (lengths.unit, lengths.quantiles) == ("words", {"p50": 50, "p90": 90, "p99": 99, "max": 100})
    assert lengths.total == sum(range(1, 101)) and lengths.max_length is None


def test_a_model_that_is_not_installed_leaves_words_and_a_remark(prepare: Callable) -> None:
    ready = prepare(GOOD, count_tokens=True)
    absent = replace(ready, config=ready.config.model_copy(update={"model": ModelConfig(ref="pypi:no-such-model")}))
    result = absent.run()
    assert result.funnel.lengths.unit == "words" and len(result.records) == len(GOOD)
    assert [event.message for event in result.said if event.event == "node_message" and "words" in event.message]


@pytest.mark.slow
def test_tokens_cut_by_the_limit_are_counted_as_training_reads_them(prepare: Callable) -> None:
    from workbench.models.chat import encode_record
    from workbench.models.loading import load_tokenizer

    rows = [
        *GOOD,
        chat("Short question?", "word " * 100, row=4),
        chat("Long question " + "and so on " * 60, "A word.", row=5),
    ]
    ready = prepare(rows, count_tokens=True, filters=())
    limited = replace(ready, config=ready.config.model_copy(update={"max_length": 64}))
    result = limited.run()
    tokenizer = load_tokenizer(ModelConfig(), Path())
    whole = [encode_record(tokenizer, record, 10_000, None) for record in rows[:5]]
    cut = [max(0, len(encoded.input_ids) - 64) for encoded in whole]
    lengths = result.funnel.lengths
    assert lengths.unit == "tokens" and lengths.max_length == 64
    assert lengths.total == sum(len(encoded.input_ids) for encoded in whole)
    assert (lengths.rows_cut, lengths.tokens_cut) == (sum(map(bool, cut)), sum(cut)) and lengths.rows_cut == 1
    assert lengths.answers_cut_away == 1
    assert result.reasons(5) == ["too_long", "no_trainable_tokens"]
    assert result.reasons(4, "flag") == ["truncated_by_limit"]


def test_balance_is_that_of_the_kept_rows(curate: Callable) -> None:
    rows = [chat(f"Is {n} a prime number or not?", "yes" if n % 4 else "no", row=n) for n in range(100, 140)]
    result = curate([*rows, chat("Is it?", "", row=200)], near_duplicates={"enabled": False})
    answers = next(table for table in result.funnel.balance if table.by == "answer")
    kept = Counter(record.answer() for record in result.records)
    assert {group.value: group.rows for group in answers.groups} == kept and len(kept) == 2


def test_the_variety_of_the_kept_prompts_is_counted_and_shown(curate: Callable) -> None:
    rows = [chat("to be or not to be", "yes", row=0), chat("to be, then", "no", row=1), chat("so it is", "", row=2)]
    result = curate(rows, near_duplicates={"enabled": False}, filters=("empty_output",))
    # to be, be or, or not, not to, to be | to be, be then: five different pairs among seven.
    assert result.funnel.distinct_2 == pytest.approx(5 / 7)
    assert "Variety of the prompts: distinct-2 0.71" in render_funnel(result.funnel)
    documents = curate([document("A text without a prompt.")])
    assert documents.funnel.distinct_2 is None and "distinct-2" not in render_funnel(documents.funnel)


def test_the_page_shows_the_funnel_and_defuses_control_characters(curate: Callable) -> None:
    result = curate([*mixed_bag(), chat("Clear the screen \x1b[2J and more", "", row=50)], filters=RULES)
    page = render_funnel(result.funnel)
    lines = page.splitlines()
    assert lines[0] == f"18 rows in, {result.funnel.rows_out} kept ({result.funnel.rows_out / 18:.1%})"
    assert "\x1b" not in page and "\\x1b[2J" in page
    row = next(line.split() for line in lines if line.startswith("exact_duplicate"))
    assert row[:5] == ["exact_duplicate", "drop", "2", "1", "11.1%"]
    assert "3 rows, similarity from 0.8" in page and "kept: word0 word1 word2" in page
    assert all(line == line.rstrip() and len(line) <= 110 for line in lines)
