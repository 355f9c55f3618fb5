"""Quality of answers as a judge or a reward model sees it.

    "Capital of Peru?" -> "Lima."               judge says 5    quality 5
    "Capital of Peru?" -> "Cities are nice."    judge says 1    quality 1, low_rating if the configuration has a limit
    the judge says "It depends."                                 no quality, flag rating_failed: a failure is no score

The better rated of two duplicates stays. A judge rates 1 to 5; a reward model's output has a scale of its own, to which
the limits then belong. What is rated is data between marks that it cannot contain, never an instruction to the judge.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.errors import UsageError
from workbench.core.nodes import CurateNode
from workbench.core.records import Record
from workbench.core.stage import Context
from workbench.curate.filters.contract import Verdict
from workbench.curate.survivors import ModelVerdicts, ScoreLog, Survivors, chunks
from workbench.endpoints.client import (
    Answer,
    CallFailed,
    ChatRequest,
    Reply,
    endpoint_external,
    open_endpoint,
    refuse_outage,
    responses_dir,
)
from workbench.endpoints.probe import probe
from workbench.endpoints.ratings import DATA_NOTE, rating_request, read_rating, wording
from workbench.models.chat import conversation
from workbench.models.refs import named_at
from workbench.models.reward import reward_fingerprint

if TYPE_CHECKING:
    from workbench.models.reward import RewardModel

NAME = "rating"
REASONS = ("low_rating", "rating_failed")
_JUDGE_CHUNK_ROWS = 256
_REWARD_CHUNK_ROWS = 64
_INSTRUCTIONS = (
    "You rate the quality of examples that a language model will learn from: an answer to a question, or a text by "
    "itself. 5: correct, complete and clear. 4: good, with a small flaw. 3: usable, but vague, incomplete or wordy. "
    "2: mostly wrong, off the point or hard to read. 1: wrong, empty, broken, or an answer to something else. A short "
    "answer that is right is good. " + DATA_NOTE
)
PROMPT_SHA256 = wording(_INSTRUCTIONS)
"""Names the wording: another wording is another judge."""
_ANSWERED = Reply("", "stop", None, 0, 0)
"""Stands for every reply once it is read: what a judge says of a million rows need not stay in memory."""


def judge(survivors: Survivors, count: int, node: CurateNode, ctx: Context) -> ModelVerdicts | None:
    """Ratings of `count` survivors and verdicts by them; None if the user wants to stop.

    A judge's answers stay in the project's response cache, a reward model's scores in `ctx.work_dir`. Raises
    PrerequisiteError or IncompleteError for a judge that is away, and as `load_reward_model`.
    """
    if node.curate.rating.reward_model is not None:
        return _by_reward_model(survivors, count, node, ctx)
    return _by_judge(survivors, count, node, ctx)


def externals(node: CurateNode, project: Path) -> dict[str, str]:
    """What a rating depends on outside of the data: reward model, or judge and the wording of its question."""
    settings = node.curate.rating
    if settings.reward_model is not None:
        with named_at("curate.rating.reward_model"):
            return {"reward model": reward_fingerprint(settings.reward_model, project)}
    if node.endpoint is None:
        return {}
    outside = endpoint_external(node.endpoint, node.model, project)
    return {f"judge {name}": value for name, value in outside.items()} | {"judge wording": PROMPT_SHA256}


def request(record: Record, *, schema: bool, logprobs: bool) -> ChatRequest:
    """The question to the judge about one record: an answer by schema, else the probabilities of the first token, else
    words."""
    return rating_request(_INSTRUCTIONS, _parts(record), schema=schema, logprobs=logprobs)


def _parts(record: Record) -> list[tuple[str, str]]:
    """What of a record is shown, by name; who spoke is said where there is more than one turn before the answer."""
    if record.kind == "document":
        return [("text", record.text or "")]
    *before, ending = conversation(record, None)
    question = before[0].content
    if len(before) > 1:
        question = "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in before)
    return [("question", question), ("answer", ending.content)]


def _by_judge(survivors: Survivors, count: int, node: CurateNode, ctx: Context) -> ModelVerdicts | None:
    assert node.endpoint is not None, "the stage asks only where a judge or reward model is configured"
    endpoint = open_endpoint(node.endpoint, node.model, ctx.project, responses_dir(ctx.project), ctx.info)
    if node.endpoint.kind == "in_process":
        ctx.warn("the judge is the base model itself: small models rate at random, do not drop rows by it")
    abilities = probe(endpoint, logprobs=True, schema=True)
    for remark in abilities.remarks:
        ctx.info(remark)
    judged, skipped = ModelVerdicts(), Counter[str]()
    answers: list[Answer] = []
    for chunk in chunks(survivors(), _JUDGE_CHUNK_ROWS):
        rated = _to_rate(chunk, skipped)
        done = len(answers) + skipped.total()
        asked = [request(record, schema=abilities.schema, logprobs=abilities.logprobs) for _, record in rated]
        new = list(endpoint.chat(asked, partial(_progress, ctx, done, count), ctx.cancelled))
        if ctx.cancelled():
            return None
        answers += (answer if isinstance(answer, CallFailed) else _ANSWERED for answer in new)
        if any(isinstance(answer, CallFailed) for answer in new):
            # Nobody should wait for a hundred thousand calls to a server that is gone.
            refuse_outage(answers, where=endpoint.name)
        for (row, _), answer in zip(rated, new, strict=True):
            found = read_rating(answer)
            if isinstance(found, str):
                judged.add(row, Verdict("rating_failed", "flag", found))
            else:
                _rate(judged, row, found, node)
    ctx.progress(count, count, "rows", "rating")
    _say(judged, skipped, endpoint.name, ctx)
    return judged


def _progress(ctx: Context, before: int, count: int, finished: int) -> None:
    ctx.progress(before + finished, count, "rows", "rating")


def _by_reward_model(survivors: Survivors, count: int, node: CurateNode, ctx: Context) -> ModelVerdicts | None:
    # 4 s: torch and transformers
    from workbench.models.reward import load_reward_model

    assert node.curate.rating.reward_model is not None
    loaded = load_reward_model(node.curate.rating.reward_model, ctx.project)
    judged, skipped = ModelVerdicts(), Counter[str]()
    done = 0
    with ScoreLog(ctx.work_dir / "rewards.jsonl") as log:
        for chunk in chunks(survivors(), _REWARD_CHUNK_ROWS):
            ctx.progress(done, count, "rows", "rating")
            if ctx.cancelled():
                return None
            rated = _to_rate(chunk, skipped)
            if any(log.get(record.id) is None for _, record in rated):
                log.add(_rewards(loaded, [record for _, record in rated]))
            for row, record in rated:
                value = log.get(record.id)
                if value is None or not math.isfinite(value):
                    judged.add(row, Verdict("rating_failed", "flag", "the reward model gives no finite number"))
                else:
                    _rate(judged, row, value, node)
            done += len(chunk)
    ctx.progress(count, count, "rows", "rating")
    _say(judged, skipped, node.curate.rating.reward_model, ctx)
    return judged


def _rewards(loaded: RewardModel, records: list[Record]) -> dict[str, float]:
    """Rewards by record id; NaN for a conversation that the model's template refuses."""
    from workbench.models.reward import rewards

    try:
        scores = rewards(loaded, records)
    except UsageError:
        if len(records) == 1:
            return {records[0].id: math.nan}
        return {key: value for record in records for key, value in _rewards(loaded, [record]).items()}
    return {record.id: score for record, score in zip(records, scores, strict=True)}


