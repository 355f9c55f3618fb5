"""States of suites and runs: every one is reachable, and the first rule that applies decides."""

from __future__ import annotations

import math
from typing import Any

import pytest
from comparisons import (
    at_ceiling,
    at_chance,
    between,
    improved,
    judged,
    pair,
    regressed,
    suite,
    trust,
    unchanged,
    unclear,
    verdict,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import IncompleteError
from workbench.core.results import SuiteComparison
from workbench.core.suites import Documents, Suite


def state(found: SuiteComparison, **options: Any) -> str:
    return verdict(pair(found), **options).decisive.suites[0].state


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (suite(n=0), "not comparable"),
        (suite(obstacles=("documents differ",)), "not comparable"),
        (suite(failed_after=7), "not comparable"),
        (at_chance(), "not informative"),
        (at_ceiling(), "not informative"),
        (regressed(), "regressed"),
        (improved(), "improved"),
        (suite(), "non-inferior"),
        (unchanged(), "non-inferior"),
        (unchanged(margin=0), "non-inferior"),
        (unclear(), "inconclusive"),
        (suite(gain=between(-0.09, -0.02)), "inconclusive"),
        (suite(margin=0, gain=between(-0.01, 0.01)), "inconclusive"),
    ],
)
def test_every_state_is_reached(found: SuiteComparison, expected: str) -> None:
    assert state(found) == expected


def test_the_order_of_the_states_is_that_of_the_contract() -> None:
    """One suite to which every rule applies, and from which the reasons are taken away one after the other."""
    won = {"p_improved_holm": 1e-6}
    everything = at_chance(obstacles=("documents differ",), gain=between(-0.2, -0.1), **won)
    assert state(everything) == "not comparable"
    comparable = everything.model_copy(update={"obstacles": ()})
    assert state(comparable) == "not informative"
    informative = comparable.model_copy(update={"chance": None})
    assert state(informative) == "regressed"
    no_loss = informative.model_copy(update={"gain": between(0.01, 0.2)})
    assert state(no_loss) == "improved"
    no_claim = no_loss.model_copy(update={"p_improved_holm": 0.2})
    assert state(no_claim) == "non-inferior"
    assert state(no_claim.model_copy(update={"gain": between(-0.1, 0.2)})) == "inconclusive"


def test_a_ceiling_hides_gains_and_not_losses() -> None:
    assert state(at_ceiling(gain=between(0.001, 0.02), p_improved_holm=0.001)) == "not informative"
    assert state(at_ceiling(gain=between(-0.4, -0.3))) == "regressed"
    assert state(at_ceiling(), ceiling=0.99) == "non-inferior"


def test_chance_counts_only_within_the_interval_of_the_base() -> None:
    assert state(at_chance(before=between(0.26, 0.4))) == "non-inferior"
    learned = verdict(pair(at_chance(after=between(0.8, 0.9)))).decisive.suites[0]
    assert learned.state == "not informative" and "above guessing" in learned.reason


def test_an_improvement_needs_holm_and_an_interval_above_zero() -> None:
    assert state(suite(gain=between(0.01, 0.05), p_improved_holm=0.049)) == "improved"
    assert state(suite(gain=between(0.01, 0.05), p_improved_holm=0.051)) == "non-inferior"
    assert state(suite(gain=between(-0.001, 0.05), p_improved_holm=0.03)) == "non-inferior"


FROZEN = Suite(
    name="frozen",
    kind="regression",
    role="general",
    documents=Documents(file="frozen.jsonl"),
    primary_metric="acc",
    allowed_failures=2,
)


@pytest.mark.parametrize(
    ("forgotten", "noise", "expected"),
    [(2, None, "non-inferior"), (3, None, "regressed"), (3, 1, "non-inferior"), (4, 1, "regressed")],
)
def test_frozen_items_are_judged_by_allowed_failures_and_the_noise_of_the_arm(
    forgotten: int, noise: int | None, expected: str
) -> None:
    # The interval alone would say regressed, and the base at 100% not informative: neither counts here.
    fields = {"kind": "regression", "forgotten": forgotten, "noise_flips": noise, "gain": between(-0.3, -0.1)}
    found = at_ceiling("frozen", **fields)
    assert state(found, suites=(FROZEN,)) == expected


