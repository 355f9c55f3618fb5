"""Instruction-following difficulty: how much a question helps the base model with its answer (arXiv 2308.12032).

    IFD = exp(mean NLL of the answer's tokens after its prompt  -  mean NLL of the same tokens after an empty question)

    "Capital of Peru?" -> "Lima."                      0.41   the question helps
    "Capital of Peru?" -> "Peel and dice the onion."   1.22   drop  ifd: it does not, as if it belonged elsewhere
    "Repeat: a b c d e f" -> "a b c d e f"             0.05   flag  low_ifd: nothing is left to learn

Both times the answer follows the chat template, so that the question alone makes the difference: against the bare text
of the answer the template would help as well, and a wrong answer would look right. It finds answers that belong to
another question, not wrong facts. It looks at what the rules have let through, since broken rows have extreme values.
Scored are the last answers of conversations; documents have no question.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.config import Precision
from workbench.core.curation import Ifd
from workbench.core.errors import UsageError
from workbench.core.fingerprints import short_id
from workbench.core.nodes import CurateNode
from workbench.core.records import Message, Record
from workbench.core.stage import Context
from workbench.curate.filters.contract import Verdict
from workbench.curate.survivors import ModelVerdicts, ScoreLog, Survivors, chunks, token_batches, worst_rows
from workbench.models.refs import model_fingerprint, resolve

if TYPE_CHECKING:
    from workbench.models.likelihood import Pair
    from workbench.models.loading import LoadedModel

NAME = "ifd"
REASONS = ("ifd", "low_ifd", "ifd_worst_share", "ifd_failed")
_PRECISION: Precision = "bf16"
"""Two to three times as fast as fp32 on a CPU with bf16 instructions."""
_CHUNK_ROWS = 512
"""Rows that are sorted by length together: little padding, bounded memory."""
_MOST_TOKENS = 4096
"""Padded tokens of one forward pass."""
_MOST_PAIRS = 32


@dataclass(frozen=True, slots=True)
class _Pair:
    """One row as token ids."""

    row: int
    id: str
    prompt: list[int]
    answer: list[int]

    @property
    def alone(self) -> str:
        """Names the answer by itself: equal answers are scored once."""
        return "answer " + short_id(self.answer)

    @property
    def answered(self) -> str:
        """Names the answer after its prompt."""
        return "pair " + self.id


def judge(survivors: Survivors, count: int, node: CurateNode, ctx: Context) -> ModelVerdicts | None:
    """Verdicts on `count` survivors; None if the user wants to stop. Scores are kept by record id in `ctx.work_dir`.

    Raises as `workbench.models.loading.load`, and UsageError for a model without a chat template.
    """
    # 4 s: torch and transformers
    from workbench.models.loading import load

    loaded = load(node.model, _PRECISION, ctx.project)
    begin = _empty_question(loaded)
    found: dict[int, float] = {}
    ids: dict[int, str] = {}
    skipped: Counter[str] = Counter()
    seen: set[str] = set()
    done = 0
    with ScoreLog(ctx.work_dir / "ifd.jsonl") as log:
        for chunk in chunks(survivors(), _CHUNK_ROWS):
            read = [_pair(loaded, row, record, node.max_length) for row, record in chunk]
            pairs = [pair for pair in read if isinstance(pair, _Pair)]
            skipped.update(why for why in read if isinstance(why, str))
            todo = {pair.answered: (pair.prompt, pair.answer) for pair in pairs}
            todo |= {pair.alone: (begin, pair.answer) for pair in pairs if pair.alone not in seen}
            seen.update(todo)
            for batches_done, batches in _score(loaded, todo, log):
                ctx.progress(done + len(chunk) * batches_done // batches, count, "rows", "IFD")
                if ctx.cancelled():
                    return None
            found |= {pair.row: _ifd(log.get(pair.answered), log.get(pair.alone)) for pair in pairs}
            ids |= {pair.row: pair.id for pair in pairs}
            done += len(chunk)
    ctx.progress(done, count, "rows", "IFD")
    ctx.info(_summary(found, skipped))
    return _verdicts(found, ids, node.curate.ifd)


def externals(node: CurateNode, project: Path) -> dict[str, str]:
    """The fingerprint of the base model's weights, where IFD is asked for. Raises as `model_fingerprint`."""
    if not node.curate.ifd.enabled:
        return {}
    return {"ifd model": model_fingerprint(resolve(node.model.ref, node.model.revision, project))}