def _to_rate(chunk: list[tuple[int, Record]], skipped: Counter[str]) -> list[tuple[int, Record]]:
    """The rows of a chunk that are rated."""
    rated = []
    for row, record in chunk:
        if why := _why_not_rated(record):
            skipped[why] += 1
        else:
            rated.append((row, record))
    return rated


def _why_not_rated(record: Record) -> str | None:
    if record.label is False:
        return "answers that the data marks as bad"
    try:
        _parts(record)
    except ValueError:
        return "conversations without an answer"
    return None


def _rate(judged: ModelVerdicts, row: int, value: float, node: CurateNode) -> None:
    settings = node.curate.rating
    judged.quality[row] = float(value)
    if settings.drop_below is not None and value < settings.drop_below:
        judged.add(row, Verdict("low_rating", "drop", f"rated {value:.3g}, at least {settings.drop_below:g} wanted"))
    elif settings.flag_below is not None and value < settings.flag_below:
        judged.add(row, Verdict("low_rating", "flag", f"rated {value:.3g}, below {settings.flag_below:g}"))


def _say(judged: ModelVerdicts, skipped: Counter[str], rater: str, ctx: Context) -> None:
    values = judged.quality.values()
    mean = f", mean {sum(values) / len(values):.2f}" if values else ""
    left_out = "; not rated: " + ", ".join(f"{rows} {why}" for why, rows in skipped.items()) if skipped else ""
    ctx.info(f"{rater} rated {len(values)} rows{mean}{left_out}")
    failed = sum(any(verdict.reason == "rating_failed" for verdict in found) for found in judged.verdicts.values())
    if failed:
        ctx.warn(f"{failed} rows could not be rated: they are flagged `rating_failed` and stay")
