"""What people read one by one: the flips of the deciding pair, and a few answers before and after."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest

from workbench.core.nodes import ReportNode, ScoreNode
from workbench.core.parts import read_rows
from workbench.core.records import Flip, Generation, Judgment
from workbench.core.stage import Artifact, Inputs
from workbench.report.excerpts import excerpt
from workbench.report.model import FlipCount, Flips, GenerationPair, Preference

_TEXT_CHARS = 2_000
_GENERATIONS_CHARS = 100_000
"""Of all generations together, so that many of them still make a small page."""
_FLIP_TEXTS = ("prompt", "target", "before_output", "after_output")


def flips(config: ReportNode, compare: Artifact) -> Flips:
    """Flips between the arms of the deciding pair: all counted, the forgotten ones shown first.

    Where there are more than `max_flips`, every suite gets its turn, so that a noisy one does not hide the others.
    """
    counts: Counter[tuple[str, str]] = Counter()
    kept: defaultdict[tuple[str, str], list[Flip]] = defaultdict(list)
    for flip in read_rows(compare.part("flips.jsonl"), Flip):
        if (flip.before_arm, flip.after_arm) != (config.before, config.after):
            continue
        key = (flip.kind, flip.suite)
        counts[key] += 1
        if len(kept[key]) < config.report.max_flips:
            kept[key].append(flip)
    suites = list(dict.fromkeys(suite for _, suite in counts))
    in_turn = [
        *_round_robin([kept["forgotten", suite] for suite in suites]),
        *_round_robin([kept["learned", suite] for suite in suites]),
    ]
    chosen = in_turn[: config.report.max_flips]
    chosen.sort(key=lambda flip: (flip.kind != "forgotten", suites.index(flip.suite)))
    shown = tuple(_shortened(flip) for flip in chosen)
    return Flips(
        counts=tuple(
            FlipCount(suite=suite, forgotten=counts["forgotten", suite], learned=counts["learned", suite])
            for suite in suites
        ),
        shown=shown,
        shortened=sum(whole != cut for whole, cut in zip(chosen, shown, strict=True)),
    )


def generations(config: ReportNode, inputs: Inputs) -> tuple[GenerationPair, ...]:
    """The first prompts, in file order, that both arms answered: nobody picked them."""
    before, after = inputs.get(f"score:{config.before}"), inputs.get(f"score:{config.after}")
    if before is None or after is None or config.generations == 0:
        return ()
    suite = _suite_to_show(after)
    earlier = {_key(answer): answer for answer in _answers(before, suite)}
    both = ((earlier[_key(answer)], answer) for answer in _answers(after, suite) if _key(answer) in earlier)
    pairs = list(islice(both, config.generations))
    preferences = _preferences(inputs.get("score:judge"), {_key(answer) for _, answer in pairs}, config)
    chars = min(_TEXT_CHARS, _GENERATIONS_CHARS // (4 * config.generations))
    return tuple(_pair(first, second, preferences.get(_key(second), ()), chars) for first, second in pairs)


def _round_robin(groups: Sequence[Sequence[Flip]]) -> Iterator[Flip]:
    for turn in zip_longest(*groups):
        yield from (flip for flip in turn if flip is not None)


def _shortened(flip: Flip) -> Flip:
    return flip.model_copy(update={name: excerpt(getattr(flip, name), _TEXT_CHARS) for name in _FLIP_TEXTS})


def _suite_to_show(artifact: Artifact) -> str | None:
    """The first judge suite that has answers, else the first suite that has."""
    judged = [
        suite.name for suite in ScoreNode.model_validate(artifact.manifest.config).suites if suite.kind == "judge"
    ]
    answered = dict.fromkeys(answer.suite for answer in read_rows(artifact.part("generations.jsonl"), Generation))
    return next((name for name in judged if name in answered), next(iter(answered), None))


def _answers(artifact: Artifact, suite: str | None) -> Iterable[Generation]:
    rows = read_rows(artifact.part("generations.jsonl"), Generation)
    return (answer for answer in rows if answer.suite == suite)


def _key(row: Generation | Judgment) -> tuple[str, str, int]:
    return row.suite, row.doc_hash, row.occurrence


def _preferences(
    judge: Artifact | None, wanted: set[tuple[str, str, int]], config: ReportNode
) -> dict[tuple[str, str, int], tuple[Preference, ...]]:
    found: dict[tuple[str, str, int], tuple[Preference, ...]] = {}
    if judge is None:
        return found
    for judgment in read_rows(judge.part("judgments.jsonl"), Judgment):
        key = _key(judgment)
        if key in wanted and (judgment.before, judgment.after) == (config.before, config.after):
            entry = Preference(order=judgment.order, preference=judgment.preference)
            found[key] = (*found.get(key, ()), entry)
    return found


def _pair(before: Generation, after: Generation, preferences: tuple[Preference, ...], chars: int) -> GenerationPair:
    return GenerationPair(
        suite=after.suite,
        prompt=excerpt(after.prompt, chars),
        reference=excerpt(after.reference, chars),
        before=excerpt(before.output, chars),
        after=excerpt(after.output, chars),
        before_finish=before.finish_reason,
        after_finish=after.finish_reason,
        same=before.output == after.output,
        preferences=preferences,
    )
