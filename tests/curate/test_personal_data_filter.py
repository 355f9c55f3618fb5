from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from record_makers import chat, document, preference

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record, Source, ToolCall, record_id
from workbench.curate.filters import personal_data
from workbench.curate.filters.contract import Subject

MAIL, PHONE = "ann.lee@acme.io", "+44 20 7946 0018"


def config(action: str = "flag", **curate: object) -> CurateConfig:
    return CurateConfig.model_validate({"personal_data": {"action": action}, **curate})


def verdicts(record: Record, settings: CurateConfig | None = None) -> list[tuple[str, str]]:
    return [(found.action, found.reason) for found in personal_data.check(Subject(record), settings or config())]


def conversation() -> Record:
    """Personal data in every place that a record has."""
    turns = (
        Message(role="system", content=f"You answer for {MAIL}."),
        Message(role="user", content=f"Mail {MAIL}, or ring {PHONE}."),
        Message(
            role="assistant",
            content="",
            tool_calls=(ToolCall(name="send", arguments=json.dumps({"to": MAIL, "text": f"a\n{MAIL}"})),),
        ),
        Message(role="tool", content=json.dumps({"phone": 4155550132, "sent": True, "to": [MAIL]})),
        Message(role="assistant", content=f"Done: {MAIL} has it."),
    )
    return Record(
        id=record_id("chat", turns),
        kind="chat",
        messages=turns,
        tools=json.dumps([{"name": "send", "example": {"to": MAIL}}]),
        source=Source(dataset="data"),
    )


def test_each_kind_is_flagged_once_with_places_and_hints() -> None:
    found = personal_data.check(Subject(conversation()), config())
    assert [(one.action, one.reason) for one in found] == [("flag", "pii_email"), ("flag", "pii_phone")]
    places = "system turn, user turn, assistant turn (tool call), tool turn, answer, tools"
    assert found[0].detail.startswith(f"7 in the {places}, such as ")
    assert found[0].detail.endswith("such as a***@a***.io")
    assert MAIL not in str(found) and "4155550132" not in str(found)


def test_documents_and_both_endings_of_a_preference_are_searched() -> None:
    assert verdicts(document(MAIL)) == [("flag", "pii_email")]
    assert verdicts(preference("Who?", MAIL, PHONE)) == [("flag", "pii_email"), ("flag", "pii_phone")]
    assert verdicts(chat("Who?", "Nobody.")) == []


def test_the_action_is_a_setting_and_so_are_the_kinds() -> None:
    assert verdicts(document(MAIL), config("drop")) == [("drop", "pii_email")]
    only_phones = CurateConfig.model_validate({"personal_data": {"kinds": ["phone"]}})
    assert verdicts(document(f"{MAIL} {PHONE}"), only_phones) == [("flag", "pii_phone")]
    assert personal_data.repair(document(MAIL), config("flag")) == []


def test_masking_repairs_every_turn_and_leaves_nothing_to_flag() -> None:
    repairs = personal_data.repair(conversation(), config("mask"))
    assert [one.reason for one in repairs] == ["pii_email", "pii_phone"]
    assert repairs[0].detail == "masked 7 as <EMAIL>"
    mended = repairs[-1].record
    assert mended.messages[1].content == "Mail <EMAIL>, or ring <PHONE>."
    assert json.loads(mended.messages[2].tool_calls[0].arguments) == {"to": "<EMAIL>", "text": "a\n<EMAIL>"}
    assert json.loads(mended.messages[3].content) == {"phone": "<PHONE>", "sent": True, "to": ["<EMAIL>"]}
    assert json.loads(mended.tools or "") == [{"name": "send", "example": {"to": "<EMAIL>"}}]
    assert mended.id == record_id("chat", mended.messages) != conversation().id
    assert verdicts(mended, config("mask")) == [] and personal_data.repair(mended, config("mask")) == []


def test_masking_reaches_documents_and_both_endings() -> None:
    (one,) = personal_data.repair(document(f"Write to {MAIL}."), config("mask"))
    assert one.record == document("Write to <EMAIL>.")
    (one,) = personal_data.repair(preference("Who?", f"{MAIL}", f"not {MAIL}"), config("mask"))
    assert one.record == preference("Who?", "<EMAIL>", "not <EMAIL>")


def test_json_that_masking_does_not_break_keeps_its_spelling() -> None:
    spaced = '{ "to":  "ann.lee@acme.io",\n "n": 1e3 }'
    (one,) = personal_data.repair(chat("Send it.", spaced), config("mask"))
    assert one.record.answer() == '{ "to":  "<EMAIL>",\n "n": 1e3 }'
    broken = '{"to": ann.lee@acme.io'
    (one,) = personal_data.repair(chat("Send it.", broken), config("mask"))
    assert one.record.answer() == '{"to": <EMAIL>'


def test_a_kind_with_an_action_of_its_own_is_not_masked_but_judged() -> None:
    settings = config("mask", actions={"pii_email": "drop"})
    record = document(f"{MAIL} {PHONE}")
    (one,) = personal_data.repair(record, settings)
    assert one.record == document(f"{MAIL} <PHONE>")
    assert verdicts(one.record, settings) == [("flag", "pii_email")]


@pytest.mark.timeout(10)
def test_json_nested_deeply_is_masked_as_text() -> None:
    nested = "[" * 50_000 + f'"{MAIL}"' + "]" * 50_000
    (one,) = personal_data.repair(chat("Send it.", nested), config("mask"))
    assert one.record.answer() == nested.replace(MAIL, "<EMAIL>")


def test_every_reason_is_announced() -> None:
    kinds = CurateConfig().personal_data.kinds
    assert set(personal_data.FILTER.reasons) == {f"pii_{kind}" for kind in kinds}


def test_the_guide_names_every_kind() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text(encoding="utf-8")
    assert all(f"`{reason}`" in guide for reason in personal_data.REASONS)


def test_real_instructions_hold_no_cards_accounts_or_numbers_by_mistake() -> None:
    shared = Path(os.environ.get("WORKBENCH_SHARED_DATA", "../shared/data")) / "formats" / "alpaca_en_demo.json"
    if not shared.is_file():
        pytest.skip(f"{shared} is not there (set WORKBENCH_SHARED_DATA)")
    rows = json.loads(shared.read_text(encoding="utf-8"))
    reasons = [reason for row in rows for _, reason in verdicts(chat(row["instruction"] + row["input"], row["output"]))]
    # Read one by one: two rows with made-up addresses, one made-up number, one password made up on request.
    assert sorted(reasons) == ["pii_email", "pii_email", "pii_phone", "pii_secret"]
