"""Which topics does an adapter know worse than the rest? On development documents, which no verdict uses.

    samples.jsonl  os.path: 2.9 nats per token on 12 documents, json 3.4 on 11, the others 2.8 on 80
    ->  weaknesses.json  json: behind by 0.58, 95% CI 0.21 to 0.95, p .011 after Holm over the topics: weak
                         os.path: behind by 0.02, -0.30 to 0.34: not beyond noise

A topic's loss is compared with that of all other development documents, both per token with standard errors that
respect clusters (`statistics.mean`). The difference has Welch's degrees of freedom (Welch 1947, Biometrika 34:28).
One-sided p, Holm-corrected over the topics: the chance of calling any topic weak that is not is at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from workbench.compare.statistics.estimates import Codes, Flags, Floats
from workbench.compare.statistics.mean import t_quantile, weighted_mean
from workbench.compare.statistics.multiplicity import holm
from workbench.core.errors import IncompleteError
from workbench.core.iteration import Development, TopicLoss, Weaknesses, WeaknessNode
from workbench.core.parts import read_model, read_rows, write_model
from workbench.core.records import ScoreRow
from workbench.core.results import Interval
from workbench.core.stage import Context, Done, Inputs, Outcome


def run_weaknesses(config: WeaknessNode, inputs: Inputs, ctx: Context) -> Outcome:
    """Writes weaknesses.json. IncompleteError if fewer than two topics could be scored."""
    by = read_model(inputs["development"].part("development.json"), Development).by
    rows = list(read_rows(inputs["score"].part("samples.jsonl"), ScoreRow))
    scored = [row for row in rows if row.value is not None and row.group is not None]
    topics, too_few = topic_losses(scored, config.min_documents, config.alpha, config.confidence)
    if not topics:
        raise IncompleteError(
            f"no topic has {config.min_documents} independent development documents that could be scored",
            where="iterate",
            next_step="lower iterate.min_documents, or raise model.max_length if documents failed",
        )
    found = Weaknesses(
        by=by,
        alpha=config.alpha,
        topics=topics,
        targeted=tuple(one.topic for one in topics if one.weak)[: config.topics],
        failed=len(rows) - len(scored),
        not_judged=too_few,
    )
    write_model(ctx.out_dir / "weaknesses.json", found)
    ctx.info(f"weak topics: {', '.join(found.targeted) or 'none beyond noise'} (of {len(topics)} judged)")
    return Done({"topics": len(topics), "weak": sum(one.weak for one in topics), "targeted": len(found.targeted)})


def topic_losses(
    rows: Sequence[ScoreRow], min_documents: int, alpha: float, confidence: float
) -> tuple[tuple[TopicLoss, ...], int]:
    """Every topic with enough clusters against the rest, those furthest behind first; and how many have too few."""
    values = np.array([row.value for row in rows], dtype=np.float64)
    weights = np.array([row.weight for row in rows], dtype=np.float64)
    names = np.array([row.group for row in rows], dtype=np.object_)
    tied = [row.cluster or f"alone {number}" for number, row in enumerate(rows)]
    clusters = np.unique(tied, return_inverse=True)[1].astype(np.int64)
    found: list[TopicLoss] = []
    too_few = 0
    for topic in sorted({row.group for row in rows if row.group is not None}):
        inside: Flags = names == topic
        if len(set(clusters[inside])) < min_documents or len(set(clusters[~inside])) < min_documents:
            too_few += 1
            continue
        found.append(_topic(topic, inside, values, weights, clusters, confidence))
    corrected = holm([one.p_value for one in found])
    judged = [
        one.model_copy(update={"p_value": p_value, "weak": p_value <= alpha})
        for one, p_value in zip(found, corrected, strict=True)
    ]
    return tuple(sorted(judged, key=lambda one: (-one.behind.value, one.topic))), too_few


def _topic(
    topic: str, inside: Flags, values: Floats, weights: Floats, clusters: Codes, confidence: float
) -> TopicLoss:
    from scipy.special import stdtr  # 0.2 s to import

    own, own_degrees = _mean(values, weights, clusters, inside)
    rest, rest_degrees = _mean(values, weights, clusters, ~inside)
    behind = own[0] - rest[0]
    variances = own[1] ** 2, rest[1] ** 2
    se = math.sqrt(sum(variances))
    if se == 0:  # every document of the topic, and every other one, has the same loss
        p_value, half_width = (0.0 if behind > 0 else 1.0), 0.0
    else:
        degrees = se**4 / (variances[0] ** 2 / own_degrees + variances[1] ** 2 / rest_degrees)
        p_value = float(stdtr(degrees, -behind / se))
        half_width = t_quantile(0.5 + confidence / 2, degrees) * se
    return TopicLoss(
        topic=topic,
        documents=int(inside.sum()),
        clusters=own_degrees + 1,
        loss=own[0],
        behind=Interval(value=behind, low=behind - half_width, high=behind + half_width),
        p_value=p_value,
        weak=False,
    )


def _mean(values: Floats, weights: Floats, clusters: Codes, chosen: Flags) -> tuple[tuple[float, float], int]:
    """Mean and standard error of the chosen documents, and the degrees of freedom of the latter."""
    codes = np.unique(clusters[chosen], return_inverse=True)[1].astype(np.int64)
    estimate = weighted_mean(values[chosen], weights[chosen], codes, 0.95)
    return (estimate.value, estimate.se), int(codes.max())
