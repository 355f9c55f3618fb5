"""The model card: numbers from the run's artifacts, text from outside as text, and what is missing said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from manifests import made_up_manifest

from workbench.adapters.export.model_card import model_card, readable
from workbench.adapters.export.record import ExportRecord
from workbench.core.parts import write_model
from workbench.core.results import (
    Comparison,
    Interval,
    MixSummary,
    PairComparison,
    PairVerdict,
    Share,
    SuiteComparison,
    SuiteVerdict,
    Verdict,
)
from workbench.core.stage import Artifact

RECORD = ExportRecord(
    name="capitals",
    reference="capitals@3",
    format="merged",
    merged_into="full",
    base="org/base",
    base_fingerprint="org/base@" + "0" * 40,
    base_licence="apache-2.0",
    precision="nf4",
    method="qlora",
    adapter_sha256="ab" * 32,
    run="capitals-1",
    serve="vllm serve out",
    made_at="2026-01-01T00:00:00Z",
    workbench_version="0",
)


def suite(name: str, unit: Any, before: float, after: float, gain: Interval, **more: Any) -> SuiteComparison:
    exact = {"before": Interval(value=before, low=before, high=before), "after": Interval(value=after, low=0, high=9)}
    counts = dict.fromkeys(("unpaired", "failed_before", "failed_after", "unparsed_before", "unparsed_after"), 0)
    numbers = dict.fromkeys(("p_improved", "p_improved_holm", "p_value"), 0.5)
    return SuiteComparison(
        suite=name,
        task=name,
        filter="none",
        metric="acc" if unit == "accuracy" else "nll",
        kind="lm_eval",
        role="general",
        unit=unit,
        gated=True,
        margin=0.05,
        higher_is_better=unit == "accuracy",
        n=200,
        gain=gain,
        gain_se=0.01,
        method="paired",
        test="paired",
        identical=False,
        mde=0.05,
        **(exact | counts | numbers | more),
    )


def artifact(root: Path, node: str, config: dict[str, Any], **parts: Any) -> Artifact:
    for name, model in parts.items():
        write_model(root / node / f"{name}.json", model)
    return Artifact(root / node, made_up_manifest(node, config))


def run_artifacts(root: Path) -> dict[str, Artifact]:
    """A compared and judged run with one dataset, whose description is hostile."""
    suites = (
        suite("capitals", "accuracy", 0.83, 0.84, Interval(value=0.01, low=-0.027, high=0.049), forgotten=5, learned=7),
        suite("prose", "nats_per_token", 3.241, 2.984, Interval(value=0.257, low=0.218, high=0.295)),
    )
    pair = PairComparison(before="base@nf4", after="candidate", purpose="candidate", comparable=True, suites=suites)
    other = pair.model_copy(update={"before": "base", "suites": ()})
    verdicts = tuple(
        SuiteVerdict(
            suite=one.suite,
            metric=one.metric,
            role="general",
            gated=True,
            state="non-inferior",
            nothing_changed=False,
            reason="",
        )
        for one in suites
    )
    decisive = PairVerdict(
        before="base@nf4",
        after="candidate",
        purpose="candidate",
        state="passed",
        nothing_changed=False,
        suites=verdicts,
        reasons=(),
    )
    verdict = Verdict(state="passed", headline="No gated suite regressed.", decisive=decisive, exit_code=0, strict=True)
    share = Share(name="cities", requested=1, realised=0.953, rows=587, trainable_tokens=24725, repeat=1)
    mix = MixSummary(shares=(share,), rows=587, trainable_tokens=24725, token_counter="words")
    card = {"name": "cities", "licence": "CC-BY-4.0", "description": "<script>x</script>|[a](http://evil)\n# b\x1b[2J"}
    return {
        "compare": artifact(root, "compare", {}, comparison=Comparison(confidence=0.95, pairs=(other, pair))),
        "gate": artifact(root, "gate", {}, verdict=verdict),
        "mix": artifact(root, "mix", {}, shares=mix),
        "ingest:cities": artifact(root, "ingest:cities", {"card": card}),
    }


def front_matter(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_scores_flips_data_and_licences_stand_in_the_card(tmp_path: Path) -> None:
    card = model_card(RECORD, run_artifacts(tmp_path), base_is_hub=True)
    assert "| general | capitals | acc | 83.0% | 84.0% | +1.0 [-2.7, +4.9] | 200 | non-inferior |" in card
    assert "| general | prose | nll | 3.241 | 2.984 | +0.257 [+0.218, +0.295] | 200 | non-inferior |" in card
    assert "| capitals | 5 | 7 |  | 200 |" in card
    assert "| cities | 587 | 24,725 | 95.3% |" in card
    assert "**Passed.** No gated suite regressed." in card
    assert "published under `apache-2.0`" in card and "CC-BY-4.0" in card
    front = front_matter(card)
    assert front["base_model"] == "org/base" and front["license"] == "apache-2.0"


def test_text_from_outside_is_no_markup(tmp_path: Path) -> None:
    card = model_card(RECORD, run_artifacts(tmp_path), base_is_hub=True)
    assert "<script>" not in card and "\x1b" not in card and "[a](" not in card and "\n# b" not in card


def test_without_a_run_the_card_says_what_is_not_known() -> None:
    card = model_card(RECORD.model_copy(update={"base_licence": None, "run": None}), {}, base_is_hub=False)
    assert card.count("Not recorded") == 3 and "No gate has judged it" in card
    assert "could not be determined" in card
    assert front_matter(card)["license"] == "other" and "base_model" not in front_matter(card)


def test_an_artifact_of_an_earlier_version_is_left_out_with_a_remark(tmp_path: Path) -> None:
    inputs = run_artifacts(tmp_path)
    (tmp_path / "mix" / "shares.json").write_text('{"old": true}')
    kept, remarks = readable(inputs)
    assert "mix" not in kept and {"compare", "gate", "ingest:cities"} <= set(kept)
    assert len(remarks) == 1 and "nothing of mix" in remarks[0]
