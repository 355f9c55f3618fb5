from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from record_makers import chat, document, preference

from workbench.core.config import CurateConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.core.stage import Cancelled, Done
from workbench.core.suites import Documents, Suite
from workbench.curate.stage import STAGE, external
from workbench.curate.summary import render_funnel

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
        chat("Hello", "I do not know. " * 6 + "{{name}}", row=14),
        chat("Name a river.", "Rhine<|endoftext|>", row=15),
        document(page, row=16),
        document(page.replace("word40", "changed"), row=17),
        document(page + " and a longer ending", row=18),
        preference("Which is better?", "This one.", "That one.", row=19),
        preference("Which is better?", "This one.", "Another one.", row=20),
        chat("Rate this.", "A fine answer.", row=21, label=True),
        chat("Rate this.", "A fine answer.", row=22, label=False),
    ]


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
    result = curate(mixed_bag())
    assert result.reasons(6) == ["empty_output", "too_short"]
    assert result.reasons(7) == ["empty_output", "too_short", "exact_duplicate"]
    assert result.reasons(8) == ["template_placeholder", "repetition"]


def test_counts_tell_unique_from_overlapping_reasons(curate: Callable) -> None:
    result = curate(mixed_bag())
    counts = {count.reason: (count.action, count.rows, count.only) for count in result.funnel.reasons}
    assert counts["empty_output"] == ("drop", 2, 0)
    assert counts["too_short"] == ("drop", 2, 0)
    assert counts["exact_duplicate"] == ("drop", 2, 1)
    assert counts["repetition"] == ("drop", 1, 0)
    assert counts["near_duplicate"] == ("drop", 2, 2)
    assert counts["edge_special_token"] == ("repair", 1, 1)
    for count in result.funnel.reasons:
        rows = {f.row for f in result.findings if (f.action, f.reason) == (count.action, count.reason)}
        assert len(rows) == count.rows
        assert 1 <= len(count.examples) <= min(3, count.rows)


def test_repaired_rows_go_on_repaired_and_are_neither_dropped_nor_flagged(curate: Callable) -> None:
    result = curate(mixed_bag())
    assert chat("Name a river.", "Rhine", row=15) in result.records
    assert result.reasons(9) == [] and result.reasons(9, "repair") == ["edge_special_token"]


def test_an_answer_that_a_repair_leaves_empty_is_dropped_as_it_was_read(curate: Callable) -> None:
    result = curate([*GOOD, chat("Capital?", "<|endoftext|>", row=9)])
    assert result.reasons(4) == ["empty_output", "too_short"]
    assert result.dropped[0].record == chat("Capital?", "<|endoftext|>", row=9)


def test_flagged_rows_stay(curate: Callable) -> None:
    flagged = chat("Correct the grammar.\nShe sings well", "She sings well", row=9)
    result = curate([*GOOD, flagged])
    assert flagged in result.records
    assert result.reasons(4, "flag") == ["output_equals_prompt"]
    assert {(count.reason, count.action) for count in result.funnel.reasons} == {("output_equals_prompt", "flag")}


def test_different_labels_rejections_and_kinds_are_not_copies(curate: Callable) -> None:
    result = curate(mixed_bag())
    kept = {record.source.row for record in result.records}
    assert {19, 20, 21, 22} <= kept
    text = "The answer to a question is also the text of a document, word for word, from start to end."
    assert len(curate([document(text), chat("", text)]).records) == 2


def test_the_order_of_the_input_decides_nothing(curate: Callable) -> None:
    records = mixed_bag() + [
        document(" ".join(f"w{n}" for n in range(start, start + 60)), row=100 + start) for start in range(0, 20, 3)
    ]
    reference = curate(records)
    for seed in range(4):
        shuffled = list(records)
        random.Random(seed).shuffle(shuffled)
        result = curate(shuffled)
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