def test_without_a_number_the_margin_says_how_many_frozen_items_may_fail() -> None:
    found = at_ceiling("frozen", kind="regression", n=60, margin=0.05, forgotten=3)
    assert state(found) == "non-inferior"
    assert state(found.model_copy(update={"forgotten": 4})) == "regressed"


def frozen(**fields: Any) -> SuiteComparison:
    """300 items, of which 2 may fail, and one by the A/A arm's flips."""
    return suite("frozen", **{"kind": "regression", "noise_flips": 1, "learned": 0, **fields})


@pytest.mark.parametrize(
    ("forgotten", "kept", "expected"),
    [(0, 294, "non-inferior"), (0, 4, "non-inferior"), (4, 0, "regressed"), (0, 3, "not informative")],
)
def test_frozen_items_say_nothing_only_where_losing_all_that_the_base_gets_right_is_allowed(
    forgotten: int, kept: int, expected: str
) -> None:
    found = frozen(forgotten=forgotten, kept=kept, never=300 - forgotten - kept)
    assert state(found, suites=(FROZEN,)) == expected
    if expected == "not informative":
        reason = verdict(pair(found), suites=(FROZEN,)).decisive.suites[0].reason
        assert "gets 3 of 300 frozen items right" in reason and "2 may fail, and 1 by the A/A arm's flips" in reason
        must_pass = found.model_copy(update={"must_pass_right": 1})
        assert state(must_pass, suites=(FROZEN,)) == "non-inferior", "losing this one would be a regression"


def test_items_of_a_chat_that_the_adapter_is_to_learn_silence_no_promise() -> None:
    chat = FROZEN.model_copy(update={"allowed_failures": 0})
    mixed = frozen(noise_flips=None, n=31, forgotten=0, kept=30, learned=1, never=0)
    assert state(mixed, suites=(chat,)) == "non-inferior"
    learned_alone = mixed.model_copy(update={"n": 5, "kept": 0, "learned": 5})
    assert state(learned_alone, suites=(chat,)) == "not informative"


def test_a_trusted_judge_counts_and_another_is_shown_and_left_out() -> None:
    counted = verdict(pair(judged(p_improved_holm=1e-4)), judge=trust(True))
    assert counted.decisive.suites[0].state == "improved" and counted.state == "passed"
    left_out = verdict(pair(suite(), judged(gain=between(-0.4, -0.3))), judge=trust(False))
    shown = left_out.decisive.suites[1]
    assert (shown.state, shown.gated) == ("not informative", False) and "kappa 0.04" in shown.reason
    assert left_out.state == "passed" and "answers (judge not trusted)" in left_out.headline
    unchecked = verdict(pair(suite(), judged()))
    assert unchecked.decisive.suites[1].state == "not informative"


@pytest.mark.parametrize(
    ("suites", "expected", "code"),
    [
        ((suite(), improved()), "passed", 0),
        ((improved(), at_chance(), suite()), "passed", 0),
        ((suite(), regressed("style", gated=False)), "passed", 0),
        ((suite(), unclear(gated=False)), "passed", 0),
        ((suite(), suite("style", n=0, gated=False)), "passed", 0),
        ((suite(), improved(), regressed()), "regressed", 1),
        ((regressed(), suite("capitals", n=0)), "regressed", 1),
        ((suite(), suite("capitals", n=0)), "not comparable", 3),
        ((unclear(), suite("copying", n=0)), "not comparable", 3),
        ((), "not comparable", 3),
        ((suite(), unclear()), "inconclusive", 0),
        ((at_chance(), at_ceiling()), "inconclusive", 0),
        ((suite(gated=False), improved(gated=False)), "inconclusive", 0),
    ],
)
def test_the_run_follows_from_its_gated_suites(suites: tuple[SuiteComparison, ...], expected: str, code: int) -> None:
    found = verdict(pair(*suites))
    assert (found.state, found.exit_code) == (expected, code)
    assert found.decisive.reasons


def test_strict_makes_doubt_a_failure_and_nothing_else() -> None:
    assert verdict(pair(unclear()), strict=True).exit_code == 1
    assert verdict(pair(suite()), strict=True).exit_code == 0
    assert verdict(pair(suite(n=0)), strict=True).exit_code == 3


def test_arms_under_other_conditions_decide_nothing() -> None:
    found = verdict(pair(improved(), regressed(), obstacles=("precision differs: nf4 in base, bf16 in candidate",)))
    assert (found.state, found.exit_code) == ("not comparable", 3)
    assert {entry.state for entry in found.decisive.suites} == {"not comparable"}
    assert "precision differs" in found.headline


