"""The base model as an endpoint, in this process: no server, no key, no network.

    endpoint.chat([ChatRequest((Message(role="user", content="Answer A or B."),), max_tokens=1, top_logprobs=20)])
    ->  [Reply(text="A", finish_reason="length", first_token_logprobs={"A": -0.4, "B": -1.3, ...}, ...)]

It is a scorer and a smoke test, not a source of facts: a 135M model answers at random where it does not copy. Requests
for one token are a single forward pass over a whole batch; longer answers are generated greedily.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core.config import EndpointConfig, ModelConfig, Precision
from workbench.core.errors import IncompleteError
from workbench.core.wire import storable
from workbench.endpoints.batch import CANCELLED, Answers, Batch
from workbench.endpoints.budget import Budget
from workbench.endpoints.cache import ResponseCache
from workbench.endpoints.calls import (
    Abilities,
    Answer,
    CallFailed,
    ChatRequest,
    Endpoint,
    Reply,
    never_cancelled,
    nobody,
)
from workbench.endpoints.projection import Projection
from workbench.models.refs import model_fingerprint, resolve

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

_PRECISION: Precision = "bf16"
_VERSION = 1
"""Raised when the same request would get another answer; part of the cache key."""
_MOST_TOKENS = 4096
"""Padded prompt tokens of one forward pass: large enough to keep two cores busy, small enough for 1 GB."""
_MOST_ROWS = 16
_HALF_A_SIGN = "\ufffd"
"""What tokens decode to that hold the first bytes of a character."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    key: str
    request: ChatRequest
    ids: list[int]


class InProcessEndpoint:
    """The base model of the configuration, loaded at the first question that is not in the cache."""

    def __init__(
        self,
        config: EndpointConfig,
        model: ModelConfig,
        project: Path,
        cache_dir: Path,
        say: Callable[[str], object] = nobody,
    ) -> None:
        """`say` hears what all calls will take, after the first of them. Raises as `workbench.models.refs.resolve` if
        the model is not there; loads nothing."""
        source = resolve(model.ref, model.revision, project)
        self.name = f"{source.name} in this process"
        self.budget = Budget(config)
        self._model_config = model
        self._project = project
        self._cache_dir = cache_dir
        self._say = say
        self._served_by = f"in-process {_VERSION} {model_fingerprint(source)} {_PRECISION} {model.system_prompt!r}"
        self._loaded: LoadedModel | None = None

    def chat(
        self,
        requests: Sequence[ChatRequest],
        on_done: Callable[[int], object] | None = None,
        cancelled: Callable[[], bool] = never_cancelled,
    ) -> Answers:
        """Answers in the order of `requests`; greedy, so a temperature or a schema fails as `bad_request`."""
        return self._answered(requests, on_done, cancelled, None)

    def streamed(self, request: ChatRequest, heard: Callable[[str], object]) -> Answer:
        """The answer to one request, the same as `chat` gives; `heard` hears its text piece by piece as it is made.

        Whatever `heard` raises ends the work.
        """
        told = _Told(heard)

        def on_token(ids: list[int]) -> None:
            told.so_far(storable(str(self.load().tokenizer.decode(ids, skip_special_tokens=True))))

        answer = self._answered([request], None, never_cancelled, on_token)[0]
        if isinstance(answer, Reply):
            told.all(answer.text)
        return answer

    def _answered(
        self,
        requests: Sequence[ChatRequest],
        on_done: Callable[[int], object] | None,
        cancelled: Callable[[], bool],
        on_token: Callable[[list[int]], object] | None,
    ) -> Answers:
        with ResponseCache(self._cache_dir) as cache:
            batch = Batch(self._served_by, requests, cache, on_done)
            able = False
            for key, request in batch.missing():
                if failure := _unsupported(request):
                    batch.finish(key, failure)
                else:
                    able = True
            if able:
                self._answer_missing(batch, cancelled, on_token)
            return batch.answers()

    def abilities(self, wanted: Sequence[str], trial: Callable[[Endpoint], Abilities], *, anew: bool) -> Abilities:
        """As its cache has them: the weights are part of every key, so its answers never change."""
        return trial(self)

    def _answer_missing(
        self, batch: Batch, cancelled: Callable[[], bool], on_token: Callable[[list[int]], object] | None
    ) -> None:
        """Forward pass by forward pass. Rows are put together from all requests, cached ones too, because bf16 results
        depend on their neighbours: a resumed run computes the very numbers of an unbroken one."""
        loaded = self.load()
        prompts = self._encoded(loaded, batch)
        projection = Projection(self.budget, batch.unanswered, self._say)
        fitting = []
        for prompt in prompts:
            if failure := _too_long(loaded, prompt):
                batch.finish(prompt.key, failure)
            else:
                fitting.append(prompt)
        for rows in _row_groups(fitting):
            if cancelled():
                batch.stop(CANCELLED)
                return
            asked = {row.key for row in rows if not batch.answered(row.key)}
            refused = {row.key: no for row in rows if row.key in asked and (no := self.budget.refusal(row.request))}
            for key, refusal in refused.items():
                batch.finish(key, refusal)
            if len(refused) == len(asked):
                continue
            began = time.monotonic()
            made = _answers(loaded, rows, on_token)
            took_s = (time.monotonic() - began) / (len(asked) - len(refused))
            for row, answer in zip(rows, made, strict=True):
                if row.key in asked and row.key not in refused:
                    self.budget.settle(row.request, answer)
                    batch.finish(row.key, answer)
                    projection.note(took_s)

    def load(self) -> LoadedModel:
        """The model, loaded once. Raises as `workbench.models.loading.load`."""
        if self._loaded is None:
            # 4 s: torch and transformers; then the weights
            from workbench.models.loading import load

            self._loaded = load(self._model_config, _PRECISION, self._project)
        return self._loaded

    def _encoded(self, loaded: LoadedModel, batch: Batch) -> list[_Prompt]:
        from workbench.models.chat import prompt_ids

        system = self._model_config.system_prompt
        distinct = {key: request for key, request in batch if _unsupported(request) is None}
        return [
            _Prompt(key, request, prompt_ids(loaded.tokenizer, request.messages, system))
            for key, request in distinct.items()
        ]