def test_the_same_input_gives_the_same_bytes(curate: Callable, tmp_path: Path) -> None:
    curate(mixed_bag())
    curate(mixed_bag())
    first, second = (sorted((tmp_path / name / "out").iterdir()) for name in "01")
    assert [path.name for path in first] == [
        "dropped.jsonl", "edges.jsonl", "findings.jsonl", "funnel.json", "records.jsonl",
    ]  # fmt: skip
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_thresholds_and_the_choice_of_filters_come_from_the_configuration(curate: Callable) -> None:
    result = curate(
        mixed_bag(),
        filters=("length",),
        max_words=50,
        exact_duplicates=False,
        near_duplicates={"enabled": False},
    )
    assert {finding.reason for finding in result.findings} == {"too_short", "too_long"}
    assert result.edges == [] and result.funnel.near_duplicate_settings == {}


def test_nothing_left_is_an_error_that_says_which_reasons_took_it(curate: Callable) -> None:
    message = r"nothing is left of 2 records.*empty_output 2, too_short 2, exact_duplicate 1"
    with pytest.raises(IncompleteError, match=message) as hit:
        curate([chat("Q?", ""), chat("Q?", "")])
    assert hit.value.exit_code == 3 and hit.value.next_step


def test_no_records_at_all_is_an_error(curate: Callable) -> None:
    with pytest.raises(IncompleteError, match="no records in data"):
        curate([])


def test_an_unknown_filter_is_refused_when_the_run_is_planned_and_when_it_runs(
    curate: Callable, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="did you mean 'length'"):
        curate(GOOD, filters=("lenght",))
    node = CurateNode(curate=CurateConfig(filters=("lenght",)), datasets=(), suites=(), suites_dir="evals")
    with pytest.raises(UsageError, match="did you mean 'length'"):
        external(node, tmp_path)


def test_changed_suite_documents_change_what_the_stage_depends_on(tmp_path: Path) -> None:
    suite = Suite(
        name="s", kind="lm_eval", role="general", documents=Documents(file="s.jsonl"), primary_metric="acc"
    )
    node = CurateNode(curate=CurateConfig(), datasets=(), suites=(suite,), suites_dir="evals")
    (tmp_path / "evals").mkdir()
    hashes = []
    for question in ("one?", "two?"):
        (tmp_path / "evals" / "s.jsonl").write_text(f'{{"question": "{question}"}}\n')
        hashes.append(STAGE.external(node, tmp_path))
    assert hashes[0].keys() == {"suite:s"} and hashes[0] != hashes[1]
    without = node.model_copy(update={"curate": CurateConfig(decontamination={"enabled": False})})
    assert STAGE.external(without, tmp_path) == {}


def test_a_cancelled_stage_stops_and_writes_nothing(prepare: Callable) -> None:
    ready = prepare(GOOD)
    context = replace(ready.context, cancelled=lambda: True)
    assert STAGE.run(ready.config, ready.inputs, context) == Cancelled()
    assert not list(context.out_dir.glob("*"))


def test_progress_reaches_the_number_of_rows(curate: Callable) -> None:
    events = [event for event in curate(GOOD).said if event.event == "node_progress"]
    assert {(event.done, event.total) for event in events} >= {(0, len(GOOD)), (len(GOOD), len(GOOD))}


def test_quantiles_are_word_counts_of_what_is_kept(curate: Callable) -> None:
    result = curate([document(" ".join(f"{n}x{m}" for m in range(n))) for n in range(1, 101)])
    assert result.funnel.token_quantiles == {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert result.funnel.token_unit == "words"


def test_the_table_shows_the_funnel_and_defuses_control_characters(curate: Callable) -> None:
    result = curate([*mixed_bag(), chat("Clear the screen \x1b[2J and more", "", row=50)])
    table = render_funnel(result.funnel, result.edges)
    lines = table.splitlines()
    kept = len(result.records)
    assert lines[0] == f"{len(mixed_bag()) + 1} rows in, {kept} out ({kept / 18:.1%} kept)"
    assert "\x1b" not in table and "\\x1b[2J" in table
    row = next(line.split() for line in lines if line.startswith("exact_duplicate"))
    assert row == ["exact_duplicate", "drop", "2", "1", "11.1%"]
    assert "2 verified" in table
    assert all(line == line.rstrip() for line in lines)
