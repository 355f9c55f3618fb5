"""Items that must pass: one lost is a regression at once, named, with the people to ask."""

from __future__ import annotations

from comparisons import pair, suite, verdict

from workbench.core.suites import Documents, Suite


def frozen(**fields: object) -> Suite:
    values = {"name": "frozen", "kind": "regression", "role": "general", "primary_metric": "acc", **fields}
    return Suite.model_validate({**values, "documents": Documents(file="frozen.jsonl"), "allowed_failures": 5})


LOST = suite("frozen", kind="regression", n=60, forgotten=1, noise_flips=9, must_pass_lost=("2 + 2 =\x1b[2J",))


def test_a_lost_item_that_must_pass_fails_whatever_is_allowed() -> None:
    found = verdict(pair(LOST), suites=(frozen(),))

    assert found.state == "regressed"
    assert found.decisive.suites[0].reason == "Items that must pass are lost: 2 + 2 =\\x1b[2J."
    held = LOST.model_copy(update={"must_pass_lost": ()})
    assert verdict(pair(held), suites=(frozen(),)).state == "passed"


def test_owners_are_named_where_their_suite_regressed_and_nowhere_else() -> None:
    owned = frozen(owners=("ana", "team-ml"))

    assert verdict(pair(LOST), suites=(owned,)).decisive.suites[0].reason.endswith("Ask ana, team-ml.")
    held = LOST.model_copy(update={"must_pass_lost": ()})
    assert "ana" not in verdict(pair(held), suites=(owned,)).decisive.suites[0].reason