class _Told:
    """A growing text, told in pieces that are never taken back."""

    def __init__(self, heard: Callable[[str], object]) -> None:
        self._heard = heard
        self._told = ""

    def so_far(self, text: str) -> None:
        """Tells what is new and whole: the last sign may still be half a one."""
        if not text.endswith(_HALF_A_SIGN) and text.startswith(self._told):
            self.all(text)

    def all(self, text: str) -> None:
        """Tells what is new. IncompleteError if the text no longer begins with what was told."""
        if not text.startswith(self._told):
            raise IncompleteError("the tokenizer read the whole answer otherwise than its beginning")
        if len(text) > len(self._told):
            self._heard(text[len(self._told) :])
            self._told = text


def _unsupported(request: ChatRequest) -> CallFailed | None:
    if request.temperature > 0:
        return CallFailed("bad_request", "the in-process endpoint answers greedily: temperature must be 0")
    if request.schema is not None:
        return CallFailed("bad_request", "the in-process endpoint cannot hold an answer to a JSON schema")
    return None


def _row_groups(prompts: list[_Prompt]) -> list[list[_Prompt]]:
    """Prompts of one length limit together, sorted by length, at most 4,096 padded tokens or 16 rows a group."""
    groups: list[list[_Prompt]] = []
    ordered = sorted(prompts, key=lambda prompt: (prompt.request.max_tokens, len(prompt.ids), prompt.key))
    for _, group in groupby(ordered, key=lambda prompt: prompt.request.max_tokens):
        rows: list[_Prompt] = []
        for prompt in group:
            if rows and (len(rows) == _MOST_ROWS or (len(rows) + 1) * len(prompt.ids) > _MOST_TOKENS):
                groups.append(rows)
                rows = []
            rows.append(prompt)
        groups.append(rows)
    return groups


def _too_long(loaded: LoadedModel, prompt: _Prompt) -> CallFailed | None:
    """The failure of a prompt that leaves no room for its answer."""
    limit = getattr(loaded.model.config, "max_position_embeddings", None)
    needed = len(prompt.ids) + prompt.request.max_tokens
    if limit is None or needed <= limit:
        return None
    return CallFailed("bad_request", f"prompt and answer need up to {needed} tokens, the model reads {limit}")


def _answers(
    loaded: LoadedModel, rows: list[_Prompt], on_token: Callable[[list[int]], object] | None
) -> list[Reply]:
    """Replies to prompts of one length limit."""
    max_tokens = rows[0].request.max_tokens
    wants_logprobs = any(prompt.request.top_logprobs for prompt in rows)
    if max_tokens == 1:
        return _first_tokens(loaded, rows)
    # torch is loaded by now
    from workbench.models.generate import generate

    generated = generate(loaded, [prompt.ids for prompt in rows], max_tokens, len(rows), on_token=on_token)
    firsts = _first_tokens(loaded, rows) if wants_logprobs else [None] * len(rows)
    return [
        Reply(
            text=storable(answer.text),
            finish_reason=answer.finish_reason,
            first_token_logprobs=first.first_token_logprobs if first is not None else None,
            prompt_tokens=len(prompt.ids),
            completion_tokens=answer.tokens,
        )
        for prompt, answer, first in zip(rows, generated, firsts, strict=True)
    ]


def _first_tokens(loaded: LoadedModel, rows: list[_Prompt]) -> list[Reply]:
    """The most likely next token of each prompt and its alternatives, from one forward pass, left-padded.

    Tokens that read alike once decoded ("A" from two ids) are added up.
    """
    import torch

    from workbench.models.generate import stop_ids

    longest = max(len(prompt.ids) for prompt in rows)
    pad = loaded.tokenizer.pad_token_id
    device = loaded.model.device
    ids = torch.tensor([[pad] * (longest - len(p.ids)) + p.ids for p in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(p.ids)) + [1] * len(p.ids) for p in rows], device=device)
    with torch.inference_mode():
        output = loaded.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            logits_to_keep=1,
            use_cache=False,
        )
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        most = max(1, *(prompt.request.top_logprobs for prompt in rows))
        values, tokens = (found.tolist() for found in logprobs.topk(min(most, logprobs.shape[-1])))
    stops = stop_ids(loaded)
    replies = []
    for prompt, scores, best in zip(rows, values, tokens, strict=True):
        texts = loaded.tokenizer.batch_decode([[token] for token in best])
        wanted = prompt.request.top_logprobs
        reply = Reply(
            text="" if best[0] in stops else storable(texts[0]),
            finish_reason="stop" if best[0] in stops else "length",
            first_token_logprobs=_added_up(texts[:wanted], scores[:wanted]) if wanted else None,
            prompt_tokens=len(prompt.ids),
            completion_tokens=1,
        )
        replies.append(reply)
    return replies


def _added_up(texts: list[str], logprobs: list[float]) -> dict[str, float]:
    mass: dict[str, float] = {}
    for text, logprob in zip(texts, logprobs, strict=True):
        key = storable(text)
        mass[key] = mass.get(key, 0.0) + math.exp(logprob)
    return {text: math.log(min(1.0, total)) if total > 0 else logprobs[-1] for text, total in mass.items()}
