"""The judge: which of two arms answers better, asked in both orders, after the judge itself was judged.

    prompt "What does `len` do?"   before "It prints text."   after "It returns the number of items."
    ->  {"order": "before_first", "preference": 0.97, ...}, {"order": "after_first", "preference": 0.95, ...}

A preference that follows the position, also that of an answer which tells the judge what to say, shows as two verdicts
that disagree: a tie. A judge that fails its trust check is not asked about the arms at all: its verdicts would be paid
for and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.core.errors import IncompleteError
from workbench.core.nodes import JudgeNode
from workbench.core.parts import read_rows, write_model, write_rows
from workbench.core.rates import wilson
from workbench.core.records import Generation, Judgment
from workbench.core.results import Interval, JudgeFindings, JudgeTrust, ScaleResult
from workbench.core.stage import Artifact, Cancelled, Context, Done, Inputs, Outcome, Summary
from workbench.core.suites import SuiteDocument, read_documents, suite_path
from workbench.endpoints.client import open_endpoint, responses_dir
from workbench.endpoints.probe import probe
from workbench.score.golden import GoldenPair, golden_pairs, measured_trust
from workbench.score.judging.addressed import addressed
from workbench.score.judging.asking import Asker, Said
from workbench.score.judging.findings import Judged, findings
from workbench.score.judging.grading import grades, grading_troubles, scale_results
from workbench.score.judging.in_use import trust_in_use
from workbench.score.judging.pairwise import PROMPT_SHA256, Bout, Opinion
from workbench.score.judging.people import people_agreement
from workbench.score.judging.ratings import RATED_ARMS, Rated, label_of, ratings_path, read_ratings

_INGEST = "ingest:"
_COMMON_WORDS = re.compile(r"adapter|awq|base|chat|checkpoint|gguf|gptq|instruct|latest|llm|lora|mini|model|pypi")
"""Parts of model names that name no family."""
_ON_GOLDEN, _ON_RATED, _ON_ARMS = "golden pairs", "rated pairs", "answers"


@dataclass(frozen=True, slots=True)
class Contest:
    """One document on which the two arms meet."""

    before: Generation
    after: Generation
    group: str | None = None
    """The document's category, for tables."""
    cluster: str | None = None
    """Documents that depend on each other."""

    @property
    def bout(self) -> Bout:
        """The answer before stands first."""
        return Bout(self.before.prompt, self.before.output, self.after.output)

    @property
    def error(self) -> str | None:
        """Why there is nothing to compare."""
        broken = [row.arm for row in (self.before, self.after) if row.finish_reason == "error"]
        return f"no answer of {' and '.join(broken)} to judge" if broken else None


