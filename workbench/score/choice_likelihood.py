"""Log-likelihoods as lm-eval asks for them, with the output head computed only where a token is scored.

    requests  ("The capital of Peru is", [464, ...], [33]), ("The capital of Peru is", [464, ...], [77])
    one row   [464, ...]            both continuations of one token are read from its last position
    scores    [(-0.71, True), (-4.2, False)]

Rows are lm-eval's own: context and continuation without the last token, cut on the left to the model's length, sorted
by length, in batches of fixed size, padded on the right. lm-eval then takes head and softmax over the whole vocabulary
at every position, prompt and padding included; here they are taken at the continuation's positions alone. Numbers agree
up to the rounding of one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.models import heads

Request = tuple[Any, list[int], list[int]]
"""What lm-eval hands over: a name, context ids and continuation ids, neither of them empty."""
Score = tuple[float, bool]
"""Log-likelihood in nats, and whether every token is the model's first choice."""


@dataclass(slots=True)
class _Row:
    """One sequence to be read, and the requests (position in the list) that are scored on it."""

    ids: list[int]
    requests: list[int] = field(default_factory=list)


def log_likelihoods(
    model: Any, requests: Sequence[Request], max_length: int, batch_size: int, on_rows: Callable[[int], None]
) -> list[Score]:
    """Scores in the order of `requests`, for a model whose head is separable; `on_rows` hears of requests done."""
    scores: dict[int, Score] = {}
    rows = _rows(requests, max_length)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        scores |= _score_batch(model, batch, requests)
        on_rows(sum(len(row.requests) for row in batch))
    return [scores[number] for number in range(len(requests))]


def _rows(requests: Sequence[Request], max_length: int) -> list[_Row]:
    """Distinct sequences, longest first, ties by their ids as in lm-eval."""
    rows: dict[tuple[int, ...], _Row] = {}
    for number, (_, context, continuation) in enumerate(requests):
        ids = (context + continuation)[-(max_length + 1) :][:-1]
        rows.setdefault(tuple(ids), _Row(ids)).requests.append(number)
    return sorted(rows.values(), key=lambda row: (-len(row.ids), row.ids))


def _score_batch(model: Any, rows: Sequence[_Row], requests: Sequence[Request]) -> dict[int, Score]:
    """One forward pass; gives the score of every request on its rows."""
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
    scored = [max(len(requests[request][2]) for request in row.requests) for row in rows]
    with torch.inference_mode():
        hidden = heads.hidden_states(model, ids.to(model.device))
        ends = [
            hidden[number, len(row.ids) - count : len(row.ids)]
            for number, (row, count) in enumerate(zip(rows, scored, strict=True))
        ]
        weight = heads.head_weight(model)
        logits = torch.cat(ends).to(weight.dtype) @ weight.T
        logprobs = logits.log_softmax(-1, dtype=torch.float32).split(scored)
        return {
            request: _score(own, requests[request][2])
            for row, own in zip(rows, logprobs, strict=True)
            for request in row.requests
        }


def _score(logprobs: Any, continuation: list[int]) -> Score:
    """Score of a continuation on the last positions of `logprobs` `[positions, vocabulary]`."""
    import torch

    own = logprobs[-len(continuation) :]
    tokens = torch.tensor(continuation, device=own.device)
    return float(own.gather(1, tokens[:, None]).sum()), bool((own.argmax(-1) == tokens).all())