def test_a_number_that_is_none_never_passes() -> None:
    broken = suite().model_copy(update={"gain": between(0, 0).model_copy(update={"low": math.nan})})
    assert state(broken) == "not comparable"


def test_without_a_deciding_pair_there_is_no_verdict() -> None:
    with pytest.raises(IncompleteError, match="candidate"):
        verdict(pair(suite(), purpose="sham"))


def test_other_pairs_are_judged_and_decide_nothing() -> None:
    found = verdict(pair(suite()), pair(regressed(), purpose="quantisation"))
    assert found.state == "passed"
    assert [(other.purpose, other.state) for other in found.others] == [("quantisation", "regressed")]


def test_a_sham_pair_comes_out_as_nothing_changed() -> None:
    found = verdict(pair(improved()), pair(unchanged(), unchanged("copying"), purpose="sham"))
    assert found.others[0].nothing_changed and found.others[0].state == "passed"
    unchanged_pair = "Nothing changed: all 600 documents of 2 suites scored the same to the last bit."
    assert found.others[0].reasons[0] == unchanged_pair
    assert not found.decisive.nothing_changed and "sham" not in found.headline


def test_a_sham_pair_that_changed_something_casts_doubt_on_the_headline() -> None:
    found = verdict(pair(improved()), pair(unchanged(), suite("copying"), purpose="sham"))
    assert not found.others[0].nothing_changed
    assert "sham adapter" in found.headline and "copying" in found.headline
    assert any("sham adapter" in reason for reason in found.decisive.reasons)


def test_a_sham_pair_that_differs_by_rounding_raises_no_alarm() -> None:
    rounding = improved(gain=between(-1e-6, 1e-6), p_improved_holm=1.0)
    assert "sham adapter" not in verdict(pair(suite()), pair(unchanged(), rounding, purpose="sham")).headline


def test_equal_scores_of_few_documents_are_no_proof_that_nothing_was_lost() -> None:
    few = unchanged(n=20, gain=between(-0.16, 0.16))
    found = verdict(pair(few))
    assert found.decisive.nothing_changed and found.state == "inconclusive"
    assert (
        found.headline.startswith("Nothing changed: all 20 documents")
        and "inconclusive on agreement" in found.headline.lower()
    )


def test_a_candidate_that_changed_nothing_is_said_to_have_changed_nothing() -> None:
    found = verdict(pair(unchanged(), unchanged("copying")))
    assert found.headline == "Nothing changed: all 600 documents of 2 suites scored the same to the last bit."
    assert found.decisive.nothing_changed and found.state == "passed"


def test_documents_that_failed_are_not_said_to_have_scored_the_same() -> None:
    failed = unchanged(failed_before=4, failed_after=4)
    found = verdict(pair(failed, unchanged("copying")))
    assert found.headline == (
        "Nothing changed: all 596 documents of 2 suites scored the same to the last bit; 4 failed in both arms."
    )
    assert "scored the same" not in found.decisive.suites[0].reason
    obstructed = failed.model_copy(update={"obstacles": ("4 of 300 documents failed before",)})
    not_said = verdict(pair(obstructed, unchanged("copying")))
    assert not_said.decisive.nothing_changed, "no alarm about what did not change"
    assert "Nothing changed" not in not_said.headline + not_said.decisive.reasons[0]


suites_drawn = st.builds(
    lambda low, width, gated, chance, n: suite(gain=between(low, low + width), gated=gated, chance=chance, n=n),
    st.floats(-0.5, 0.4),
    st.floats(0, 0.2),
    st.booleans(),
    st.sampled_from([None, 0.25, 0.8]),
    st.sampled_from([0, 50, 300]),
)


@given(st.lists(suites_drawn, max_size=5))
@settings(max_examples=150, deadline=None)
def test_a_run_passes_only_if_a_gated_suite_held_and_none_failed(drawn: list[SuiteComparison]) -> None:
    named = [found.model_copy(update={"suite": f"s{index}"}) for index, found in enumerate(drawn)]
    found = verdict(pair(*named))
    states = [entry.state for entry in found.decisive.suites if entry.gated]
    held = {"improved", "non-inferior"}
    assert (found.state == "passed") == (
        any(entry in held for entry in states) and all(entry in held | {"not informative"} for entry in states)
    )
    assert (found.exit_code == 1) == ("regressed" in states)