def run_judge(config: JudgeNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Checks the judge on the golden set and on what people rated, then, if it may be trusted, judges every document.

    Writes trust.json, golden.jsonl and rated.jsonl (the calls of the check), judgments.jsonl (empty for an untrusted
    judge), and for a trusted one grades.jsonl and findings.json. Raises PrerequisiteError for a judge that does not
    answer, IncompleteError for one that often fails or a line of the ratings that is none.
    """
    documents = _documents(config, inputs, ctx)
    contests = _contests(config, inputs, documents)
    rated = read_ratings(ratings_path(config.judge, ctx.project), config.suite.name)
    judge = open_endpoint(config.endpoint, config.model, ctx.project, responses_dir(ctx.project), ctx.info)
    abilities = probe(judge, logprobs=True, schema=False)
    for remark in abilities.remarks:
        ctx.info(remark)
    asker = Asker(judge, ctx, abilities.logprobs, config.judge.repeats, config.judge.temperature)
    pairs = golden_pairs(documents, config.suite, config.judge.golden_pairs, config.seed)
    on_golden = asker.bouts([Bout(pair.prompt, *pair.answers) for pair in pairs], _ON_GOLDEN)
    on_rated = asker.bouts([contest.bout for contest in rated.values()], _ON_RATED)
    if ctx.cancelled():
        return Cancelled()
    trust = _trust(config, asker, (pairs, on_golden), (rated, on_rated))
    found = None
    judgments: list[Judgment] = []
    if trust.trusted:
        said = asker.bouts([contest.bout for contest in contests if contest.error is None], _ON_ARMS)
        graded = grades(asker, [row for one in contests for row in (one.before, one.after)], config.judge.scales)
        if ctx.cancelled():
            return Cancelled()
        told = _told(contests, said)
        judgments = [row for contest, calls in told for row in _judgments(config, asker, contest, calls)]
        clusters = {(one.before.doc_hash, one.before.occurrence): one.cluster for one in contests}
        found = _findings(config, told, rated, scale_results(graded, config.before, config.after, clusters))
        bouts = [(contest.bout, calls.calls().win()) for contest, calls in told if calls is not None]
        remarks = (*grading_troubles(graded, logprobs=asker.logprobs), *addressed(bouts, (config.before, config.after)))
        trust = trust_in_use(trust, found, asker.counted(said), remarks)
        write_rows(ctx.out_dir / "grades.jsonl", graded)
    else:
        planned = 2 * len(contests) * config.judge.repeats
        why = f"the judge fails its trust check, so its {planned} calls on the arms are not made"
        trust = trust.model_copy(update={"reasons": (*trust.reasons, why)})
    trust = trust.model_copy(update={"used": asker.used()})
    write_rows(ctx.out_dir / "golden.jsonl", _golden_rows(config, asker, pairs, on_golden))
    write_rows(ctx.out_dir / "rated.jsonl", _rated_rows(config, asker, rated, on_rated))
    write_rows(ctx.out_dir / "judgments.jsonl", judgments)
    write_model(ctx.out_dir / "trust.json", trust)
    if found is not None:
        write_model(ctx.out_dir / "findings.json", found)
    _say(ctx, trust)
    return Done(_summary(trust, contests, found))


def shared_family(judge: str, base: str) -> str | None:
    """A name that judge and base model have in common ("llama", "smollm"), since judges favour their own kind."""
    judged, based = (
        {word for word in re.findall(r"[a-z]{3,}", _last(name).lower()) if not _COMMON_WORDS.fullmatch(word)}
        for name in (judge, base)
    )
    return min(judged & based, default=None)


def _last(name: str) -> str:
    """`Llama-3.1-8B` of `meta-llama/Llama-3.1-8B`."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def _told(contests: Sequence[Contest], said: Sequence[Said]) -> list[tuple[Contest, Said | None]]:
    """Every contest with what the judge said; None where there was nothing to judge."""
    answers = iter(said)
    return [(contest, next(answers) if contest.error is None else None) for contest in contests]


def _judgments(config: JudgeNode, asker: Asker, contest: Contest, said: Said | None) -> Iterator[Judgment]:
    """Both orders of a contest, once per repeat; a missing answer is an error, not a loss."""
    key = (contest.before.suite, contest.before.doc_hash, contest.before.occurrence)
    if said is None:
        nothing = (Opinion(None, error=contest.error),)
        said = Said(nothing, nothing)
    for row in _rows(asker, key, said, (config.before, config.after)):
        yield row.model_copy(update={"group": contest.group, "cluster": contest.cluster})


def _rows(asker: Asker, key: tuple[str, str, int], said: Said, arms: tuple[str, str]) -> Iterator[Judgment]:
    """Judgments of a bout that shows the first of `arms` first."""
    suite, doc_hash, occurrence = key
    for repeat, both in enumerate(zip(said.in_order, said.swapped, strict=True)):
        orders: tuple[Literal["before_first"], Literal["after_first"]] = ("before_first", "after_first")
        for order, opinion in zip(orders, both, strict=True):
            preference = opinion.second_preferred
            if preference is not None and order == "after_first":
                # turned from "the answer shown second" to "the answer of `after`"
                preference = 1 - preference
            yield Judgment(
                suite=suite,
                doc_hash=doc_hash,
                occurrence=occurrence,
                judge=asker.judge.name,
                prompt_sha256=PROMPT_SHA256,
                order=order,
                before=arms[0],
                after=arms[1],
                preference=preference,
                raw=opinion.raw,
                error=opinion.error,
                repeat=repeat,
                model=opinion.model,
            )


def _golden_rows(
    config: JudgeNode, asker: Asker, pairs: Sequence[GoldenPair], said: Sequence[Said]
) -> Iterator[Judgment]:
    """The trust check as judgments between the wrong (`before`) and the right answer (`after`)."""
    for pair, calls in zip(pairs, said, strict=True):
        wrong_first = calls if pair.right == 1 else Said(calls.swapped, calls.in_order)
        key = (config.suite.name, pair.doc_hash, pair.occurrence)
        yield from _rows(asker, key, wrong_first, ("golden-wrong", "golden-right"))


def _rated_rows(config: JudgeNode, asker: Asker, rated: dict[str, Rated], said: Sequence[Said]) -> Iterator[Judgment]:
    """What the judge says of the contests that people rated; the hash is the contest's."""
    for contest, calls in zip(rated, said, strict=True):
        yield from _rows(asker, (config.suite.name, contest, 0), calls, RATED_ARMS)


def _trust(
    config: JudgeNode,
    asker: Asker,
    golden: tuple[Sequence[GoldenPair], Sequence[Said]],
    people: tuple[dict[str, Rated], Sequence[Said]],
) -> JudgeTrust:
    (pairs, on_golden), (rated, on_rated) = golden, people
    said = [*on_golden, *on_rated]
    verdicts = [calls.calls().verdict() for calls in on_rated]
    return measured_trust(
        pairs,
        [calls.calls() for calls in on_golden],
        asker.counted(said),
        suite=config.suite.name,
        min_kappa=config.judge.min_kappa,
        seed=config.seed,
        warnings=_warnings(config, len(pairs), len(rated)),
        people=people_agreement(list(rated.values()), verdicts, config.seed) if rated else None,
        min_ratings=config.judge.min_ratings,
        repeat_inconsistent=_repeat_inconsistent(said) if asker.repeats > 1 else None,
    )


def _repeat_inconsistent(said: Sequence[Said]) -> Interval:
    return wilson(sum(calls.repeats_differ() for calls in said), len(said))


def _warnings(config: JudgeNode, pairs: int, rated: int) -> list[str]:
    warnings = []
    if config.endpoint.kind == "in_process":
        warnings.append("the judge is the base model itself and may favour its own style")
    elif family := shared_family(config.endpoint.model or "", config.model.ref):
        warnings.append(f"judge and model share the family {family!r}: judges favour their own kind")
    if 0 < pairs < config.judge.golden_pairs:
        warnings.append(f"the suite gives {pairs} golden pairs, {config.judge.golden_pairs} were asked for")
    if 0 < rated < config.judge.min_ratings:
        warnings.append(
            f"people rated {rated} pairs, fewer than the {config.judge.min_ratings} from which on they decide"
        )
    return warnings


def _findings(
    config: JudgeNode,
    told: Sequence[tuple[Contest, Said | None]],
    rated: dict[str, Rated],
    scales: tuple[ScaleResult, ...],
) -> JudgeFindings | None:
    judged = [
        Judged(
            said.calls(),
            (len(contest.bout.first), len(contest.bout.second)),
            label_of(rated, contest.bout),
            asked=not contest.bout.is_equal(),
            cluster=contest.cluster or contest.before.doc_hash,
        )
        for contest, said in told
        if said is not None
    ]
    found = findings(judged, before=config.before, after=config.after, scales=scales)
    missing = sum(said is None for _, said in told)
    return found and found.model_copy(update={"failed": found.failed + missing})


def _documents(config: JudgeNode, inputs: Inputs, ctx: Context) -> list[SuiteDocument]:
    datasets: dict[str, Artifact] = {
        name.removeprefix(_INGEST): artifact for name, artifact in inputs.items() if name.startswith(_INGEST)
    }
    path = suite_path(ctx.project / config.suites_dir, config.suite, datasets)
    return read_documents(path, config.suite)


def _contests(config: JudgeNode, inputs: Inputs, documents: Sequence[SuiteDocument]) -> list[Contest]:
    """Every document of the suite, in the order of `before`. IncompleteError for one that only one arm was asked."""
    before, after = (_answers(inputs[f"score:{arm}"], config.suite.name) for arm in (config.before, config.after))
    if alone := before.keys() ^ after.keys():
        raise IncompleteError(
            f"{len(alone)} documents of suite {config.suite.name!r} were put to one arm alone, such as {min(alone)[0]}",
            where=f"score:{config.before}, score:{config.after}",
            next_step="score both arms anew",
        )
    fields = {(document.doc_hash, document.occurrence): document.fields for document in documents}
    labels = (config.suite.groups, config.suite.cluster)
    return [Contest(before[key], after[key], *(_label(fields.get(key, {}), name) for name in labels)) for key in before]


def _label(fields: Mapping[str, Any], name: str | None) -> str | None:
    value = fields.get(name) if name else None
    return None if value is None else str(value)


def _answers(artifact: Artifact, suite: str) -> dict[tuple[str, int], Generation]:
    rows = read_rows(artifact.part("generations.jsonl"), Generation)
    return {(row.doc_hash, row.occurrence): row for row in rows if row.suite == suite}


def _say(ctx: Context, trust: JudgeTrust) -> None:
    kappa, pairs = _deciding(trust)
    what = "golden pairs" if trust.measured_against == "golden set" else "pairs rated by people"
    standing = "trusted" if trust.trusted else "not trusted"
    shown = f"kappa {kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}] on {pairs} {what}"
    head = f"judge {trust.judge}: {standing}, {shown}"
    (ctx.info if trust.trusted else ctx.warn)("; ".join((head, *trust.reasons)))


def _deciding(trust: JudgeTrust) -> tuple[Interval, int]:
    """The kappa that the trust rests on, and the pairs behind it."""
    if trust.people is not None and trust.measured_against == "people":
        return trust.people.kappa, trust.people.contests
    return trust.kappa, trust.pairs


def _summary(trust: JudgeTrust, contests: Sequence[Contest], found: JudgeFindings | None) -> Summary:
    """Numbers for tables; a document whose two orders disagree is half a win."""
    kappa, _ = _deciding(trust)
    summary: Summary = {
        "judge": trust.judge,
        "trusted": "yes" if trust.trusted else "no",
        "measured against": trust.measured_against,
        "kappa": round(kappa.value, 4),
        "kappa low": round(kappa.low, 4),
        "golden pairs": trust.pairs,
        "documents": len(contests),
        "judged": found.judged if found else 0,
    }
    if trust.people is not None:
        summary |= {
            "rated pairs": trust.people.contests,
            "kappa golden": round(trust.kappa.value, 4),
            "kappa people": round(trust.people.kappa.value, 4),
        }
    if trust.used is not None:
        used = trust.used
        summary |= {"requests": used.requests, "tokens of all answers": used.prompt_tokens + used.completion_tokens}
    if found is not None:
        summary |= {"ties": found.ties, "win rate": round(found.win_rate.value, 4)}
    return summary
