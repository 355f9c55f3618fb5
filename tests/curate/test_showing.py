from __future__ import annotations

from collections.abc import Callable

import pytest
from record_makers import chat, document

from workbench.core.suites import Documents, Suite
from workbench.curate.showing import shown_detail, shown_text
from workbench.curate.summary import render_funnel
from workbench.text.personal_data import masked

MAIL, PHONE, KEY = "ann.lee@acme.io", "+44 20 7946 0018", "ghp_" + "x7Kq2Zr9Lm4Tw8Yb3Nc6Vd1Hs5Gf0Jp2Rt8X"[:36]


def test_every_kind_is_masked_whatever_is_configured(curate: Callable) -> None:
    text = f"Write to {MAIL} or ring {PHONE} with {KEY}."
    assert shown_text(chat(text, MAIL)) == "Write to <EMAIL> or ring <PHONE> with <SECRET>.\n<EMAIL>"
    result = curate([chat(text, "", row=1), document("Rain in the hills.")], filters=("empty_output",))
    assert result.funnel.reasons[0].examples == (
        "Write to <EMAIL> or ring <PHONE> with <SECRET>.\n[the answer is empty]",
    )


def test_no_reason_shows_a_value_and_what_was_dropped_stays_whole(curate: Callable) -> None:
    asked = f"Which of the nine planets does our friend {MAIL} want to visit in the coming year?"
    suite = Suite(
        name="planets", kind="lm_eval", role="general", documents=Documents(file="planets.jsonl"), primary_metric="acc"
    )
    rows = [
        chat("Who answers letters?", MAIL, row=0),
        chat("who answers  letters?", MAIL, row=1),
        chat(asked, "Mars.", row=2),
        chat(f"Ring {PHONE} now.", f"The key is {KEY}", row=3),
        *(document(f"A page about {KEY} and the rain in the hills, part {part}.", row=4 + part) for part in range(3)),
    ]
    result = curate(rows, [(suite, [{"question": asked}])])
    reasons = {count.reason for count in result.funnel.reasons}
    assert {"exact_duplicate", "near_duplicate", "contaminated", "pii_email", "pii_phone", "pii_secret"} <= reasons
    shown = result.funnel.model_dump_json() + render_funnel(result.funnel)
    assert [value for value in (MAIL, PHONE, KEY, KEY[:12]) if value in shown] == []
    assert "<EMAIL>" in shown and "<SECRET>" in shown and "friend <EMAIL> want to visit" in shown
    assert "friend <EMAIL> want to visit" in result.detail(2, "contaminated"), "the report quotes the finding itself"
    assert {drop.row: drop.record for drop in result.dropped} == {drop.row: rows[drop.row] for drop in result.dropped}
    assert MAIL in result.dropped[0].record.full_text()


@pytest.mark.parametrize("kept", [KEY[:20], KEY[10:], MAIL[:-3]], ids=["beginning", "end", "address"])
def test_a_value_that_a_detail_cut_short_is_masked_too(kept: str) -> None:
    record = chat(f"Mail {MAIL}.", f"Use {KEY}")
    said = f"ends in 'it is {kept}', which is no end"
    assert masked(said) == said
    mask = "<EMAIL>" if kept in MAIL else "<SECRET>"
    assert shown_detail(said, record) == f"ends in 'it is {mask}', which is no end"


def test_words_that_a_value_shares_by_chance_stay() -> None:
    record = chat("Mail support@acme.io.", "Done.")
    assert shown_detail("'support' in the answer", record) == "'support' in the answer"


def test_frequent_values_are_shown_masked(curate: Callable) -> None:
    rows = [chat(f"Who wrote letter {number}?", MAIL, row=number) for number in range(3)]
    table = next(table for table in curate(rows).funnel.balance if table.by == "answer")
    assert [(group.value, group.rows) for group in table.groups] == [("<EMAIL>", 3)]
