"""`hf-fast`: lm-evaluation-harness's Hugging Face model with nothing computed twice, and the same numbers.

    python -m workbench.score.hf_fast run --model hf-fast --model_args pretrained=DIR --tasks arc_easy --batch_size 8

    import workbench.score.hf_fast                       # registers the name
    lm_eval.simple_evaluate(model="hf-fast", model_args="pretrained=DIR", tasks=["arc_easy"])

lm-eval finds models by name in a registry that only its own package fills, so a program that wants this one imports
this module first; running the module does that and then is lm-eval's own command line. Requests, tokens, templates and
metrics stay lm-eval's. What cannot be computed exactly in the fast way (`shared_prefix.unsupported`, sampling, changed
logits) goes to lm-eval's own code, and so does everything if the first documents disagree (`fast_check.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# 1 to 5 s: lm-eval imports torch, transformers, datasets and accelerate. This module is imported only to use them.
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from workbench.models import heads
from workbench.models.generate import changed_decoding
from workbench.models.greedy import greedy_ids, shared_prefix
from workbench.models.likelihood import Pair, batches
from workbench.models.memo import BatchMemo, batch_key
from workbench.models.shared_prefix import Prefix, rescales_positions, unsupported
from workbench.models.tree_likelihood import Score, tree_log_likelihoods
from workbench.score.fast_check import LONGEST_MADE, disagreement
from workbench.score.scoring import TOKENS_PER_ROW

_GENERATION = "hf_fast_generate/1"
_WINDOW = 8
"""Tokens decoded at the end of an answer to see a stop sequence, beyond those of the sequence itself."""


@register_model("hf-fast")
class FastHFLM(HFLM):
    """lm-eval's `hf` with the same arguments; `softmax_dtype` is fp32, and any other is left to lm-eval's own code."""

    memo: BatchMemo | None = None
    """Finished batches, where the caller keeps some."""
    warn: Callable[[str], object] = staticmethod(lambda message: None)
    """Told why the fast way is left, if it is left because its numbers differ."""
    on_rows: Callable[[int], object] = staticmethod(lambda rows: None)
    """Told of requests done since the last call."""
    on_generated: Callable[[int], object] = staticmethod(lambda tokens: None)
    """Told of the tokens of every answer, those from the memo too."""
    checking: bool = False
    """Whether rows are read for the check alone."""

    def __init__(self, pretrained: Any, **options: Any) -> None:
        super().__init__(pretrained, **{"softmax_dtype": "float32", **options})
        self._said_off = False

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Score]:
        pairs = [self._cut(context, continuation) for _, context, continuation in requests]
        lengths = [len(context) + len(continuation) for context, continuation in pairs]
        reach = self._reach(max(lengths, default=0))
        quick = [number for number, length in enumerate(lengths) if length <= reach]
        if not quick or not self._agrees([requests[number] for number in quick]):
            stock: list[Score] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return stock
        scores: dict[int, Score] = {}
        if slow := [number for number, length in enumerate(lengths) if length > reach]:
            # Under `batch_size=auto` lm-eval would look for a size, and cannot in a few requests.
            rows = override_bs or self._rows_per_batch()
            longer = super()._loglikelihood_tokens([requests[number] for number in slow], disable_tqdm, rows)
            scores.update(zip(slow, longer, strict=True))
        progress = tqdm(total=len(quick), disable=disable_tqdm or self.rank != 0, desc="Scoring requests")

        def on_scores(batch: Mapping[int, Score]) -> None:
            self.on_rows(len(batch))
            progress.update(len(batch))
            for place, score in batch.items():
                if (name := requests[quick[place]][0]) is not None:
                    self.cache_hook.add_partial("loglikelihood", name, score)

        budget = TOKENS_PER_ROW * self._rows_per_batch()
        found = tree_log_likelihoods(self.model, [pairs[number] for number in quick], budget, on_scores, self.memo)
        progress.close()
        scores.update(zip(quick, found, strict=True))
        return [scores[number] for number in range(len(requests))]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """lm-eval's windows of all texts in one plan, so that batches hold windows of one length."""
        counts, windows = [], []
        for request in requests:
            ids = self.tok_encode(request.args[0])
            rolled = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, context_len=1)
            own = [(None, *make_disjoint_window(window)) for window in rolled]
            counts.append(len(own))
            windows += own
        # As above: windows can be few, too.
        scores = iter(self._loglikelihood_tokens(windows, disable_tqdm, self._rows_per_batch()))
        sums = [sum(next(scores)[0] for _ in range(count)) for count in counts]
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers by our own loop; whatever is not plain greedy decoding by lm-eval's."""
        groups = _by_settings(requests)
        normal = [normalize_gen_kwargs(settings, self.max_gen_toks) for settings, _ in groups]
        limits = [settings["max_gen_toks"] for settings in normal]
        prompts: list[list[list[int]]] = []
        if all(map(self._plain_greedy, normal)):
            prompts = [
                [self._prompt(requests[number].args[0], limit) for number in numbers]
                for limit, (_, numbers) in zip(limits, groups, strict=True)
            ]
        asked = [(None, ids[:-1], ids[-1:]) for own in prompts for ids in own if len(ids) > 1]
        longest = max((len(ids) + limit for own, limit in zip(prompts, limits, strict=False) for ids in own), default=0)
        # lm-eval's answer to a prompt without tokens goes by the padding of its batch.
        if not asked or not all(map(all, prompts)) or self._reach(longest) < longest or not self._agrees(asked):
            stock: list[str] = super().generate_until(requests, disable_tqdm)
            return stock
        answers: dict[int, str] = {}
        progress = tqdm(total=len(requests), disable=disable_tqdm or self.rank != 0, desc="Generating answers")
        for settings, limit, own, (_, numbers) in zip(normal, limits, prompts, groups, strict=True):
            until = handle_stop_sequences(settings.get("until"), eos=self._end_text())
            prefix = Prefix(self.model, shared_prefix(own))
            for batch in batches([len(prompt) for prompt in own], self._rows_per_batch()):
                texts = self._answers([own[place] for place in batch], prefix, until, limit)
                for place, text in zip(batch, texts, strict=True):
                    answers[numbers[place]] = text
                    self.cache_hook.add_partial("generate_until", requests[numbers[place]].args, text)
                self.on_rows(len(batch))
                progress.update(len(batch))
        progress.close()
        return [answers[number] for number in range(len(requests))]

    def _reach(self, longest: int) -> int:
        """Tokens of the longest row, of those up to `longest`, that the fast way reads exactly; 0 if there is none."""
        import torch

        devices = {parameter.device for parameter in self.model.parameters()}
        if (
            self.backend != "causal"
            or self.mixed_precision_dtype is not None
            or self.softmax_dtype is not torch.float32
            or self.model.dtype is torch.float64
            or len(devices) > 1
            or torch.device("meta") in devices  # read from the disk layer by layer
            or unsupported(self.model, LONGEST_MADE)
        ):
            return 0
        if rescales_positions(heads.bare(self.model).config.get_text_config(), longest):
            return 0  # lm-eval turns the positions of a whole batch by its longest row
        lengths = range(LONGEST_MADE, max(longest, LONGEST_MADE) + 1)
        exact = bisect_left(lengths, True, key=lambda length: unsupported(self.model, length) is not None)
        return lengths[exact - 1]

    def _agrees(self, requests: Sequence[Any]) -> bool:
        """Whether the fast way gives what lm-eval's own gives on the shortest of the requests."""

        def stock(chosen: Sequence[Any]) -> list[Score]:
            self.checking = True
            try:
                rows = self._rows_per_batch()
                found: list[Score] = super(FastHFLM, self)._loglikelihood_tokens(chosen, True, rows)
            finally:
                self.checking = False
            return found

        def fast(chosen: Sequence[Any]) -> list[Score]:
            pairs = [self._cut(context, continuation) for _, context, continuation in chosen]
            return tree_log_likelihoods(self.model, pairs, TOKENS_PER_ROW * self._rows_per_batch())

        reason = disagreement(self.model, requests, stock, fast, self.memo)
        if reason is not None and not self._said_off:
            self._said_off = True
            self.warn(reason)
        return reason is None

    def _cut(self, context: list[int], continuation: list[int]) -> Pair:
        """Context and continuation cut on the left as lm-eval cuts them; AssertionError where lm-eval has one."""
        assert 0 < len(continuation) <= self.max_length, f"{len(continuation)} tokens to score, of {self.max_length}"
        return context[-(self.max_length + 1 - len(continuation)) :], continuation

    def _rows_per_batch(self) -> int:
        size = self.batch_size
        return size if isinstance(size, int) else 8

    def _plain_greedy(self, settings: dict[str, Any]) -> bool:
        """Whether lm-eval, with these settings, would take the highest logit of each step and stop plainly."""
        others = set(settings) - {"until", "max_gen_toks", "do_sample", "temperature"}
        # An empty stop sequence ends lm-eval's answers after one token.
        kept_back = {"", *self.tokenizer.all_special_tokens} - {self._end_text()}
        return (
            not settings["do_sample"]
            and not others
            and settings["max_gen_toks"] < self.max_length
            and self.think_end_token is None
            and self.eot_token_id in self._end_ids()
            and not kept_back.intersection(handle_stop_sequences(settings.get("until"), eos=self._end_text()))
            and not changed_decoding(self.model)
        )

    def _end_text(self) -> str:
        return str(self.tok_decode(self.eot_token_id, skip_special_tokens=False))

    def _end_ids(self) -> list[int]:
        """Tokens at which transformers ends an answer."""
        declared = self.model.generation_config.eos_token_id
        return declared if isinstance(declared, list) else [declared]

    def _prompt(self, text: str, max_new_tokens: int) -> list[int]:
        """The prompt as lm-eval encodes it, cut on the left to leave room for the answer."""
        ids, _ = self.tok_batch_encode([text], truncation=self.truncation)
        prompt: list[int] = ids[0].tolist()[-(self.max_length - max_new_tokens) :]
        return prompt

    def _answers(self, prompts: list[list[int]], prefix: Prefix, until: list[str], max_new_tokens: int) -> list[str]:
        """A batch of answers, from the memo or computed and kept."""
        key = batch_key(
            _GENERATION, prefix=len(prefix.ids), prompts=prompts, until=until, max_new_tokens=max_new_tokens
        )
        if self.memo is not None and (kept := self.memo.get(key)) is not None:
            return self._told(kept)
        stops = set(self._end_ids())
        window = _WINDOW + max(len(self.tokenizer.encode(stop, add_special_tokens=False)) for stop in until)

        def ends(answer: list[int]) -> bool:
            if answer[-1] in stops:
                return True
            end = self.tok_decode(answer[-window:])
            return any(stop in end for stop in until)

        made = []
        for answer in greedy_ids(self.model, prompts, max_new_tokens, ends, prefix):
            text = postprocess_generated_text(self.tok_decode(answer), stop=until, think_end_token=None)
            made.append([text, len(answer)])
        if self.memo is not None:
            self.memo.put(key, made)
        return self._told(made)

    def _told(self, made: list[list[Any]]) -> list[str]:
        for _, tokens in made:
            self.on_generated(tokens)
        return [str(text) for text, _ in made]


def _by_settings(requests: Sequence[Any]) -> list[tuple[dict[str, Any], list[int]]]:
    """Requests by their decoding settings, in the order of first appearance."""
    groups: list[tuple[dict[str, Any], list[int]]] = []
    for number, request in enumerate(requests):
        for settings, numbers in groups:
            if settings == request.args[1]:
                numbers.append(number)
                break
        else:
            groups.append((request.args[1], [number]))
    return groups


def main() -> None:
    """lm-eval's own command line, with `hf-fast` among the models."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