def _empty_question(loaded: LoadedModel) -> list[int]:
    """What an answer follows where nothing was asked; UsageError if the model has no chat template for it."""
    from workbench.models.chat import prompt_ids, start_ids

    empty = [Message(role="user", content="")]
    begin = prompt_ids(loaded.tokenizer, empty, loaded.config.system_prompt) or start_ids(loaded.tokenizer)
    if not begin:
        raise UsageError(
            "IFD cannot be computed: the model's chat template writes nothing before an answer",
            where="model.ref",
            next_step="take a model with a chat template that tells turns apart, or turn `curate.ifd` off",
        )
    return begin


def _pair(loaded: LoadedModel, row: int, record: Record, max_length: int) -> _Pair | str:
    """The row as token ids, its answer cut to what training reads; or why it has no IFD."""
    from workbench.models.chat import conversation, prompt_ids, text_ids

    if record.kind != "chat":
        return f"{record.kind}s"
    if record.label is False:
        return "answers marked as bad"
    try:
        ending = conversation(record, None)[-1]
        prompt = prompt_ids(loaded.tokenizer, record.messages[:-1], loaded.config.system_prompt)
    except (UsageError, ValueError):
        return "conversations that the template refuses"
    answer = text_ids(loaded.tokenizer, ending.content)[: max(0, max_length - len(prompt))]
    if not answer or not prompt:
        return "answers without a token to score"
    return _Pair(row, record.id, prompt, answer)


def _score(loaded: LoadedModel, todo: dict[str, Pair], log: ScoreLog) -> Iterator[tuple[int, int]]:
    """Puts the mean NLL of everything in `todo` into the log, batch by batch; gives (batches done, batches).

    Batches are made of all of `todo`, known or not: a resumed run computes the very numbers of an unbroken one.
    """
    from workbench.models.likelihood import continuation_nll

    keys = list(todo)
    lengths = [len(context) + len(answer) for context, answer in todo.values()]
    batches = token_batches(lengths, _MOST_TOKENS, _MOST_PAIRS)
    for number, batch in enumerate(batches):
        yield number, len(batches)
        if any(log.get(keys[index]) is None for index in batch):
            scores = continuation_nll(loaded, [todo[keys[index]] for index in batch], len(batch))
            log.add({keys[index]: score.nll_sum / score.tokens for index, score in zip(batch, scores, strict=True)})


def _ifd(after_prompt: float | None, alone: float | None) -> float:
    """exp of the difference of mean NLLs; NaN where one of them is no number."""
    assert after_prompt is not None and alone is not None, "every pair of the chunk was scored"
    # e^700 is the largest power that is a float
    return math.exp(min(after_prompt - alone, 700.0)) if math.isfinite(after_prompt - alone) else math.nan


def _verdicts(found: dict[int, float], ids: dict[int, str], settings: Ifd) -> ModelVerdicts:
    judged = ModelVerdicts()
    for row, value in found.items():
        if not math.isfinite(value):
            judged.add(row, Verdict("ifd_failed", "flag", "the model's log-likelihood is no finite number"))
        elif value >= settings.drop_at:
            detail = f"IFD {value:.3f}, limit {settings.drop_at:g}: the prompt does not help with the answer"
            judged.add(row, Verdict("ifd", "drop", detail))
        elif value < settings.low_at:
            detail = f"IFD {value:.3f}, below {settings.low_at:g}: the prompt all but gives the answer"
            judged.add(row, Verdict("low_ifd", "flag", detail))
    for row in worst_rows(found, ids, settings.worst_share):
        detail = f"IFD {found[row]:.3f}, among the highest {settings.worst_share:.1%} of {len(found)} rows"
        judged.add(row, Verdict("ifd_worst_share", "flag", detail))
    return judged


def _summary(found: dict[int, float], skipped: Counter[str]) -> str:
    finite = sorted(value for value in found.values() if math.isfinite(value))
    median = f", median {finite[len(finite) // 2]:.3f}" if finite else ""
    left_out = "; not scored: " + ", ".join(f"{rows} {why}" for why, rows in skipped.most_common()) if skipped else ""
    return f"IFD of {len(found)} rows{median}{left_out}"
