"""The loaded model as lm-evaluation-harness wants it: `hf-fast`, quiet, counted, stoppable, with our templates.

    harness_model(job).loglikelihood(requests)  ==  HFLM(pretrained=model, tokenizer=..., ...).loglikelihood(requests)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.score.dialogue import conversations, turn_by_turn
from workbench.score.scoring import GENERATION_BATCH_FACTOR, Job

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM


def harness_model(job: Job) -> HFLM:
    """lm-eval's model around the job's loaded model: softmax in fp32, our length, chat template and batches."""
    # 1 to 5 s: lm-eval imports datasets, evaluate and accelerate
    from workbench.models.chat import prompt_ids
    from workbench.models.memo import batch_key
    from workbench.score.hf_fast import FastHFLM

    class _Harness(FastHFLM):
        """No progress bars; a continuation that cannot be scored gives NaN instead of ending the run."""

        def __init__(self) -> None:
            super().__init__(
                job.loaded.model,
                tokenizer=job.loaded.tokenizer,
                batch_size=job.batch_size,
                max_length=job.loaded.config.max_length,
            )
            self.memo, self.warn = job.memo, job.warn
            self.on_rows, self.on_generated = self._count, job.on_generated
            self.cut_contexts: set[str] = set()
            """Contexts that were cut on the left."""
            self.conversations = conversations(job.suite, job.documents)
            self.expected_rows = 0
            self._rows = 0
            self.batch_size_per_gpu: int = job.batch_size

        def _loglikelihood_tokens(
            self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None
        ) -> list[tuple[float, bool]]:
            self.expected_rows = len(requests)
            fits = [bool(context) and 0 < len(own) <= self.max_length for _, context, own in requests]
            for (texts, context, continuation), fit in zip(requests, fits, strict=True):
                if fit and texts and len(context) + len(continuation) > self.max_length + 1:
                    self.cut_contexts.add(texts[0])
            fitting = [request for request, fit in zip(requests, fits, strict=True) if fit]
            scores = iter(super()._loglikelihood_tokens(fitting, True, override_bs) if fitting else [])
            return [next(scores) if fit else (math.nan, False) for fit in fits]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            self.expected_rows = len(requests)
            for request in requests:
                room = self.max_length - request.args[1].get("max_gen_toks", self.max_gen_toks)
                if len(self.tok_encode(request.args[0])) > room:
                    self.cut_contexts.add(request.args[0])
            rows_per_batch, self.batch_size_per_gpu = self.batch_size_per_gpu, job.batch_size * GENERATION_BATCH_FACTOR
            try:
                return super().generate_until(requests, True)
            finally:
                self.batch_size_per_gpu = rows_per_batch

        def _model_call(self, inps: Any, *args: Any, **kwargs: Any) -> Any:
            logits = super()._model_call(inps, *args, **kwargs)
            if not self.checking:
                self._count(inps.shape[0])
            return logits

        def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
            """A batch of lm-eval's own answers; greedy ones are kept, for they are always the same."""
            rows, mask = context.tolist(), settings["attention_mask"].tolist()
            others = {name: value for name, value in settings.items() if name != "attention_mask"}
            key = batch_key("stock_generate/1", rows=rows, mask=mask, max_length=max_length, stop=stop, **others)
            memo = job.memo if settings.get("do_sample") is False else None
            if memo is not None and (kept := memo.get(key)) is not None:
                tokens = context.new_tensor(kept)
            else:
                tokens = super()._model_generate(context, max_length, stop, **settings)
                if memo is not None:
                    memo.put(key, tokens.tolist())
            self._count(context.shape[0])
            return tokens

        def _count(self, rows: int) -> None:
            self._rows = min(self._rows + rows, self.expected_rows)
            job.on_batch(self._rows, self.expected_rows)

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            """As the models are trained here: no system turn unless the configuration names one.

            lm-eval wants text, so control tokens in a question are read as such, as stock lm-eval reads them."""
            ids = prompt_ids(self.tokenizer, turn_by_turn(chat_history, self.conversations), job.system_prompt)
            return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    return _Harness()
